"""Corrections: logged, undone, merged, and kept out of every exam that they would leak into."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.annotation.corrections import (
    CORRECTED,
    correct_row,
    correct_split,
    corrected,
    corrections_finding,
    freeze,
    read_corrections,
    resolve,
    row_of,
)
from terakoya.annotation.log import AnnotationLog, read_entries
from terakoya.config import SplitConfig
from terakoya.data.split import group_of, split_examples
from terakoya.errors import ConfigError, CorruptError, DataError
from terakoya.records import MEMORISED, Example, Split

ROWS = [Example(f"s{n}", f"t{n % 7}", origin="x.csv", row=n + 2) for n in range(200)]


@pytest.fixture
def log(tmp_path: Path) -> AnnotationLog:
    return AnnotationLog(tmp_path / "x.csv.corrections.jsonl")


def edit(log: AnnotationLog, example: Example, target: str, who: str = "") -> None:
    correct_row(log, row_of(example), "edit", target, who=who)


@pytest.mark.parametrize("method", ["hash", "exact", "stratified", "tail"])
def test_a_corrected_row_is_trained_and_every_other_item_stays_in_the_exam(method: str, log: AnnotationLog) -> None:
    """Split again with the corrected rows, a stratified or exact exam would be another one."""
    split = split_examples(ROWS, SplitConfig(method=method))  # type: ignore[arg-type]
    for row in (split.exam[0], split.dev[0], split.train[0]):
        edit(log, row, "right")
    after = correct_split(split, resolve(log.entries()))
    assert after.exam == split.exam[1:] and after.dev == split.dev[1:]
    changed = [row for row in after.train if row.origin == CORRECTED]
    assert {row.source for row in changed} == {split.exam[0].source, split.dev[0].source, split.train[0].source}
    assert {row.target for row in changed} == {"right"}
    assert len(after.train) == len(split.train) + 2


def test_the_whole_group_of_a_corrected_row_leaves_the_exam(log: AnnotationLog) -> None:
    exam = (Example("a", "1", group="g"), Example("b", "2", group="g"), Example("Ｃ", "3"), Example("c", "4"))
    split = Split((Example("t", "0"),), (Example("d", "5", group="g2"),), (*exam, Example("e", "6")))
    edit(log, exam[0], "9")
    edit(log, exam[2], "8")  # its group is its normal form, which is also that of the next row
    after = correct_split(split, resolve(log.entries()))
    assert [row.source for row in after.exam] == ["e"]
    assert not {group_of(row) for row in after.train} & {group_of(row) for row in (*after.exam, *after.dev)}


def test_a_memorised_item_is_not_trained_twice(log: AnnotationLog) -> None:
    row = Example("a", "1")
    split = Split((row,), (), (Example("a", "1", subset=MEMORISED), Example("b", "2")))
    edit(log, row, "9")
    after = correct_split(split, resolve(log.entries()))
    assert [(row.source, row.target) for row in after.train] == [("a", "9")]
    assert [row.source for row in after.exam] == ["b"]


def test_a_second_answer_is_accepted_and_a_rejected_one_changes_nothing(log: AnnotationLog) -> None:
    correct_row(log, row_of(ROWS[0]), "accept", "also")
    correct_row(log, row_of(ROWS[1]), "reject")
    found = resolve(log.entries())
    assert corrected(ROWS[0], found).accepted == ("also",) and corrected(ROWS[0], found).target == ROWS[0].target
    assert corrected(ROWS[1], found) is ROWS[1]
    assert found.changed == 1


def test_a_row_is_corrected_again_after_it_was_trained_with(log: AnnotationLog) -> None:
    edit(log, ROWS[0], "b")
    again = corrected(ROWS[0], resolve(log.entries()))
    edit(log, again, "c")
    assert corrected(ROWS[0], resolve(log.entries())).target == "c"
    edit(log, corrected(ROWS[0], resolve(log.entries())), ROWS[0].target)  # and back: no endless way
    assert corrected(ROWS[0], resolve(log.entries())).target == ROWS[0].target
    edit(log, ROWS[0], "d")
    assert corrected(ROWS[0], resolve(log.entries())).target == "d"


def test_every_entry_can_be_undone_and_only_ones_own(log: AnnotationLog) -> None:
    edit(log, ROWS[0], "x", "ann")
    edit(log, ROWS[1], "y", "bob")
    assert log.undo(who="ann").text == "x"
    assert corrected(ROWS[0], resolve(log.entries())) is ROWS[0]
    assert corrected(ROWS[1], resolve(log.entries())).target == "y"
    with pytest.raises(ConfigError, match="nothing to undo of 'ann'"):
        log.undo(who="ann")
    assert len(log.entries()) == 3  # nothing is removed


def test_two_peoples_work_is_merged_and_a_disagreement_left_to_decide(tmp_path: Path, log: AnnotationLog) -> None:
    other = AnnotationLog(tmp_path / "bob.jsonl")
    edit(log, ROWS[0], "x", "ann")
    edit(log, ROWS[1], "y", "ann")
    edit(other, ROWS[0], "z")
    edit(other, ROWS[2], "w")
    edit(other, ROWS[3], "v")
    other.undo()
    assert log.merge(other.path) == 4 and log.merge(other.path) == 0
    found = resolve(log.entries())
    (conflict,) = found.conflicts
    assert (conflict.source, conflict.targets) == ("s0", {"ann": "x", "bob": "z"})
    assert corrected(ROWS[0], found) is ROWS[0]
    assert [corrected(row, found).target for row in ROWS[1:4]] == ["y", "w", ROWS[3].target]
    edit(log, ROWS[0], "z", "ann")
    decided = resolve(log.entries())
    assert not decided.conflicts and corrected(ROWS[0], decided).target == "z"


def test_a_log_survives_a_torn_last_line_and_refuses_a_changed_one(log: AnnotationLog) -> None:
    edit(log, ROWS[0], "x")
    edit(log, ROWS[1], "y")
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-30])
    assert [entry.text for entry in log.entries()] == ["x"]
    edit(log, ROWS[1], "z")
    assert [entry.text for entry in log.entries()] == ["x", "z"]
    log.path.write_bytes(log.path.read_bytes().replace(b'"x"', b'"X"'))
    with pytest.raises(CorruptError, match="line 1"):
        log.entries()


def test_what_a_run_is_trained_with_does_not_grow(log: AnnotationLog) -> None:
    with pytest.raises(ConfigError, match="no correction"):
        freeze(log)
    edit(log, ROWS[0], "x", "ann")
    edit(log, ROWS[1], "y", "ann")
    edit(log, ROWS[1], "z", "bob")
    frozen = freeze(log)
    assert len(read_entries(frozen)) == 1
    before = read_corrections(frozen)
    edit(log, ROWS[2], "w")
    assert read_corrections(frozen) == before and freeze(log) != frozen
    assert corrected(ROWS[0], before).target == "x" and corrected(ROWS[1], before) is ROWS[1]


def test_an_empty_target_is_refused(log: AnnotationLog) -> None:
    with pytest.raises(DataError, match="must not be empty"):
        edit(log, ROWS[0], "  ")


def test_what_is_not_used_is_said(log: AnnotationLog) -> None:
    split = split_examples(ROWS, SplitConfig())
    edit(log, split.exam[0], "x")
    edit(log, Example("gone", "1"), "x")
    edit(log, ROWS[0], "x", "ann")
    edit(log, ROWS[0], "y", "bob")
    finding = corrections_finding(split, resolve(log.entries()), "c.jsonl")
    assert finding is not None and finding.level == "warn"
    assert finding.values == {"rows": 1, "moved": 1, "lost": 1, "undecided": 1}
