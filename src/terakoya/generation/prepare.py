"""Teacher, ledger and balance rules made from the config, and every objection to spending, raised before the first
request."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from terakoya.config import Config, TeacherConfig
from terakoya.errors import ConfigError
from terakoya.generation.balance import BalanceRules
from terakoya.generation.recipe import Recipe
from terakoya.generation.sentences import lexicon
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.ledger_batches import BATCHES, BatchLedger
from terakoya.generation.teacher.ledger_journal import read_journal
from terakoya.generation.teacher.offline import LexiconTeacher, RuleTeacher
from terakoya.generation.teacher.protocol import NANO, Teacher
from terakoya.generation.teacher.rate_limits import RetryPolicy
from terakoya.generation.teacher.retries import TeacherClient
from terakoya.generation.teacher.spending import SpendingCap, TokenPrices
from terakoya.i18n import _, joined

if TYPE_CHECKING:
    from terakoya.generation.teacher.batches import BatchPolicy

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def make_teacher(config: TeacherConfig, recipe: Recipe, rules: BalanceRules) -> Teacher:
    """The teacher that `config.kind` names.

    config  section [teacher]
    recipe  steps, and rules or habits of the offline teachers
    rules   banned and allowed labels, for the lexicon teacher
    """
    if config.kind == "rules":
        return RuleTeacher(recipe)
    if config.kind == "lexicon":
        return LexiconTeacher(recipe, tuple(rules.banned), rules.allowed)
    return make_api_teacher(config)


def make_api_teacher(config: TeacherConfig) -> Teacher:
    """The teacher behind an OpenAI-compatible API.

    config  section [teacher], of the kind "api"
    """
    from terakoya.generation.teacher.batch_api import BatchApi
    from terakoya.generation.teacher.http_client import ApiTeacher

    key = os.environ.get(config.key_variable, "") if config.key_variable else ""
    return (BatchApi if config.batch else ApiTeacher)(
        config.model,
        config.base_url,
        key,
        deadline=config.deadline,
        connections=config.max_concurrent,
        redact=_redactor({config.key_variable: key} | _referenced((config.extra, config.headers))),
        extra=_with_variables(config.extra),
        headers=_with_variables(config.headers),
        max_tokens_name=config.max_tokens_name,
    )


def rules_of(config: Config, recipe: Recipe) -> BalanceRules:
    """Balance rules from the config; the label set is the recipe's where the config names none.

    config  the whole config; `teacher` is used
    recipe  supplies the default label set
    Raises ConfigError where density has no label set or the quota cannot be met.
    """
    teacher = config.teacher
    allowed = frozenset(teacher.labels or (lexicon() if recipe.labels == "lexicon" else ())) - frozenset(teacher.banned)
    if teacher.density and not allowed:
        raise ConfigError(
            _("density is counted over a fixed label set, and none is given"),
            where="[teacher]",
            do=_('Name the labels: labels = ["🍎", …].'),
        )
    size = len(allowed)
    if teacher.quota and size and teacher.quota * size < 1:
        smallest = 1 / size
        raise ConfigError(
            _("{size} labels with at most {quota:.1%} each do not add up to 100%", size=size, quota=teacher.quota),
            where="[teacher]",
            do=_("Raise quota to at least {smallest:.3f}, or name more labels.", smallest=smallest),
        )
    return BalanceRules(teacher.samples, frozenset(teacher.banned), allowed, teacher.quota, teacher.density)


def require_permission_to_spend(config: Config, i_have_the_right: bool) -> None:
    """Refuse, with all reasons at once, what must not be sent or paid for.

    config            the whole config; `teacher` is used
    i_have_the_right  the user vouches for training on this teacher's output
    Raises ConfigError.
    """
    teacher = config.teacher
    if teacher.kind != "api":
        return
    faults = []
    if not teacher.model:
        faults.append(
            ConfigError(
                _("no model is named"),
                where="[teacher]",
                do=_('Write model = "…".'),
            )
        )
    if fault := _address_fault(teacher.base_url):
        faults.append(fault)
    if not teacher.licence and not i_have_the_right:
        faults.append(
            ConfigError(
                _("the terms for training on this teacher's output are not stated"),
                where="[teacher]",
                do=_(
                    'Many providers forbid it. Read their terms and write licence = "…" (its name or address), '
                    "or pass --i-have-the-right, which is recorded."
                ),
            )
        )
    if not teacher.budget and not teacher.requests:
        faults.append(
            ConfigError(
                _("no limit on spending is set"),
                where="[teacher]",
                do=_("Write budget = … (money) or requests = … (a number)."),
            )
        )
    if teacher.budget and min(teacher.price_in, teacher.price_out) < 0:
        faults.append(unknown_price())
    faults += [*_key_faults(teacher), *_batch_faults(teacher)]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ConfigError(
            joined("\n", (fault.message for fault in faults)),
            do=_("Correct these in [teacher]; docs/settings.md lists every setting."),
        )


def _batch_faults(teacher: TeacherConfig) -> list[ConfigError]:
    """Settings of single requests that mean nothing for requests in batches."""
    if not teacher.batch:
        return []
    idle = [
        f"teacher.{name}" for name in ("hedge", "requests_per_minute", "tokens_per_minute") if getattr(teacher, name)
    ]
    return [
        ConfigError(
            _("{key} has no effect on requests that are sent in batches", key=key),
            where="[teacher]",
            do=_("Leave {key} out.", key=key),
        )
        for key in idle
    ]


def _address_fault(base_url: str) -> ConfigError | None:
    """What keeps `base_url` from being the address of an API; its user names and keys are refused when it is read."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(char.isspace() for char in base_url):
        return ConfigError(
            _("'{base_url}' is no address of an API", base_url=base_url),
            where="[teacher] base_url",
            do=_(
                "Write it with https:// or http://, as in base_url = {example}.",
                example='"https://openrouter.ai/api/v1"',
            ),
        )
    if parts.path.rstrip("/").endswith("/completions"):
        shorter = base_url.split("/chat/completions")[0].removesuffix("/completions")
        return ConfigError(
            _("base_url names the method as well, which is added to it"),
            where="[teacher] base_url",
            do=_('Write base_url = "{shorter}".', shorter=shorter),
        )
    return None


def _key_faults(teacher: TeacherConfig) -> list[ConfigError]:
    """What is wrong with the environment variables that hold keys; their values are never shown."""
    faults = []
    referenced = _referenced((teacher.extra, teacher.headers))
    key = {teacher.key_variable: os.environ.get(teacher.key_variable, "")} if teacher.key_variable else {}
    for variable, value in {**key, **referenced}.items():
        if not value and (variable in referenced or not _is_local(teacher.base_url)):
            faults.append(
                ConfigError(
                    _("the environment variable {variable} is not set", variable=variable),
                    where="[teacher]",
                    do=_("Set it to your API key: export {variable}=…", variable=variable),
                )
            )
        elif any(not "!" <= char <= "~" for char in value):
            faults.append(
                ConfigError(
                    _(
                        "the environment variable {variable} holds white space or a character that no key contains",
                        variable=variable,
                    ),
                    where="[teacher]",
                    do=_(
                        "Set it to the key alone, without line break or quotation marks: export {variable}=…",
                        variable=variable,
                    ),
                )
            )
    return faults


def _referenced(values: Any) -> dict[str, str]:
    """The environment variables that `values` refer to as ${NAME}, with their content."""
    return {name: os.environ.get(name, "") for name in _REFERENCE.findall(json.dumps(values, ensure_ascii=False))}


def _with_variables(value: Any) -> Any:
    """`value` with every ${NAME} replaced by the environment variable NAME."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: os.environ.get(found.group(1), ""), value)
    if isinstance(value, Mapping):
        return {key: _with_variables(item) for key, item in value.items()}
    return [_with_variables(item) for item in value] if isinstance(value, list | tuple) else value


def unknown_price() -> ConfigError:
    """The refusal of a budget while price_in or price_out is unknown."""
    return ConfigError(
        _("the model's price is not known, so no budget can be enforced"),
        where="[teacher]",
        do=_("Write price_in and price_out, each per million tokens (0 where it is free)."),
    )


def _is_local(base_url: str) -> bool:
    return any(f"//{host}" in base_url for host in ("127.0.0.1", "localhost", "[::1]"))


def prices_of(teacher: TeacherConfig) -> TokenPrices:
    """Prices per token from the prices per million tokens in `teacher` (unknown ones count as 0), in a batch where
    requests are sent in batches."""
    per_token = NANO / 1_000_000 * (teacher.batch_price if teacher.batch else 1.0)
    return TokenPrices(max(teacher.price_in, 0.0) * per_token, max(teacher.price_out, 0.0) * per_token)


def open_ledger(teacher: TeacherConfig, folder: Path) -> BatchLedger:
    """The ledger in `folder`, with the spending cap and disk reserve that `teacher` sets. Raises ConfigError where a
    batch is still open there, and requests are no longer sent in batches."""
    cap = SpendingCap(round(teacher.budget * NANO) if teacher.budget else None, teacher.requests)
    # A batch has an input file while it is open; only then is the journal read once more.
    kept = (folder / BATCHES).glob("*.jsonl") if not teacher.batch else ()
    if any(kept):
        open_batches = sum(one.state != "ended" for one in read_journal(folder / JOURNAL).batches.values())
        if open_batches:
            raise ConfigError(
                _("{count} batches of this generation are not collected yet", count=open_batches),
                where=str(folder),
                do=_("Go on with teacher.batch as it was: their responses are paid for."),
            )
    return BatchLedger(folder, cap, max_concurrent=teacher.max_concurrent, max_tokens=teacher.max_tokens)


def make_client(
    config: TeacherConfig,
    teacher: Teacher,
    ledger: BatchLedger | None,
    retry_policy: RetryPolicy,
    folder: Path | None = None,
    batch_policy: BatchPolicy | None = None,
) -> TeacherClient:
    """The client that sends requests to `teacher`, one by one or in batches.

    config        limits and prices
    teacher       who responds
    ledger        records every request; None for a free teacher
    retry_policy  waits and limits of failing requests
    folder        of the ledger; None where requests are never sent in batches
    batch_policy  waits of batches; None: those of everyday use
    """
    options: dict[str, Any] = {
        "prices": prices_of(config),
        "currency": config.currency,
        "rates": config.rates,
        "retry_policy": retry_policy,
        "attempts": config.attempts,
        "thinking": config.thinking,
    }
    if config.batch and ledger is not None and folder is not None:
        from terakoya.generation.teacher.batch_api import BatchApi
        from terakoya.generation.teacher.batches import BATCH_POLICY, BatchClient

        assert isinstance(teacher, BatchApi)
        return BatchClient(
            teacher, ledger, folder, size=config.batch, batch_policy=batch_policy or BATCH_POLICY, **options
        )
    return TeacherClient(
        teacher,
        ledger,
        requests_per_minute=config.requests_per_minute,
        tokens_per_minute=config.tokens_per_minute,
        max_concurrent=config.max_concurrent,
        hedge=config.hedge,
        **options,
    )


def _redactor(keys: Mapping[str, str]) -> Callable[[str], str]:
    """A provider may quote a key in its response; it never reaches the disk. `keys`: name of the variable → key."""
    known = {key: name for name, key in keys.items() if len(key) >= 8}

    def redact(text: str) -> str:
        for key, name in known.items():
            text = text.replace(key, f"[{name}]")
        return text

    return redact
