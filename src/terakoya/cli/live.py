"""Progress: a live line on a terminal, under a table of trials during a sweep; plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from terakoya.cli.lines import error_language, fit, new_console, print_finding, safe
from terakoya.i18n import _, in_language, joined, language
from terakoya.records import Finding, Step
from terakoya.runs.progress import Listener, TrialStatus, clock

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_SECONDS = 10.0  # between progress lines where there is no terminal
REFRESH_SECONDS = 2.0  # after which the table of trials is read again
MAX_ROWS = 16  # of that table, so that it fits a terminal
_ORDER = ("running", "held", "done", "trained", "failed", "open")
_STATES = {
    "running": _("running"),
    "held": _("elsewhere"),
    "done": _("done"),
    "trained": _("trained"),
    "failed": _("failed"),
    "open": _("open"),
}
_STATE_STYLES = {"running": "bold", "failed": "red", "open": "dim", "held": "cyan"}
_COLUMNS = (
    (_("state"), "left"),
    (_("dev"), "right"),
    (_("seed"), "right"),
    (_("trial"), "left"),
)
_SECONDS = _("s")
_STAGES = {
    "examples": _("examples"),
    "audit": _("audit"),
    "model": _("model"),
    "preflight": _("preflight"),
    "train": _("train"),
    "exam": _("exam"),
    "record": _("record"),
    "trial": _("trial"),
    "exam of": _("exam of"),
    "seed": _("seed"),
    "generate": _("generate"),
}


class ProgressDisplay:
    """A listener that shows stages, steps, findings and, during a sweep, how the trials stand."""

    def __init__(self, console: Console, lang: str = "en") -> None:
        self.console, self.lang = console, lang
        self.started = time.monotonic()
        self.printed_at: float | None = None
        self.first: tuple[float, int] | None = None
        self.summary_due = False
        self.dev = ""
        self.live: Any = None
        self.statuses: Callable[[], Sequence[TrialStatus]] | None = None
        self.read_at = 0.0
        self.table: Any = None

    def stage(self, name: str, detail: str = "") -> None:
        self._end_line()
        self.first = None
        title, rest = in_language(_STAGES.get(name, name), self.lang), in_language(detail, self.lang)
        took = f"{time.monotonic() - self.started:6.1f} {in_language(_SECONDS, self.lang)}"
        self.console.print(safe(f"[{took}] {title}" + (f": {rest}" if rest else "")))

    def step(self, step: Step, total: int) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = (now, step.step)
        if step.dev:
            self.dev = in_language(_("  dev "), self.lang) + "  ".join(
                f"{key} {value:.4f}" for key, value in list(step.dev.items())[:3]
            )
        done = step.step - self.first[1]
        remaining = clock((now - self.first[0]) / done * (total - step.step)) if done else "-:--"
        line = _(
            "{remaining} left  step {step}/{total}  loss {plain:.4f}{dev}",
            remaining=remaining,
            step=step.step,
            total=total,
            plain=step.plain,
            dev=self.dev,
        )
        if self.console.is_terminal:
            self._show(in_language(line, self.lang))
        else:
            self._print_now_and_then(line, last=step.step == total)

    def finding(self, finding: Finding) -> None:
        self._end_line()
        print_finding(self.console, finding, self.lang)

    def note(self, text: str) -> None:
        self._end_line()
        self.console.print("  " + safe(in_language(text, self.lang)))

    def progress(self, text: str) -> None:
        if self.console.is_terminal:
            self._show(in_language(text, self.lang))
        else:
            self._print_now_and_then(text)

    def trials(self, statuses: Callable[[], Sequence[TrialStatus]]) -> None:
        self.statuses, self.read_at = statuses, 0.0
        if self.console.is_terminal:
            self._show("")
        else:
            self.summary_due = True
            self._print_now_and_then()

    def _print_now_and_then(self, line: str = "", *, last: bool = False) -> None:
        """Without a terminal: a line, or how the trials stand where that has changed; at most one in PLAIN_SECONDS.

        A training shorter than that has one line, that of its last step.
        """
        now = time.monotonic()
        since = self.first[0] if self.printed_at is None and self.first is not None else self.printed_at
        if since is not None and now - since < PLAIN_SECONDS and not (last and self.printed_at is None):
            return
        if self.summary_due and self.statuses is not None:
            line, self.summary_due = status_summary(self.statuses()), False
        self.printed_at = now
        self.console.print("  " + safe(in_language(line, self.lang)))

    def _show(self, line: str) -> None:
        """Show the line under the table, cut to the terminal; the table is read again when it is old, as other
        processes change it.
        """
        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        now = time.monotonic()
        if self.statuses is not None and now - self.read_at >= REFRESH_SECONDS:
            self.table, self.read_at = status_table(self.statuses(), self.lang), now
        text = Text(fit(safe(line), self.console.width), no_wrap=True)
        shown = text if self.table is None else Group(self.table, text)
        if self.live is None:
            self.live = Live(shown, console=self.console, refresh_per_second=8, transient=True)
            self.live.start()
        self.live.update(shown)

    def _end_line(self) -> None:
        """Prepare for printed lines: above the table, or in place of the line where there is no table."""
        if self.statuses is None:
            self.close()
        elif self.live is not None:
            self._show("")

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None


def status_table(statuses: Sequence[TrialStatus], lang: str) -> Any:
    """Trials that are running, then those with a dev score, best first, then those to come; at most MAX_ROWS."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title, side in _COLUMNS:
        table.add_column(in_language(title, lang), justify=side, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    ranked = sorted(statuses, key=lambda one: (_ORDER.index(one.state), -(one.dev or 0.0)))
    for one in ranked[:MAX_ROWS]:
        dev = "" if one.dev is None else f"{one.dev:.4f}"
        style = _STATE_STYLES.get(one.state, "")
        table.add_row(in_language(_STATES[one.state], lang), dev, str(one.seed), safe(one.name), style=style)
    table.caption = safe(in_language(status_summary(statuses), lang))
    table.caption_justify = "left"
    return table


def status_summary(statuses: Sequence[TrialStatus]) -> str:
    """How many trials are in which state, and the best dev score so far."""
    counts = {state: sum(one.state == state for one in statuses) for state in _ORDER}
    counted = joined(", ", (joined(" ", (str(count), _STATES[state])) for state, count in counts.items() if count))
    best = max((one for one in statuses if one.dev is not None), key=lambda one: one.dev or 0.0, default=None)
    if best is None:
        return counted
    return joined("", (counted, _("; best on dev {dev:.4f}: {name}", dev=best.dev, name=best.name)))


@contextmanager
def progress(*, json: bool, lang: str = "") -> Iterator[Listener]:
    """A display to pass on as listener; with `json` on standard error. It is closed at the end."""
    display = ProgressDisplay(new_console(stderr=json), language(lang))
    try:
        with error_language(lang):
            yield display
    finally:
        display.close()
