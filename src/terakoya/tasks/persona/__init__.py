"""The task `persona`: a game character's voice, in conversations of one or several turns.

The source is the last thing said and everything before it; the fingerprint covers all turns, and an exchange stays
whole on one side of a split. There is no right answer to be met word for word, so what is measured is likeness
(chrF to a held-out answer), voice (style markers kept, nothing out of character) and freedom from loops.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from importlib import resources
from types import MappingProxyType
from typing import Any

import regex

from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.records import Example, Turn
from terakoya.scoring.health import repeated_text
from terakoya.scoring.metrics import Metric, chrf
from terakoya.task import Task

ORIGIN = "exchanges.jsonl"


def task(*, turns: int = 0) -> Task:
    """The voice of 煤助, an old iron kettle. `turns`: how many turns before the answer are heard; 0 is all of them."""
    about = _about()
    return Task(
        name="persona",
        examples=tuple(_heard(example, turns) for example in exchanges()),
        metrics=MappingProxyType(
            {
                "chrf": chrf,
                "voice": Metric("voice", _judged(voice(about["markers"]))),
                "in_character": Metric("in_character", _judged(in_character(about["forbidden"]))),
                "no_loops": Metric("no_loops", _judged(lambda text: 1 - repeated_text(text)), graded=True),
            }
        ),
        instruction=about["description"].strip(),
        teaches="a game character's voice, in conversations of one or several turns (煤助, a talking iron kettle)",
    )


def exchanges() -> list[Example]:
    """Every answer of the character with all that was said before it; the group is the exchange."""
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
    """1 where the answer carries a marker that most of the character's answers carry, and one other sign of him."""
    usual = [regex.compile(marker["pattern"]) for marker in markers if marker["expected"] >= 0.5]
    others = [regex.compile(marker["pattern"]) for marker in markers if marker["expected"] < 0.5]

    def judge(text: str) -> float:
        return float(any(p.search(text) for p in usual) and any(p.search(text) for p in others))

    return judge


def in_character(forbidden: Sequence[str]) -> Callable[[str], float]:
    """1 where nothing stands that the character never says."""
    patterns = [regex.compile(pattern) for pattern in forbidden]
    return lambda text: float(not any(pattern.search(text) for pattern in patterns))


def _judged(judge: Callable[[str], float]) -> Callable[[str | None, Sequence[str]], float]:
    """A judgement of the answer alone; what was not answered has no voice."""
    return lambda text, targets: 0.0 if not text else judge(text)


def _heard(example: Example, turns: int) -> Example:
    if not turns or len(example.turns) <= turns:
        return example
    from dataclasses import replace

    return replace(example, turns=example.turns[-turns:])


def _example(before: Sequence[Turn], answer: Turn, exchange: Any, row: int) -> Example:
    if not before or before[-1].role != "user":
        raise DataError(
            both("an answer without a question", "問いのない回答がある"),
            where=both(f"{ORIGIN}, line {row}", f"{ORIGIN}、{row}行目"),
            do=both("Let user and assistant alternate.", "利用者とアシスタントが交互になるようにすること。"),
        )
    return Example(
        source=before[-1].content,
        target=answer.content,
        group=f"exchange:{exchange['id']}",
        origin=ORIGIN,
        row=row,
        tags=(("topic", exchange["topic"]), ("turn", str(len(before) // 2 + 1))),
        turns=tuple(before[:-1]),
    )


def _about() -> dict[str, Any]:
    return tomllib.loads((resources.files(__name__) / "persona.toml").read_text(encoding="utf-8"))
