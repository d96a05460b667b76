"""From config to teacher, ledger and rules; and all that speaks against spending, said before anything is spent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from terakoya.config import Config, TeacherConfig
from terakoya.errors import ConfigError
from terakoya.generation.balance import Rules
from terakoya.generation.recipe import Recipe
from terakoya.generation.sentences import lexicon
from terakoya.generation.teacher.ledger import Cap, Ledger
from terakoya.generation.teacher.offline import LexiconTeacher, RuleTeacher
from terakoya.generation.teacher.protocol import NANO, Teacher
from terakoya.generation.teacher.rate_limits import Patience
from terakoya.generation.teacher.retries import Asking, Prices
from terakoya.i18n import both


def make_teacher(config: TeacherConfig, recipe: Recipe, rules: Rules) -> Teacher:
    """The teacher that the config names."""
    if config.kind == "rules":
        return RuleTeacher(recipe)
    if config.kind == "lexicon":
        return LexiconTeacher(recipe, tuple(rules.banned), rules.allowed)
    from terakoya.generation.teacher.http_client import ApiTeacher

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
            both(
                "density is counted over a fixed label set, and there is none",
                "密度は決まったラベル集合について数えるが、それがない",
            ),
            where="[teacher]",
            do=both('Name the labels: labels = ["🍎", …].', 'ラベルを指定すること：labels = ["🍎", …]。'),
        )
    if teacher.quota and allowed and teacher.quota * len(allowed) < 1:
        raise ConfigError(
            both(
                f"{len(allowed)} labels with at most {teacher.quota:.1%} each do not make a whole",
                f"それぞれ最大{teacher.quota:.1%}のラベル{len(allowed)}種類では全体に届かない",
            ),
            where="[teacher]",
            do=both(
                f"Raise quota to {1 / len(allowed):.3f} at least, or name more labels.",
                f"quota を {1 / len(allowed):.3f} 以上にするか、ラベルを増やすこと。",
            ),
        )
    return Rules(teacher.samples, frozenset(teacher.banned), allowed, teacher.quota, teacher.density)


def refuse(config: Config, i_have_the_right: bool) -> None:
    """All that speaks against spending, before anything is spent."""
    teacher = config.teacher
    if teacher.kind != "api":
        return
    faults = []
    if not teacher.model:
        faults.append(
            ConfigError(
                both("no model is named", "モデルの指定がない"),
                where="[teacher]",
                do=both('Write model = "…".', 'model = "…" と書くこと。'),
            )
        )
    if "@" in urlsplit(teacher.base_url).netloc:
        faults.append(
            ConfigError(
                both(
                    "base_url holds a name or password, and configs are kept with what they made",
                    "base_url に名前かパスワードがある。設定は、それで作ったものと一緒に保存される",
                ),
                where="[teacher]",
                do=both(
                    "Put the key into an environment variable and name it: key_variable = …",
                    "鍵は環境変数に入れ、その名前を書くこと：key_variable = …",
                ),
            )
        )
    if not teacher.licence and not i_have_the_right:
        faults.append(
            ConfigError(
                both(
                    "the terms for training on this teacher's answers are not stated",
                    "この教師モデルの回答を学習に使う条件が書かれていない",
                ),
                where="[teacher]",
                do=both(
                    'Many providers forbid it. Read their terms and write licence = "…" (a licence name or an '
                    "address), "
                    "or give --i-have-the-right, which is recorded.",
                    '禁じている提供元が多い。規約を読み、licence = "…"（ライセンスの名前か所在）'
                    "を書くか、--i-have-the-right を付けること（記録に残る）。",
                ),
            )
        )
    if not teacher.budget and not teacher.requests:
        faults.append(
            ConfigError(
                both("nothing bounds what may be spent", "支出の上限がない"),
                where="[teacher]",
                do=both(
                    "Write budget = … (money) or requests = … (a number).",
                    "budget = …（金額）か requests = …（回数）を書くこと。",
                ),
            )
        )
    if teacher.budget and min(teacher.price_in, teacher.price_out) < 0:
        faults.append(unknown_price())
    if teacher.key_variable and not os.environ.get(teacher.key_variable) and not _is_local(teacher.base_url):
        faults.append(
            ConfigError(
                both(
                    f"the environment variable {teacher.key_variable} is not set",
                    f"環境変数 {teacher.key_variable} が設定されていない",
                ),
                where="[teacher]",
                do=both(
                    f"Set it to your key: export {teacher.key_variable}=…",
                    f"自分の鍵を設定すること：export {teacher.key_variable}=…",
                ),
            )
        )
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ConfigError(
            both("\n".join(map(str, faults)), "\n".join(fault.words("ja") for fault in faults)),
            do=both(
                "Mend these in [teacher]; docs/settings.md lists every setting.",
                "[teacher] のこれらを直すこと。設定の一覧は docs/settings.md にある。",
            ),
        )


def unknown_price() -> ConfigError:
    return ConfigError(
        both(
            "the model's price is not known, so no budget can be kept", "モデルの価格がわからないので、予算を守れない"
        ),
        where="[teacher]",
        do=both(
            "Write price_in and price_out, each per million tokens (0 where it is free).",
            "price_in と price_out を、百万トークンあたりの額で書くこと（無料なら 0）。",
        ),
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
