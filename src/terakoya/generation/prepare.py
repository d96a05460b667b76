"""Teacher, ledger and balance rules made from the config, and every objection to spending, raised before the first
request."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from terakoya.config import Config, TeacherConfig
from terakoya.errors import ConfigError
from terakoya.generation.balance import BalanceRules
from terakoya.generation.recipe import Recipe
from terakoya.generation.sentences import lexicon
from terakoya.generation.teacher.ledger import Ledger, SpendingCap
from terakoya.generation.teacher.offline import LexiconTeacher, RuleTeacher
from terakoya.generation.teacher.protocol import NANO, Teacher
from terakoya.generation.teacher.rate_limits import RetryPolicy
from terakoya.generation.teacher.retries import TeacherClient, TokenPrices
from terakoya.i18n import both, joined


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
            both(
                "density is counted over a fixed label set, and none is given",
                "density は固定のラベル集合について数えるが、ラベル集合の指定がない",
            ),
            where="[teacher]",
            do=both('Name the labels: labels = ["🍎", …].', 'ラベルを指定すること：labels = ["🍎", …]。'),
        )
    size = len(allowed)
    if teacher.quota and size and teacher.quota * size < 1:
        smallest = 1 / size
        raise ConfigError(
            both(
                f"{size} labels with at most {teacher.quota:.1%} each do not add up to 100%",
                f"{size}種類のラベルに各 {teacher.quota:.1%} の上限では、合計が100%に届かない",
            ),
            where="[teacher]",
            do=both(
                f"Raise quota to at least {smallest:.3f}, or name more labels.",
                f"quota を {smallest:.3f} 以上にするか、ラベルを増やすこと。",
            ),
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
                both("no model is named", "モデルが指定されていない"),
                where="[teacher]",
                do=both('Write model = "…".', 'model = "…" と書くこと。'),
            )
        )
    if "@" in urlsplit(teacher.base_url).netloc:
        faults.append(
            ConfigError(
                both(
                    "base_url contains a user name or password, and configs are stored with their results",
                    "base_url にユーザー名かパスワードが含まれている。設定は結果と一緒に保存される",
                ),
                where="[teacher]",
                do=both(
                    "Put the key into an environment variable and name that variable: key_variable = …",
                    "鍵は環境変数に入れ、その名前を書くこと：key_variable = …",
                ),
            )
        )
    if not teacher.licence and not i_have_the_right:
        faults.append(
            ConfigError(
                both(
                    "the terms for training on this teacher's output are not stated",
                    "この教師モデルの出力を学習に使う条件が書かれていない",
                ),
                where="[teacher]",
                do=both(
                    'Many providers forbid it. Read their terms and write licence = "…" (its name or address), '
                    "or pass --i-have-the-right, which is recorded.",
                    '禁じている提供元が多い。規約を読み、licence = "…"（ライセンスの名前か URL）'
                    "を書くか、--i-have-the-right を付けること（記録に残る）。",
                ),
            )
        )
    if not teacher.budget and not teacher.requests:
        faults.append(
            ConfigError(
                both("no limit on spending is set", "支出の上限が設定されていない"),
                where="[teacher]",
                do=both(
                    "Write budget = … (money) or requests = … (a number).",
                    "budget = …（金額）か requests = …（回数）を書くこと。",
                ),
            )
        )
    if teacher.budget and min(teacher.price_in, teacher.price_out) < 0:
        faults.append(unknown_price())
    variable = teacher.key_variable
    if variable and not os.environ.get(variable) and not _is_local(teacher.base_url):
        faults.append(
            ConfigError(
                both(f"the environment variable {variable} is not set", f"環境変数 {variable} が設定されていない"),
                where="[teacher]",
                do=both(
                    f"Set it to your API key: export {variable}=…",
                    f"API キーを設定すること：export {variable}=…",
                ),
            )
        )
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ConfigError(
            joined("\n", (fault.message for fault in faults)),
            do=both(
                "Correct these in [teacher]; docs/settings.md lists every setting.",
                "[teacher] のこれらの設定を直すこと。設定の一覧は docs/settings.md にある。",
            ),
        )


def unknown_price() -> ConfigError:
    """The refusal of a budget while price_in or price_out is unknown."""
    return ConfigError(
        both(
            "the model's price is not known, so no budget can be enforced", "モデルの価格が不明なので、予算を守れない"
        ),
        where="[teacher]",
        do=both(
            "Write price_in and price_out, each per million tokens (0 where it is free).",
            "price_in と price_out を、百万トークンあたりの額で書くこと（無料なら 0）。",
        ),
    )


def _is_local(base_url: str) -> bool:
    return any(f"//{host}" in base_url for host in ("127.0.0.1", "localhost", "[::1]"))


def prices_of(teacher: TeacherConfig) -> TokenPrices:
    """Prices per token from the prices per million tokens in `teacher` (unknown ones count as 0)."""
    per_token = NANO / 1_000_000
    return TokenPrices(max(teacher.price_in, 0.0) * per_token, max(teacher.price_out, 0.0) * per_token)


def open_ledger(teacher: TeacherConfig, folder: Path) -> Ledger:
    """The ledger in `folder`, with the spending cap and disk reserve that `teacher` sets."""
    cap = SpendingCap(round(teacher.budget * NANO) if teacher.budget else None, teacher.requests)
    return Ledger(folder, cap, max_concurrent=teacher.max_concurrent, max_tokens=teacher.max_tokens)


def make_client(
    config: TeacherConfig, teacher: Teacher, ledger: Ledger | None, retry_policy: RetryPolicy
) -> TeacherClient:
    """The client that sends requests to `teacher`.

    config        limits and prices
    teacher       who responds
    ledger        records every request; None for a free teacher
    retry_policy  waits and limits of failing requests
    """
    return TeacherClient(
        teacher,
        ledger,
        prices=prices_of(config),
        requests_per_minute=config.requests_per_minute,
        tokens_per_minute=config.tokens_per_minute,
        retry_policy=retry_policy,
        attempts=config.attempts,
        max_concurrent=config.max_concurrent,
        hedge=config.hedge,
    )


def _redactor(key: str, name: str) -> Callable[[str], str]:
    """A provider may quote the key in its response; it never reaches the disk."""
    return (lambda text: text.replace(key, f"[{name}]")) if len(key) >= 8 else str
