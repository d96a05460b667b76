"""How a pretrained model is spoken to. One function writes the text for training and the text at use.

Chat: the checkpoint's own template around the turns; the answer ends with the token that the template writes after
an assistant's message. Plain: instruction, source, a line break, answer, end-of-text. An encoder-decoder reads
instruction and source, and begins its answer by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from terakoya.errors import IncompatibleError
from terakoya.i18n import both
from terakoya.models.pretrained.chat_template import Skeleton, skeleton, trims
from terakoya.models.pretrained.tokenizer import Part, Tokens
from terakoya.models.protocol import Query
from terakoya.records import Turn


@dataclass(frozen=True)
class Prompt:
    """The way of asking one checkpoint.

    template   the chat template's source, "" for plain
    names      special tokens that the template may write, by the template's names for them
    instruction  put before every source
    before     ids that open a plain prompt (a tokenizer's own beginning-of-text; at most one)
    after      ids that close a plain prompt (of an encoder's input)
    end        id that ends an answer
    between    text between a plain source and its answer
    """

    tokens: Tokens
    template: str
    names: tuple[tuple[str, str], ...]
    instruction: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    end: int
    between: str
    trimmed: bool = False
    system: bool = False

    def question(self, ask: Query) -> list[int]:
        """Ids of everything before the answer: the same in training and at use."""
        if not self.template:
            parts = self._plain(ask)
            return [*self.before, *self.tokens.asked(parts), *self.after]
        return self.tokens.asked(self.parts(ask))

    def answer(self, written: str) -> list[int]:
        """Ids of the answer, with its end."""
        return [*self.tokens.answer(written), self.end]

    def parts(self, ask: Query) -> list[Part]:
        """The prompt as text, the template's parts and the content apart."""
        turns = self._turns(ask)
        return [
            (part, False) if isinstance(part, str) else (self._content(turns[part]), True)
            for part in self._skeleton(tuple(turn.role for turn in turns))
        ]

    def _skeleton(self, roles: tuple[str, ...]) -> Skeleton:
        return skeleton(self.template, self.names, roles, begin=True)

    def _content(self, turn: Turn) -> str:
        return turn.content.strip() if self.trimmed else turn.content

    def _turns(self, ask: Query) -> list[Turn]:
        turns = list(conversation(ask))
        if self.instruction and self.system and turns[0].role != "system":
            return [Turn("system", self.instruction), *turns]
        if self.instruction and not self.system:
            place = next(number for number, turn in enumerate(turns) if turn.role == "user")
            turns[place] = Turn("user", f"{self.instruction}\n{turns[place].content}")
        return turns

    def _plain(self, ask: Query) -> list[Part]:
        lines = [self.instruction] if self.instruction else []
        text = self._joint.join([*lines, *(turn.content for turn in conversation(ask))])
        return [(text, True), (self.between, False)] if self.between else [(text, True)]

    @property
    def _joint(self) -> str:
        return self.between or " "


def conversation(ask: Query) -> tuple[Turn, ...]:
    """The turns of a conversation, the source last."""
    if ask.turns and ask.turns[-1] == Turn("user", ask.source):
        return ask.turns
    return (*ask.turns, Turn("user", ask.source))


def prompt_for(tokens: Tokens, *, causal: bool, kind: str, instruction: str) -> Prompt:
    """The way of asking this checkpoint; `kind` is "auto" (chat where there is a template), "chat" or "plain"."""
    tokenizer = tokens.tokenizer
    template = _template(tokenizer) if causal and kind != "plain" else ""
    if kind == "chat" and not template:
        raise IncompatibleError(
            both("this checkpoint has no chat template", "このチェックポイントに会話のテンプレートがない"),
            where="model.template",
            do=both("Set model.template = 'plain'.", "model.template = 'plain' とすること。"),
        )
    before, after = _surroundings(tokens)
    if not template:
        end = tokenizer.eos_token_id
        if end is None:
            raise IncompatibleError(
                both(
                    "this checkpoint's tokenizer has no end-of-text token, so no answer could end",
                    "このチェックポイントのトークナイザに文の終わりのトークンがなく、答えを終えられない",
                ),
                do=both(
                    "Take a checkpoint whose tokenizer names an eos_token.",
                    "トークナイザに eos_token のあるチェックポイントを使うこと。",
                ),
            )
        between = _between(tokens) if causal else ""
        return Prompt(tokens, "", (), instruction, before, () if causal else after, end, between)
    names = _names(tokenizer)
    return Prompt(
        tokens,
        template,
        names,
        instruction,
        (),
        (),
        _stop(tokens, template, names),
        "",
        trimmed=trims(template, names),
        system=bool(instruction) and _takes(template, names, ("system", "user")),
    )


def _template(tokenizer: Any) -> str:
    found = tokenizer.chat_template
    if isinstance(found, dict):
        found = found.get("default", "")
    return found or ""


def _names(tokenizer: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, text) for name, text in tokenizer.special_tokens_map.items() if isinstance(text, str)))


def _surroundings(tokens: Tokens) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer itself puts before and after a text."""
    bare = tokens.backend.encode("x", add_special_tokens=False).ids
    dressed = tokens.tokenizer("x")["input_ids"]
    for place in range(len(dressed) - len(bare) + 1):
        if dressed[place : place + len(bare)] == bare:
            return tuple(dressed[:place]), tuple(dressed[place + len(bare) :])
    return (), ()


def _between(tokens: Tokens) -> str:
    return " " if tokens.loses("\n") or not tokens.backend.encode("\n", add_special_tokens=False).ids else "\n"


def _stop(tokens: Tokens, template: str, names: tuple[tuple[str, str], ...]) -> int:
    """The first control token that the template writes after an assistant's message, else end-of-text."""
    parts = skeleton(template, names, ("user", "assistant"), begin=False)
    tail = parts[parts.index(1) + 1 :]
    ids = tokens.asked([(part, False) for part in tail if isinstance(part, str)]) if tail else []
    found = next((number for number in ids if number in tokens.controls), tokens.tokenizer.eos_token_id)
    if found is None:
        raise IncompatibleError(
            both(
                "neither the chat template nor the tokenizer says how an answer ends",
                "会話のテンプレートにもトークナイザにも、答えの終わり方が示されていない",
            ),
            do=both(
                "Set model.template = 'plain', or take another checkpoint.",
                "model.template = 'plain' とするか、別のチェックポイントを使うこと。",
            ),
        )
    return int(found)


def _takes(template: str, names: tuple[tuple[str, str], ...], roles: Sequence[str]) -> bool:
    try:
        skeleton(template, names, roles, begin=True)
    except IncompatibleError:
        return False
    return True
