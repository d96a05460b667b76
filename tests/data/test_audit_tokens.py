"""What a tokenizer cannot carry, and what it would cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthetic_data import labels_task, make_split, number_task
from test_audit import moods, numbers

from terakoya.data.audit import audit
from terakoya.records import Example, Finding
from terakoya.task import Task


@dataclass(frozen=True)
class Characters:
    """One token a character; those in `lost` are unknown, and full-width digits come back half-width."""

    lost: str = ""
    max_source: int = 0
    max_target: int = 0
    unknown: int | None = 0

    def encode(self, text: str) -> list[int]:
        return [0 if char in self.lost else ord(char) for char in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(one) if one else "⁇" for one in ids).translate({0xFF10 + n: 48 + n for n in range(10)})


def findings_by_check(task: Task, rows: list[Example], tokenizer: Characters) -> dict[tuple[str, str], Finding]:
    found = audit(task, make_split(rows, exam=0.5), tokenizer)
    return {(one.check, one.where): one for one in found if one.check in ("tokenizer-loses", "too-long")}


def test_a_tokenizer_that_carries_everything_is_not_mentioned() -> None:
    assert findings_by_check(number_task(numbers()), numbers(), Characters()) == {}


def test_a_target_that_becomes_unknown_stops() -> None:
    """Emoji that became UNK scored 8 of 8 against their own decoded ids, and 0 of 8 against the text."""
    rows = moods()
    found = findings_by_check(labels_task(rows), rows, Characters("✨"))["tokenizer-loses", "target"]
    assert found.level == "stop" and found.values["rows"] == sum("✨" in row.target for row in rows)


def test_a_target_that_decodes_to_another_text_stops_without_any_unknown() -> None:
    """Not every tokenizer has an UNK; some change the text in silence."""
    rows = moods()
    silent = Characters("✨", unknown=None)
    assert findings_by_check(labels_task(rows), rows, silent)["tokenizer-loses", "target"].level == "stop"


def test_sources_are_compared_in_their_normal_form() -> None:
    """A tokenizer that normalises widths loses nothing that a source means."""
    rows = [Example(f"数は１２３と{row.source}", row.target, row=row.row) for row in numbers()]
    assert findings_by_check(number_task(rows), rows, Characters()) == {}
    assert findings_by_check(number_task(rows), rows, Characters("と"))["tokenizer-loses", "source"].level == "warn"


def test_a_target_over_the_limit_stops() -> None:
    """Cut labels lose their end, and the model learns never to stop."""
    rows = numbers()
    found = findings_by_check(number_task(rows), rows, Characters(max_target=5))["too-long", "target"]
    assert found.level == "stop" and found.values["rows"] == sum(len(row.target) > 5 for row in rows)
    assert findings_by_check(number_task(rows), rows, Characters(max_target=6)) == {}


def test_sources_over_the_limit_are_warned_of() -> None:
    rows = numbers()
    assert findings_by_check(number_task(rows), rows, Characters(max_source=4))["too-long", "source"].level == "warn"
