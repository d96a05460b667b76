"""Teachers, ledger and balance rules made from the config."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya.config import Config, TeacherConfig
from terakoya.errors import ConfigError
from terakoya.generation.balance import BalanceRules
from terakoya.generation.configured import ConfiguredTeacher, configured_teachers, spending_cap
from terakoya.generation.permission import REFERENCE, referenced_variables
from terakoya.generation.recipe import Recipe
from terakoya.generation.sentences import lexicon
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.ledger_batches import BATCHES, BatchLedger
from terakoya.generation.teacher.ledger_journal import read_journal
from terakoya.generation.teacher.offline import LexiconTeacher, RuleTeacher
from terakoya.generation.teacher.pool import PoolMember, TeacherPool
from terakoya.generation.teacher.protocol import NANO, RequestSettings, Teacher
from terakoya.generation.teacher.rate_limits import RetryPolicy
from terakoya.generation.teacher.retries import TeacherClient
from terakoya.generation.teacher.spending import TokenPrices
from terakoya.i18n import _

if TYPE_CHECKING:
    from terakoya.generation.teacher.batches import BatchPolicy


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
        redact=_redactor({config.key_variable: key} | referenced_variables((config.extra, config.headers))),
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


def prices_of(teacher: TeacherConfig) -> TokenPrices:
    """Prices per token from the prices per million tokens in `teacher` (unknown ones count as 0), in a batch where
    requests are sent in batches."""
    per_token = NANO / 1_000_000 * (teacher.batch_price if teacher.batch else 1.0)
    return TokenPrices(max(teacher.price_in, 0.0) * per_token, max(teacher.price_out, 0.0) * per_token)


def open_ledger(teacher: TeacherConfig, folder: Path, first_teacher: str = "") -> BatchLedger:
    """The ledger in `folder`, with the spending caps and disk reserve of all teachers.

    teacher        section [teacher]
    folder         the generation folder
    first_teacher  of several teachers the one with which the ledger began, before it named any
    Raises ConfigError where a batch is still open there, and its teacher is no longer sent batches.
    """
    found = configured_teachers(teacher)
    _require_collected(found, folder, first_teacher)
    return BatchLedger(
        folder,
        spending_cap(teacher),
        max_concurrent=sum(one.config.max_concurrent for one in found),
        max_tokens=max(one.config.max_tokens for one in found),
        caps={one.name: one.cap for one in found if one.name},
        first_teacher=first_teacher,
    )


def _require_collected(found: tuple[ConfiguredTeacher, ...], folder: Path, first_teacher: str) -> None:
    singly = {one.name: one.prefix for one in found if not one.config.batch}
    # A batch has an input file while it is open; only then is the journal read once more.
    if not singly or not any((folder / BATCHES).glob("*.jsonl")):
        return
    state = read_journal(folder / JOURNAL)
    if first_teacher:
        state.adopt(first_teacher)
    left = [batch.teacher for batch in state.batches.values() if batch.state != "ended" and batch.teacher in singly]
    if left:
        key = f"{singly[left[0]]}.batch"
        raise ConfigError(
            _("{count} batches of this generation are not collected yet", count=len(left)),
            where=str(folder),
            do=_("Go on with {key} as it was: their responses are paid for.", key=key),
        )


def make_pool(
    config: Config,
    recipe: Recipe,
    rules: BalanceRules,
    folder: Path,
    retry_policy: RetryPolicy,
    batch_policy: BatchPolicy | None = None,
    first_teacher: str = "",
) -> tuple[TeacherPool, BatchLedger | None]:
    """All teachers of a config, and the ledger that they share; None where all are free.

    config         the whole config; `teacher` and `seed` are used
    recipe         steps, and rules or habits of the offline teachers
    rules          banned and allowed labels, for the lexicon teacher
    folder         the generation folder
    retry_policy   waits and limits of failing requests
    batch_policy   waits of batches; None: those of everyday use
    first_teacher  of several teachers the one with which the ledger began, before it named any
    """
    found = configured_teachers(config.teacher)
    teachers = [make_teacher(one.config, recipe, rules) for one in found]
    paid = any(teacher.paid for teacher in teachers)
    ledger = open_ledger(config.teacher, folder, first_teacher) if paid else None
    members = []
    for one, teacher in zip(found, teachers, strict=True):
        own = ledger if teacher.paid else None
        client = make_client(one.config, teacher, own, retry_policy, folder, batch_policy, one.name)
        namespace = "" if one.name == first_teacher else one.name
        members.append(PoolMember(one.name, one.weight, client, _settings(config, one.config, teacher), namespace))
    return TeacherPool(members, fallback=config.teacher.fallback), ledger


def _settings(config: Config, one: TeacherConfig, teacher: Teacher) -> RequestSettings:
    temperature = None if one.temperature == "unset" else one.temperature
    return RequestSettings(one.model or teacher.name, one.max_tokens, temperature, config.seed, one.max_rejected)


def make_client(
    config: TeacherConfig,
    teacher: Teacher,
    ledger: BatchLedger | None,
    retry_policy: RetryPolicy,
    folder: Path | None = None,
    batch_policy: BatchPolicy | None = None,
    name: str = "",
) -> TeacherClient:
    """The client that sends requests to `teacher`, one by one or in batches.

    config        limits and prices
    teacher       who responds
    ledger        records every request; None for a free teacher
    retry_policy  waits and limits of failing requests
    folder        of the ledger; None where requests are never sent in batches
    batch_policy  waits of batches; None: those of everyday use
    name          of the teacher in `teacher.pool`; "" for the only one
    """
    options: dict[str, Any] = {
        "prices": prices_of(config),
        "currency": config.currency,
        "rates": config.rates,
        "retry_policy": retry_policy,
        "attempts": config.attempts,
        "thinking": config.thinking,
        "name": name,
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


def _with_variables(value: Any) -> Any:
    """`value` with every ${NAME} replaced by the environment variable NAME."""
    if isinstance(value, str):
        return REFERENCE.sub(lambda found: os.environ.get(found.group(1), ""), value)
    if isinstance(value, Mapping):
        return {key: _with_variables(item) for key, item in value.items()}
    return [_with_variables(item) for item in value] if isinstance(value, list | tuple) else value


def _redactor(keys: Mapping[str, str]) -> Callable[[str], str]:
    """A provider may quote a key in its response; it never reaches the disk. `keys`: name of the variable → key."""
    known = {key: name for name, key in keys.items() if len(key) >= 8}

    def redact(text: str) -> str:
        for key, name in known.items():
            text = text.replace(key, f"[{name}]")
        return text

    return redact
