"""The prompt of a pretrained model. One function makes it for training and for prediction.

Chat: the checkpoint's own template around the turns; the target ends with the token that the template writes after an
assistant's message. Plain: instruction, source, a line break, target, end-of-text. An encoder-decoder reads instruction
and source, and its decoder begins the target by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from terakoya.errors import IncompatibleError
from terakoya.i18n import _
from terakoya.models.pretrained.chat_template import TemplateSegments, template_segments, trims_content
from terakoya.models.pretrained.tokenizer import PromptTokenizer, Segment
from terakoya.models.protocol import Query
from terakoya.records import Turn


@dataclass(frozen=True)
class Prompt:
    """How queries and targets become token ids for one checkpoint.

    tokenizer       encodes text
    template        source of the chat template, "" for a plain prompt
    special_tokens  (name, text) of the special tokens that a template may write
    instruction     text before every source
    prefix_ids      before a plain prompt (the tokenizer's own begin-of-text token; at most one)
    suffix_ids      after a plain prompt (of an encoder's input)
    end             id that ends a target
    separator       text between a plain source and its target
    strips_content  whether the template strips white space from the ends of messages
    system_role     whether the template takes a system message
    """

    tokenizer: PromptTokenizer
    template: str
    special_tokens: tuple[tuple[str, str], ...]
    instruction: str
    prefix_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]
    end: int
    separator: str
    strips_content: bool = False
    system_role: bool = False

    def prompt_ids(self, query: Query) -> list[int]:
        """Ids of everything before the target of this `query`, the same in training and in prediction."""
        if not self.template:
            return [*self.prefix_ids, *self.tokenizer.encode_prompt(self._plain(query)), *self.suffix_ids]
        return self.tokenizer.encode_prompt(self.segments(query))

    def text(self, query: Query) -> str:
        """The prompt of this `query` as one text, with the template's control tokens; a plain one without begin-of-text
        and what the tokenizer puts after it."""
        return "".join(part for part, _is_content in (self.segments if self.template else self._plain)(query))

    def target_ids(self, target: str) -> list[int]:
        """Ids of the `target` and its end token. Raises DataError where the tokenizer would lose part of it."""
        return [*self.tokenizer.encode_target(target), self.end]

    def segments(self, query: Query) -> list[Segment]:
        """The chat prompt of this `query` as text, each segment with whether it is content."""
        turns = self._turns(query)
        return [
            (segment, False) if isinstance(segment, str) else (self._content(turns[segment]), True)
            for segment in self._template_segments(tuple(turn.role for turn in turns))
        ]

    def _template_segments(self, roles: tuple[str, ...]) -> TemplateSegments:
        return template_segments(self.template, self.special_tokens, roles, add_generation_prompt=True)

    def _content(self, turn: Turn) -> str:
        return turn.content.strip() if self.strips_content else turn.content

    def _turns(self, query: Query) -> list[Turn]:
        turns = list(conversation(query))
        if self.instruction and self.system_role and turns[0].role != "system":
            return [Turn("system", self.instruction), *turns]
        if self.instruction and not self.system_role:
            first = next(number for number, turn in enumerate(turns) if turn.role == "user")
            turns[first] = Turn("user", f"{self.instruction}\n{turns[first].content}")
        return turns

    def _plain(self, query: Query) -> list[Segment]:
        lines = [self.instruction] if self.instruction else []
        joint = self.separator or " "
        text = joint.join([*lines, *(turn.content for turn in conversation(query))])
        return [(text, True), (self.separator, False)] if self.separator else [(text, True)]


def conversation(query: Query) -> tuple[Turn, ...]:
    """The turns of a `query`, its source last."""
    if query.turns and query.turns[-1] == Turn("user", query.source):
        return query.turns
    return (*query.turns, Turn("user", query.source))


def make_prompt(tokenizer: PromptTokenizer, *, causal: bool, kind: str, instruction: str) -> Prompt:
    """The prompt of a checkpoint.

    tokenizer    of the checkpoint
    causal       whether the model is causal; an encoder-decoder has no chat prompt
    kind         "auto" (chat where the checkpoint has a template), "chat" or "plain"
    instruction  text before every source, "" for none
    Raises IncompatibleError where a template is wanted and missing or unusable, or no token can end a target.
    """
    hf_tokenizer = tokenizer.hf_tokenizer
    template = _default_template(hf_tokenizer) if causal and kind != "plain" else ""
    if kind == "chat" and not template:
        raise IncompatibleError(
            _("this checkpoint has no chat template"),
            where="model.template",
            do=_("Set model.template = 'plain'."),
        )
    if not template:
        return _plain_prompt(tokenizer, causal, instruction)
    names = _special_tokens(hf_tokenizer)
    return Prompt(
        tokenizer,
        template,
        special_tokens=names,
        instruction=instruction,
        prefix_ids=(),
        suffix_ids=(),
        end=_end_of_message(tokenizer, template, names),
        separator="",
        strips_content=trims_content(template, names),
        system_role=bool(instruction) and _accepts(template, names, ("system", "user")),
    )


def _plain_prompt(tokenizer: PromptTokenizer, causal: bool, instruction: str) -> Prompt:
    prefix, suffix = _surrounding_ids(tokenizer)
    end = tokenizer.hf_tokenizer.eos_token_id
    if end is None:
        raise IncompatibleError(
            _("this checkpoint's tokenizer has no end-of-text token, so no target could end"),
            do=_("Take a checkpoint whose tokenizer names an eos_token."),
        )
    return Prompt(
        tokenizer,
        template="",
        special_tokens=(),
        instruction=instruction,
        prefix_ids=prefix,
        suffix_ids=() if causal else suffix,
        end=end,
        separator=_separator(tokenizer) if causal else "",
    )


def _default_template(hf_tokenizer: Any) -> str:
    found = hf_tokenizer.chat_template
    if isinstance(found, dict):
        found = found.get("default", "")
    return found or ""


def _special_tokens(hf_tokenizer: Any) -> tuple[tuple[str, str], ...]:
    return tuple(
        sorted((name, text) for name, text in hf_tokenizer.special_tokens_map.items() if isinstance(text, str))
    )


def _surrounding_ids(tokenizer: PromptTokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer itself puts before and after a text."""
    bare = tokenizer.backend.encode("x", add_special_tokens=False).ids
    whole = tokenizer.hf_tokenizer("x")["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return tuple(whole[:start]), tuple(whole[start + len(bare) :])
    return (), ()


def _separator(tokenizer: PromptTokenizer) -> str:
    """A line break, or a space where the tokenizer has none."""
    no_line_break = tokenizer.has_unknown("\n") or not tokenizer.backend.encode("\n", add_special_tokens=False).ids
    return " " if no_line_break else "\n"


def _end_of_message(tokenizer: PromptTokenizer, template: str, names: tuple[tuple[str, str], ...]) -> int:
    """The first control token that the template writes after an assistant's message, else end-of-text."""
    segments = template_segments(template, names, ("user", "assistant"), add_generation_prompt=False)
    tail = segments[segments.index(1) + 1 :]
    ids = tokenizer.encode_prompt([(segment, False) for segment in tail if isinstance(segment, str)]) if tail else []
    end = next((i for i in ids if i in tokenizer.control_tokens), tokenizer.hf_tokenizer.eos_token_id)
    if end is None:
        raise IncompatibleError(
            _("neither the chat template nor the tokenizer names a token that ends a message"),
            do=_("Set model.template = 'plain', or take another checkpoint."),
        )
    return int(end)


def _accepts(template: str, names: tuple[tuple[str, str], ...], roles: Sequence[str]) -> bool:
    try:
        template_segments(template, names, roles, add_generation_prompt=True)
    except IncompatibleError:
        return False
    return True
