"""The task `persona`: a game character's voice, in conversations of one or several turns.

The source is the last message of the user, with all messages before it; the fingerprint covers all turns, and an
exchange stays whole in one split. No response has to be matched word for word, so what is measured is similarity
(chrF to a held-out response), voice (style markers kept, nothing out of character) and freedom from loops.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from types import MappingProxyType
from typing import Any

import regex

from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.records import Example, Turn
from terakoya.scoring.health import repeated_text
from terakoya.scoring.metrics import Metric, chrf
from terakoya.task import Task
from terakoya.tasks.options import require_count

ORIGIN = "exchanges.jsonl"


def task(*, turns: int = 0) -> Task:
    """The voice of 煤助, an old iron kettle.

    turns  how many turns of the conversation before the source are kept; 0 is all of them
    """
    require_count(turns=turns)
    description = _description()
    return Task(
        name="persona",
        examples=tuple(_with_context(example, turns) for example in exchanges()),
        metrics=MappingProxyType(
            {
                "chrf": chrf,
                "voice": Metric("voice", _judged(voice(description["markers"]))),
                "in_character": Metric("in_character", _judged(in_character(description["forbidden"]))),
                "no_loops": Metric("no_loops", _judged(lambda text: 1 - repeated_text(text)), graded=True),
            }
        ),
        instruction=description["description"].strip(),
        summary=_("a game character's voice, in conversations of one or several turns (煤助, a talking iron kettle)"),
    )


def exchanges() -> list[Example]:
    """Every response of the character with all that was said before it; the group is the exchange."""
    found = []
    text = (resources.files(__name__) / ORIGIN).read_text(encoding="utf-8")
    for row, line in enumerate(text.splitlines(), 1):
        exchange = json.loads(line)
        said = [Turn(message["role"], message["content"]) for message in exchange["messages"]]
        for place, turn in enumerate(said):
            if turn.role == "assistant":
                found.append(_example(said[:place], turn, exchange, row))
    return found


def voice(markers: Sequence[Any]) -> Callable[[str], float]:
    """A judge of style: 1.0 where a text carries a usual marker of the character and one other, else 0.0.

    markers  of persona.toml: "pattern" and "expected", the share of responses that carry it (usual: from 0.5 on)
    """
    usual = [regex.compile(marker["pattern"]) for marker in markers if marker["expected"] >= 0.5]
    others = [regex.compile(marker["pattern"]) for marker in markers if marker["expected"] < 0.5]

    def judge(text: str) -> float:
        return float(any(p.search(text) for p in usual) and any(p.search(text) for p in others))

    return judge


def in_character(forbidden: Sequence[str]) -> Callable[[str], float]:
    """A judge of content: 1.0 where a text holds nothing that the character never says, else 0.0.

    forbidden  regular expressions
    """
    patterns = [regex.compile(pattern) for pattern in forbidden]
    return lambda text: float(not any(pattern.search(text) for pattern in patterns))


def _judged(judge: Callable[[str], float]) -> Callable[[str | None, Sequence[str]], float]:
    """A judgement of the predicted text alone; no text scores 0."""
    return lambda text, targets: 0.0 if not text else judge(text)


def _with_context(example: Example, turns: int) -> Example:
    if not turns or len(example.turns) <= turns:
        return example
    return replace(example, turns=example.turns[-turns:])


def _example(before: Sequence[Turn], response: Turn, exchange: Any, row: int) -> Example:
    if not before or before[-1].role != "user":
        raise DataError(
            _("a response without a user's message before it"),
            where=_("{origin}, line {row}", origin=ORIGIN, row=row),
            do=_("Let user and assistant alternate."),
        )
    return Example(
        source=before[-1].content,
        target=response.content,
        group=f"exchange:{exchange['id']}",
        origin=ORIGIN,
        row=row,
        tags=(("topic", exchange["topic"]), ("turn", str(len(before) // 2 + 1))),
        turns=tuple(before[:-1]),
    )


def _description() -> dict[str, Any]:
    return tomllib.loads((resources.files(__name__) / "persona.toml").read_text(encoding="utf-8"))
