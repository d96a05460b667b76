"""From config to teacher, ledger and rules; and all that speaks against spending, said before anything is spent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from terakoya.config import Config, TeacherConfig
from terakoya.data.generation_balance import Rules
from terakoya.data.generation_recipe import Recipe
from terakoya.data.ledger import Cap, Ledger
from terakoya.data.sentences import lexicon
from terakoya.data.teacher import NANO, Teacher
from terakoya.data.teacher_asking import Asking, Prices
from terakoya.data.teacher_limits import Patience
from terakoya.data.teacher_offline import LexiconTeacher, RuleTeacher
from terakoya.errors import ConfigError


def make_teacher(config: TeacherConfig, recipe: Recipe, rules: Rules) -> Teacher:
    """The teacher that the config names."""
    if config.kind == "rules":
        return RuleTeacher(recipe)
    if config.kind == "lexicon":
        return LexiconTeacher(recipe, tuple(rules.banned), rules.allowed)
    from terakoya.data.teacher_client import ApiTeacher

    key = os.environ.get(config.key_variable, "") if config.key_variable else ""
    return ApiTeacher(
        config.model,
        config.base_url,
        key,
        deadline=config.deadline,
        connections=config.max_concurrent,
        redact=_redactor(key, config.key_variable),
    )


def rules_of(config: Config, recipe: Recipe) -> Rules:
    """Bans, the label set and quotas: the config's, else the recipe's label set."""
    teacher = config.teacher
    allowed = frozenset(teacher.labels or (lexicon() if recipe.labels == "lexicon" else ())) - frozenset(teacher.banned)
    if teacher.density and not allowed:
        raise ConfigError(
            "density is counted over a fixed label set, and there is none",
            where="[teacher]",
            do='Name the labels: labels = ["🍎", …].',
        )
    if teacher.quota and allowed and teacher.quota * len(allowed) < 1:
        raise ConfigError(
            f"{len(allowed)} labels with at most {teacher.quota:.1%} each do not make a whole",
            where="[teacher]",
            do=f"Raise quota to {1 / len(allowed):.3f} at least, or name more labels.",
        )
    return Rules(teacher.samples, frozenset(teacher.banned), allowed, teacher.quota, teacher.density)


def refuse(config: Config, i_have_the_right: bool) -> None:
    """All that speaks against spending, before anything is spent."""
    teacher = config.teacher
    if teacher.kind != "api":
        return
    faults = []
    if not teacher.model:
        faults.append(ConfigError("no model is named", where="[teacher]", do='Write model = "…".'))
    if "@" in urlsplit(teacher.base_url).netloc:
        faults.append(
            ConfigError(
                "base_url holds a name or password, and configs are kept with what they made",
                where="[teacher]",
                do="Put the key into an environment variable and name it: key_variable = …",
            )
        )
    if not teacher.licence and not i_have_the_right:
        faults.append(
            ConfigError(
                "the terms for training on this teacher's answers are not stated",
                where="[teacher]",
                do='Many providers forbid it. Read their terms and write licence = "…" (a licence name or an address), '
                "or give --i-have-the-right, which is recorded.",
            )
        )
    if not teacher.budget and not teacher.requests:
        faults.append(
            ConfigError(
                "nothing bounds what may be spent",
                where="[teacher]",
                do="Write budget = … (money) or requests = … (a number).",
            )
        )
    if teacher.budget and min(teacher.price_in, teacher.price_out) < 0:
        faults.append(unknown_price())
    if teacher.key_variable and not os.environ.get(teacher.key_variable) and not _is_local(teacher.base_url):
        faults.append(
            ConfigError(
                f"the environment variable {teacher.key_variable} is not set",
                where="[teacher]",
                do=f"Set it to your key: export {teacher.key_variable}=…",
            )
        )
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ConfigError("\n".join(str(fault) for fault in faults))


def unknown_price() -> ConfigError:
    return ConfigError(
        "the model's price is not known, so no budget can be kept",
        where="[teacher]",
        do="Write price_in and price_out, each per million tokens (0 where it is free).",
    )


def _is_local(base_url: str) -> bool:
    return any(f"//{host}" in base_url for host in ("127.0.0.1", "localhost", "[::1]"))


def prices_of(teacher: TeacherConfig) -> Prices:
    per_token = NANO / 1_000_000
    return Prices(max(teacher.price_in, 0.0) * per_token, max(teacher.price_out, 0.0) * per_token)


def open_ledger(teacher: TeacherConfig, folder: Path) -> Ledger:
    cap = Cap(round(teacher.budget * NANO) if teacher.budget else None, teacher.requests)
    return Ledger(folder, cap, under_way=teacher.max_concurrent, max_tokens=teacher.max_tokens)


def open_asking(config: TeacherConfig, teacher: Teacher, ledger: Ledger | None, patience: Patience) -> Asking:
    return Asking(
        teacher,
        ledger,
        prices=prices_of(config),
        requests_per_minute=config.requests_per_minute,
        tokens_per_minute=config.tokens_per_minute,
        patience=patience,
        attempts=config.attempts,
        at_once=config.max_concurrent,
        hedge=config.hedge,
    )


def _redactor(key: str, name: str) -> Callable[[str], str]:
    """A provider may quote the key in its answer; it never reaches the disk."""
    return (lambda text: text.replace(key, f"[{name}]")) if len(key) >= 8 else str
