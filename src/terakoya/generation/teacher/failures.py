"""The errors that end a generation or pause it, each with advice that fits."""

from __future__ import annotations

from terakoya.errors import ProviderError
from terakoya.generation.teacher.provider_errors import ResponseFault
from terakoya.i18n import _, joined

NETWORK = "network"  # reason of a fault where no complete response arrived

_STILL_OPEN = _("Then run the same command again: every row is still open, and no response is paid for twice.")
_ADVICE = {
    "network": _("Check your network and teacher.base_url; raise teacher.deadline where responses need longer."),
    "busy": _("Wait a while, lower teacher.max_concurrent, or set teacher.requests_per_minute."),
    "refused": _("Correct in [teacher] what the provider's message names."),
    "down": _("Look at the provider's status page, and wait until it responds again."),
}


def hopeless_error(fault: ResponseFault) -> ProviderError:
    """The error for a `fault` that every request will meet."""
    return ProviderError(
        fault.what,
        do=fault.do or _("Check the API key, the credit and the model's name, then run the same command again."),
    )


def repeated_failure(fault: ResponseFault | None) -> ProviderError:
    """The error that pauses a generation whose requests keep failing, most recently with `fault`."""
    last = fault.what if fault is not None else _("no response")
    kind = "" if fault is None else "network" if fault.reason == NETWORK else fault.kind
    do = _ADVICE.get(kind, _ADVICE["down"])
    return ProviderError(
        _("the provider fails repeatedly, and the generation pauses; most recently: {last}", last=last),
        do=joined(" ", (do, _STILL_OPEN)),
    )


def other_currency(reported: str, budgeted: str) -> ProviderError:
    """The error where the provider's `reported` currency is not that of the budget, `budgeted`."""
    return ProviderError(
        _(
            "the provider reports costs in {reported}, and the budget is in {budgeted}",
            reported=reported,
            budgeted=budgeted,
        ),
        where="[teacher]",
        do=_(
            'Write currency = "{reported}", with budget, price_in and price_out in it, or a rate for conversion: '
            "rates = {example}, units of {budgeted} for one {reported}. Then run the same command again.",
            reported=reported,
            example="{" + reported + " = …}",
            budgeted=budgeted,
        ),
    )
