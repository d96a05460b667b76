"""What the two logs show about data: one test for each lesson."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent / "data"))

from synthetic_data import TASKS, emoji_v1, labels_task, make_split, number_task

from terakoya.cli import printing
from terakoya.config import make_config
from terakoya.data.audit import audit, audit_table
from terakoya.data.formats import read_rows
from terakoya.data.split import group_of, split_examples
from terakoya.records import Example, Finding


def findings_by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in reversed(findings)}


def test_one_screen_says_what_took_five_trainings(capsys) -> None:  # type: ignore[no-untyped-def]
    """Emoji log: five trials on v1 ended at Jaccard .177, below what ✨ alone scores on that data."""
    rows = emoji_v1()
    printing.findings(audit(labels_task(rows), make_split(rows)), json=False)
    screen = capsys.readouterr().out
    assert sum(1 + len(line) // 100 for line in screen.splitlines()) <= 24
    for said in ("'✨' is 500 of 2682 labels (18.6%)", "4.5 times the second, '📚'", "50.0% of the rows", "collapse"):
        assert said in screen
    assert "1000 rows for 296 labels: 3.4 rows per label" in screen
    assert "Ban the label" in screen and "focal loss" in screen


def test_the_logs_best_score_lies_below_a_constant_on_its_data() -> None:
    """.177 was called a result; the constant ✨ gets more."""
    rows = emoji_v1()
    found = findings_by_check(audit(labels_task(rows), make_split(rows)))["constant-answer"]
    assert found.level == "warn" and 0.177 < found.values["jaccard"] < 0.26


def test_a_skewed_data_set_does_not_stop_a_run() -> None:
    """A set head learns from v1 all the same: a warning, not a wall."""
    rows = emoji_v1()
    assert all(finding.level != "stop" for finding in audit(labels_task(rows), make_split(rows)))


def test_after_a_ban_the_skew_is_seen_where_it_went() -> None:
    """✨ was banned, and the next label took its place."""
    rows = [replace(row, target=row.target.replace("✨", "🔥").replace("🔥 🔥", "🔥")) for row in emoji_v1()]
    found = findings_by_check(audit(labels_task(rows), make_split(rows)))["label-skew"]
    assert found.level == "warn" and found.what.startswith("'🔥'")


def idioms() -> list[Example]:
    """Number expressions in the order of their file: proportions first, loanwords last."""
    with (TASKS / "lexicon" / "number-idioms.tsv").open(encoding="utf-8") as file:
        read = csv.DictReader(file, delimiter="\t")
        return [Example(row["expression"], row["value"], row=at) for at, row in enumerate(read, 2)]


def test_unshuffled_janum_draws_an_objection() -> None:
    """.3 became .7 by shuffling: the order of the rows had decided the exam."""
    rows = idioms()
    found = findings_by_check(audit(number_task(rows), make_split(rows, "tail", exam=0.2, dev=0.1)))["order"]
    assert found.level == "stop" and "split.method" in found.do
    Random(1).shuffle(rows)
    shuffled = [replace(row, row=at) for at, row in enumerate(rows, 2)]
    found = findings_by_check(audit(number_task(shuffled), make_split(shuffled, "tail", exam=0.2, dev=0.1)))["order"]
    assert found.level == "note"


def test_the_same_example_is_never_in_two_splits() -> None:
    """十 and 百兆 were in train and in test."""
    rows = [*idioms(), *(replace(row, source=f" {row.source}　", row=row.row + 1000) for row in idioms())]
    cut = split_examples(rows, make_config({}).split)
    splits = [{group_of(row) for row in side} for side in (cut.train, cut.dev, cut.exam)]
    assert not splits[0] & splits[2] and not splits[0] & splits[1] and not splits[1] & splits[2]


def test_one_stays_one(tmp_path: Path) -> None:
    """1 → 1.0 was worked around in the log by putting every number into brackets."""
    cells = ["1", "10", "", "007", "NA", "null", "１", "1.0", "(0.5)"]
    table = tmp_path / "janum.csv"
    table.write_text("japanese,arabic\n" + "".join(f"x,{cell}\n" for cell in cells), encoding="utf-8")
    assert [row.cells["arabic"] for row in read_rows(table)] == cells


def test_a_float_that_came_through_a_data_frame_is_seen(tmp_path: Path) -> None:
    """Every label of the table turned from 1 to 1.0: noise that a model has to learn."""
    table = tmp_path / "janum.csv"
    table.write_text("source,target\n" + "".join(f"{row.source},{n}.0\n" for n, row in enumerate(idioms())))
    found = findings_by_check(audit_table(table, make_config({"task": {"data": "janum.csv"}})))
    assert found["damaged-float"].level == "warn" and found["damaged-float"].where == "target"


def test_a_resumed_generation_with_rows_twice_is_seen() -> None:
    """Resuming by counting rows gave 88 rows of which 80 were different."""
    rows = idioms()[:80]
    rows = [*rows, *(replace(row, row=100 + row.row) for row in rows[:8])]
    found = findings_by_check(audit(number_task(rows), make_split(rows, exam=0.5)))["duplicates"]
    assert found.level == "warn" and found.values["rows"] == 8


def test_refusals_stored_as_targets_are_found(tmp_path: Path) -> None:
    """Paid for, stored, trained on: 申し訳ありませんが…"""
    lines = [{"source": row.source, "target": row.target} for row in emoji_v1()[:300]]
    lines[7]["target"] = "申し訳ありませんが、その文には絵文字を付けることができません。"
    table = tmp_path / "v1.jsonl"
    table.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    found = findings_by_check(audit_table(table, make_config({"task": {"data": "v1.jsonl", "codec": "labels"}})))
    assert found["refusals"].rows == (8,) and found["odd-labels"].rows == (8,)
