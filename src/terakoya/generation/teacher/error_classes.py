"""Classes of provider errors: the words that reveal each, what it means, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from terakoya.i18n import _

Kind = Literal["busy", "down", "garbled", "refused", "hopeless"]


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """A class of errors: its name, kind, the text that reveals it, what it means and what to do."""

    name: str
    kind: Kind
    pattern: re.Pattern[str]
    what: str
    do: str = ""


def words(pattern: str) -> re.Pattern[str]:
    """`pattern` compiled: white space in it is layout, and case does not matter."""
    return re.compile(pattern, re.IGNORECASE | re.VERBOSE)


_CHECK_KEY = _(
    "Check that the variable named by teacher.key_variable holds a valid key of this provider, then run the same "
    "command again."
)
_ADD_CREDIT = _(
    "Add credit or raise the spending limit at the provider, then run the same command again: every row is still open."
)
_WAIT_FOR_PERIOD = _(
    "Run the same command again when the limit has been reset, or raise it at the provider: every row is still open."
)
_CHECK_MODEL = _("Correct teacher.model: the provider's list of models shows the exact names.")
_CHECK_PERMISSION = _("Check at the provider what this key, account or region may use, or name another teacher.model.")
_CHECK_ADDRESS = _(
    "Correct teacher.base_url: the address in front of /chat/completions, which mostly ends in /v1 "
    "(https://openrouter.ai/api/v1)."
)
_TOO_LONG = _("Shorten the source sentences or the prompt.")

# First match wins. A limit per day stands before credit and a limit per minute after it, because one provider writes
# "exceeded your current quota, please check your plan and billing details" for all three.
CLASSES = (
    ErrorClass("moderation", "refused", words(r"""
        moderat | content[ _-]?(policy|filter|management) | responsible_?ai | data_inspection_failed | safety
        | (prompt|input|content|request|message)[^.]{0,40}flagged | flagged\ (by|as|for) | prohibited[ _]content
        | inappropriate\ content | sensitive\ (content|word) | 敏感
        """), _("refused by moderation")),
    ErrorClass("period", "hopeless", words(r"""
        per[ _-]?(day|week|month)(?![a-z]*min) | \b(rpd|tpd)\b | / ?(day|week|month)\b
        | (daily|weekly|monthly)[ _-](\w+[ _-]){0,3}(limit|quota|allocation|allowance|cap|requests|tokens|usage)
        | quota\ will\ be\ replenished | 今日.{0,6}(额度|上限|次数) | 每[日天]
        """), _("a limit per day or month is used up"), _WAIT_FOR_PERIOD),
    ErrorClass("rate", "busy", words(r"""
        per[ _-]?min | \b(rpm|tpm)\b | / ?min | per[ _-]?second | retrydelay
        | (re)?try\ (again\ )?(in|after)\ [\d.]+\ *m?s
        """), _("too many requests")),
    ErrorClass("credit", "hopeless", words(r"""
        insufficient[ _-](\w+[ _-])?(quota|credits?|balance|funds) | exceeded\ your\ current\ quota
        | credit\ (balance|limit) | (out\ of|no|any|not\ enough|more|included|remaining)\ credits?
        | only\ afford
        | billing[ _-]?(hard|not|is|limit|account\ (is|not)|has) | payment\ (is\ )?required | arrear | overdue
        | (spend(ing)?|budget|key|usage)[ _-]limit[ _-]?(exceeded|reached|has) | budget\ (has\ been\ )?exceeded
        | balance\ (is\ )?(too\ low|not\ enough|insufficient|exhausted) | account[^.]{0,30}(good\ standing|not\ active)
        | quota[ _-]?(exceeded|exhausted|used\ up) | exceeded\ (the\ |your\ )?(\w+\ )?quota | 余额 | 欠费 | 额度 | 充值
        | 残高 | 잔액
        """), _("there is no credit left"), _ADD_CREDIT),
    ErrorClass("model", "hopeless", words(r"""
        model[ _-]?(is[ _])?(not[ _-]?found|decommissioned|deprecated|unavailable|not[ _]exist|not[ _]supported)
        | (invalid|unknown|no\ such|unrecogni[sz]ed|unsupported|incorrect)\ model
        | model\ (identifier|id|name)\ is\ (invalid|not) | not\ a\ valid\ model
        | model[^.]{0,80}(does\ not\ exist|doesn't\ exist|not\ found|is\ not\ (available(?!\ in\ )|supported)
            |decommissioned|deprecated|no\ longer|not\ exist)
        | no\ (endpoints|available\ channel|allowed\ providers)[^.]{0,20}\ (found\ )?for | 模型不存在 | 不支持.{0,4}模型
        """), _("the provider does not know this model"), _CHECK_MODEL),
    ErrorClass("permission", "hopeless", words(r"""
        unsupported_country
        | (country|region|territory|location)[^.]{0,40}(not\ (supported|available|allowed)|unsupported)
        | permission[ _-]?(denied|error) | (not|n't)\ (have\ )?(access|permission|allowed|permitted|authori[sz]ed)\ to
        | data\ policy | account[^.]{0,30}(suspended|deactivated|disabled|banned|terminated|blocked)
        | must\ be\ verified | accept\ the\ (terms|licen[sc]e)
        """), _("the key does not permit this use"), _CHECK_PERMISSION),
    ErrorClass("key", "hopeless", words(r"""
        (invalid|incorrect|wrong|missing|expired|revoked|malformed|unknown|no|disabled|bad)[ _-]
            (\w+[ _-])?(api|access|auth\w*|bearer|secret|x-api)[ _-]?(key|token|credential|header)?\w*\b(?!\ error\ in)
        | (api|access|secret)[ _-]?(key|token)[^.]{0,40}
            (invalid|not\ valid|incorrect|wrong|expired|revoked|missing|not\ found|required|disabled|unauthori[sz]ed)
        | authentication[ _]?(error|failed|required|fails) | unauthenticated | \bunauthori[sz]ed\b
        | provide\ an?\ api\ key
        | invalid[ _]authentication | auth(entication)?\ credentials | user\ not\ found | 身份验证 | 令牌 | 鉴权
        | 無効な.{0,6}(キー|鍵) | 无效的?.{0,4}(key|密钥)
        """), _("the key was rejected"), _CHECK_KEY),
    ErrorClass("length", "refused", words(r"""
        context[ _](length|window|size|limit) | maximum\ context | (prompt|input|request)\ (is\ )?too\ (long|large)
        | too\ many\ (input\ )?tokens | string_above_max_length
        """), _("the prompt is too long for this model"), _TOO_LONG),
    ErrorClass("address", "hopeless", words(r"""
        unexpected\ endpoint | (unknown|invalid|unsupported|no\ such)[^.]{0,12}(url|endpoint|route|path)\b
        | (route|endpoint|page|url|path)[^.]{0,60}not\ (be\ )?found | page\ not\ found | cannot\ post
        | no\ (handler|route)\ (was\ )?(found|matched|matches) | method\ not\ allowed
        """), _("this address is no chat completions API"), _CHECK_ADDRESS),
    ErrorClass("rate", "busy", words(r"""
        (rate|qps|request|concurrency)[ _-]?(request[ _-])?limit
        | too[ _]many[ _](\w+[ _])?requests | throttl | concurren(t|cy) | slow\ down
        | resource_exhausted | 请求过于频繁 | 速率
        """), _("too many requests")),
    ErrorClass("overload", "down", words(r"""
        overload | at\ capacity | capacity\ exceeded | temporarily\ unavailable | (currently|still|is)\ loading
        | try\ again\ later | no\ instances
        """), _("the provider is overloaded")),
)  # fmt: skip
