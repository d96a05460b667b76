"""Chat templates rendered once, by a child process with little time and little memory.

A template is a program that came with a checkpoint. Here it never sees data: it is rendered with stand-ins, and
content is put in their places afterwards. So it runs once per shape of conversation, not once per row, and a hostile
one (endless loops, gigabytes of text) ends with its child. Dates are frozen, so that a text is the same on any day.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from terakoya.errors import IncompatibleError
from terakoya.i18n import both

_SECONDS, _BYTES = 3, 1 << 30
_LONGEST = 1 << 20  # characters of a rendered skeleton
_STAND_IN = "Terakoya7content{}x"

_CHILD = r"""
import json, sys
try:
    import resource
    seconds, most = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
except ImportError:
    pass
import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

class Generation(Extension):
    tags = {"generation"}
    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)
    def _same(self, caller):
        return caller()

class Frozen:
    def strftime(self, form):
        import datetime
        return datetime.datetime(2025, 1, 1).strftime(form)

def fail(message):
    raise jinja2.exceptions.TemplateError(message)

asked = json.load(sys.stdin)
home = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
home.filters["tojson"] = lambda x, **k: json.dumps(x, ensure_ascii=k.get("ensure_ascii", False), indent=k.get("indent"),
                                                   separators=k.get("separators"), sort_keys=k.get("sort_keys", False))
home.globals["raise_exception"] = fail
home.globals["strftime_now"] = Frozen().strftime
template = home.from_string(asked["template"])
out = []
for messages, begin in asked["asked"]:
    try:
        known = asked["tokens"]
        text = template.render(messages=messages, tools=None, documents=None, add_generation_prompt=begin, **known)
        out.append({"text": text})
    except (jinja2.exceptions.TemplateError, TypeError, AttributeError, KeyError, IndexError, ValueError) as error:
        out.append({"error": str(error)[:500]})
json.dump(out, sys.stdout)
"""

Skeleton = tuple[str | int, ...]  # the template's own text, and the numbers of the messages between


def skeleton(template: str, tokens: tuple[tuple[str, str], ...], roles: Sequence[str], *, begin: bool) -> Skeleton:
    """What the template writes around messages of these roles; `begin` opens the answer.

    Raises IncompatibleError where the template refuses such a conversation or does not end.
    """
    found = _rendered(template, tokens, tuple(roles), begin)
    if "error" in found:
        raise IncompatibleError(
            both(
                f"the chat template cannot write a conversation of {', '.join(roles)}: {found['error']}",
                f"会話のテンプレートが {', '.join(roles)} の会話を書けない：{found['error']}",
            ),
            do=both(
                "Set model.template = 'plain', or take another checkpoint.",
                "model.template = 'plain' とするか、別のチェックポイントを使うこと。",
            ),
        )
    parts: list[str | int] = []
    for place, piece in enumerate(re.split(_STAND_IN.format(r"(\d+)"), found["text"])):
        parts.append(int(piece) if place % 2 else piece)
    numbers = [part for part in parts if isinstance(part, int)]
    if numbers != list(range(len(roles))):
        raise IncompatibleError(
            both(
                "the chat template leaves out, repeats or reorders messages",
                "会話のテンプレートがメッセージを落とすか、繰り返すか、並べ替える",
            ),
            do=both(
                "Set model.template = 'plain', or take another checkpoint.",
                "model.template = 'plain' とするか、別のチェックポイントを使うこと。",
            ),
        )
    return tuple(part for part in parts if part != "")


def trims(template: str, tokens: tuple[tuple[str, str], ...]) -> bool:
    """Whether the template takes white space off the ends of messages."""
    messages = [{"role": "user", "content": f"  {_STAND_IN.format(0)}  "}]
    found = _run(template, tokens, [(messages, True)])[0]
    return f"  {_STAND_IN.format(0)}" not in found.get("text", "")


@lru_cache(maxsize=256)
def _rendered(
    template: str, tokens: tuple[tuple[str, str], ...], roles: tuple[str, ...], begin: bool
) -> dict[str, str]:
    messages = [{"role": role, "content": _STAND_IN.format(place)} for place, role in enumerate(roles)]
    return _run(template, tokens, [(messages, begin)])[0]


def _run(template: str, tokens: tuple[tuple[str, str], ...], asked: list[Any]) -> list[dict[str, str]]:
    order = json.dumps({"template": template, "tokens": dict(tokens), "asked": asked})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD, str(_SECONDS), str(_BYTES)],
            input=order.encode(),
            capture_output=True,
            timeout=20 * _SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode or len(done.stdout) > _LONGEST:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] if done else ["it did not end"]
        raise IncompatibleError(
            both(
                f"the chat template cannot be used: {(last or ['it took too much time or memory'])[0][:200]}",
                f"会話のテンプレートが使えない：{(last or ['時間かメモリがかかりすぎた'])[0][:200]}",
            ),
            do=both(
                "Set model.template = 'plain', or take another checkpoint.",
                "model.template = 'plain' とするか、別のチェックポイントを使うこと。",
            ),
        )
    return json.loads(done.stdout)  # type: ignore[no-any-return]
