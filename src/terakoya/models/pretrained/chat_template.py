"""Chat templates rendered once, in a child process with little time and little memory.

A template is a program that came with a checkpoint. Here it never sees data: it is rendered with placeholders, and
content is put in their place afterwards. So it runs once per shape of conversation, not once per row, and a hostile one
(endless loops, gigabytes of text) ends with its child process. Dates are frozen, so that a prompt is the same on any
day.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from terakoya.errors import IncompatibleError
from terakoya.i18n import _
from terakoya.models.pretrained.limited_child import ChildFailed, run_limited

_SECONDS, _BYTES = 3, 1 << 30
_PLACEHOLDER = "Terakoya7content{}x"
_USE_PLAIN = _("Set model.template = 'plain', or take another checkpoint.")

_CHILD = r"""
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

request = json.load(sys.stdin)
sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
sandbox.filters["tojson"] = lambda x, **k: json.dumps(x, ensure_ascii=k.get("ensure_ascii", False),
                                                indent=k.get("indent"), separators=k.get("separators"),
                                                sort_keys=k.get("sort_keys", False))
sandbox.globals["raise_exception"] = fail
sandbox.globals["strftime_now"] = Frozen().strftime
template = sandbox.from_string(request["template"])
out = []
for messages, add_generation_prompt in request["conversations"]:
    try:
        names = request["tokens"]
        text = template.render(messages=messages, tools=None, documents=None,
                               add_generation_prompt=add_generation_prompt, **names)
        out.append({"text": text})
    except (jinja2.exceptions.TemplateError, TypeError, AttributeError, KeyError, IndexError, ValueError) as error:
        out.append({"error": str(error)[:500]})
json.dump(out, sys.stdout)
"""

TemplateSegments = tuple[str | int, ...]  # the template's own text, and the indices of the messages between


def template_segments(
    template: str, special_tokens: tuple[tuple[str, str], ...], roles: Sequence[str], *, add_generation_prompt: bool
) -> TemplateSegments:
    """What a template writes around messages of these roles.

    template               its source
    special_tokens         (name, text) of the special tokens that it may write
    roles                  of the messages, in order
    add_generation_prompt  whether the assistant's next message is opened
    Raises IncompatibleError where the template refuses such a conversation, changes it, or does not end.
    """
    rendered = _rendered(template, special_tokens, tuple(roles), add_generation_prompt)
    if "error" in rendered:
        wanted, reason = ", ".join(roles), rendered["error"]
        raise IncompatibleError(
            _("the chat template cannot write a conversation of {wanted}: {reason}", wanted=wanted, reason=reason),
            do=_USE_PLAIN,
        )
    segments: list[str | int] = []
    for index, piece in enumerate(re.split(_PLACEHOLDER.format(r"(\d+)"), rendered["text"])):
        segments.append(int(piece) if index % 2 else piece)
    messages = [segment for segment in segments if isinstance(segment, int)]
    if messages != list(range(len(roles))):
        raise IncompatibleError(
            _("the chat template leaves out, repeats or reorders messages"),
            do=_USE_PLAIN,
        )
    return tuple(segment for segment in segments if segment != "")


def trims_content(template: str, special_tokens: tuple[tuple[str, str], ...]) -> bool:
    """Whether a template strips white space from the ends of messages.

    template        its source
    special_tokens  (name, text) of the special tokens that it may write
    """
    messages = [{"role": "user", "content": f"  {_PLACEHOLDER.format(0)}  "}]
    rendered = _run(template, special_tokens, [(messages, True)])[0]
    return f"  {_PLACEHOLDER.format(0)}" not in rendered.get("text", "")


@lru_cache(maxsize=256)
def _rendered(
    template: str, special_tokens: tuple[tuple[str, str], ...], roles: tuple[str, ...], add_generation_prompt: bool
) -> dict[str, str]:
    messages = [{"role": role, "content": _PLACEHOLDER.format(index)} for index, role in enumerate(roles)]
    return _run(template, special_tokens, [(messages, add_generation_prompt)])[0]


def _run(template: str, special_tokens: tuple[tuple[str, str], ...], conversations: list[Any]) -> list[dict[str, str]]:
    request = {"template": template, "tokens": dict(special_tokens), "conversations": conversations}
    try:
        return run_limited(_CHILD, request, seconds=_SECONDS, memory=_BYTES)  # type: ignore[no-any-return]
    except ChildFailed as error:
        raise IncompatibleError(
            _("the chat template cannot be used: {reason}", reason=error.args[0]),
            do=_USE_PLAIN,
        ) from error
