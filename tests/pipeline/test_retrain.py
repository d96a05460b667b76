"""Correct, train again, be told whether it got better: on a real table and two real trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from terakoya.annotation import exam
from terakoya.annotation.corrections import CORRECTED, correct_row
from terakoya.annotation.exam_rows import read_exam_rows
from terakoya.annotation.log import AnnotationLog
from terakoya.cli.main import main
from terakoya.errors import ConfigError, DataError
from terakoya.evaluation.compare import compare, read_item_scores
from terakoya.evaluation.shared_items import compare_shared
from terakoya.pipeline import correct as correcting
from terakoya.pipeline import retrain as retraining
from terakoya.pipeline import run as pipeline
from terakoya.pipeline.dataset import load_dataset, read_run_config
from terakoya.registry import Experiment
from terakoya.reporting import read_record
from terakoya.reporting.markdown import markdown
from terakoya.runs.annotations import read_annotations
from terakoya.runs.in_use import put_in_use, run_in_use

KANJI = "〇一二三四五六七八九"
SETTINGS = ("train.steps=40", "train.evaluate_every=40", "score.resamples=100", "train.guards=false")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrain")
    rows = [f"{''.join(KANJI[int(d)] for d in str(n))},{n}\n" for n in range(160)]
    (folder / "a.csv").write_text("source,target\n" + "".join(rows), "utf-8")
    (folder / "a.toml").write_text('[task]\ndata = "a.csv"\ncodec = "number"\n[model]\nbase = "tiny"\n', "utf-8")
    done = pipeline.run(str(folder / "a.toml"), overrides=SETTINGS, run_dir=folder / "runs", anyway=True)
    return Path(done.folder)


@pytest.fixture(scope="module")
def again(first: Path) -> Any:
    table = (first.parent.parent / "a.csv").read_bytes()
    rows = read_exam_rows(first)
    for row in exam.exam_sample(rows):
        exam.judge(first, row.row.fingerprint, "right", who="ann")
    with pytest.raises(ConfigError, match="no correction"):
        retraining.retrain(first)
    with pytest.raises(DataError):
        correcting.correct(first, rows[0].row.fingerprint, "edit", "no number")
    correcting.correct(first, rows[0].row.fingerprint, "edit", "777", who="ann")
    correcting.correct(first, rows[1].row.fingerprint, "edit", "778", who="ann")
    correcting.correct(first, rows[2].row.fingerprint, "edit", "779", who="ann")
    correcting.correction_log(first).undo(who="ann")
    found = retraining.retrain(first, anyway=True)
    assert (first.parent.parent / "a.csv").read_bytes() == table
    return found


def test_corrected_rows_are_trained_and_the_rest_of_the_exam_is_the_same(first: Path, again: Any) -> None:
    old, new = read_exam_rows(first), read_exam_rows(again.run)
    assert [row.row for row in new] == [row.row for row in old[2:]]
    config = read_run_config(again.run)
    split = load_dataset(Experiment(config.name, config, again.run, own=False)).split
    assert {(row.source, row.target) for row in split.train if row.origin == CORRECTED} == {
        (old[0].row.source, "777"),
        (old[1].row.source, "778"),
    }
    findings = [finding for finding in read_record(again.run).findings if finding.check == "corrections"]
    assert [finding.values["moved"] for finding in findings] == [2]


def test_both_runs_are_compared_on_what_both_exams_hold_and_the_old_one_stays_in_use(first: Path, again: Any) -> None:
    old, new = read_exam_rows(first), read_exam_rows(again.run)
    assert (again.comparison.effect.n, again.left, again.corrected) == (len(new), 2, 2)
    assert again.comparison.first_value == pytest.approx(sum(row.score for row in old[2:]) / len(new))
    assert again.state in ("better", "same", "worse") and again.in_use.name == first.name
    assert f"In use: {first.name}." in again.words("en") and "items are in both exams" in again.words("en")
    put_in_use(again.run)
    assert run_in_use(first).name == again.run.name


def test_a_run_that_was_interrupted_is_compared_when_it_has_gone_on(again: Any) -> None:
    """Killed between its exam and the comparison, or resumed with `terakoya run`: the verdict is not lost."""
    kept = retraining.read_retrained(again.run)
    (again.run / retraining.RETRAINED).unlink()
    found = retraining.read_retrained(again.run)
    assert {**found, "in_use": kept["in_use"]} == kept and kept["corrected"] == 2
    assert retraining.read_retrained(again.before) == {}


def test_an_exam_that_corrected_rows_left_is_opened_a_second_time(first: Path, again: Any) -> None:
    """A hundred corrections are a hundred looks at one exam, not the first look at a hundred exams."""
    assert [read_record(run).openings for run in (first, again.run)] == [1, 2]
    assert read_record(again.run).verdict["openings"] == 2


def test_nothing_new_to_train_on_is_refused(again: Any) -> None:
    with pytest.raises(ConfigError, match="nothing was corrected since"):
        retraining.retrain(again.run)


def test_judgements_go_on_to_the_new_run_and_stand_in_every_verdict(
    first: Path, again: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    carried = read_annotations(again.run).confirmation
    assert carried.complete and carried.right == len(read_exam_rows(again.run))
    said = f"{carried.right} of {carried.right} are right"
    assert said in markdown(read_record(again.run), "en")
    assert main(["run", str(again.run)]) in (0, 1)
    assert said in " ".join(capsys.readouterr().out.split())
    assert main(["run", str(again.run), "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["annotations"]["confirmation"]["right"] == carried.right
    assert said in again.comparison.words("en")
    (same,) = compare(read_item_scores([again.run, again.run]), together=False, resamples=100)
    assert said in same.words("en")


@pytest.mark.parametrize(
    ("gain", "state"), [(1, "second is better"), (-1, "first is better"), (0, "cannot be told apart")]
)
def test_better_and_worse_are_told_on_shared_items_alone(first: Path, gain: int, state: str) -> None:
    """Items that left the exam decide nothing, however they were scored."""
    from dataclasses import replace

    (scores,) = read_item_scores([first])
    many = [replace(scores.items[0], fingerprint=f"{n:016x}", group=f"g{n}", value=float(n % 2)) for n in range(60)]
    old = replace(scores, items=tuple(many))
    shifted = [replace(item, value=min(1.0, max(0.0, item.value + gain))) for item in many[10:]]
    assert compare_shared(old, replace(scores, items=tuple(shifted)), resamples=100).state == state


def test_corrections_are_made_merged_and_undone_at_a_terminal(
    first: Path, again: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the page does, without a browser; last of the file, because it adds to the log of the table."""
    source = read_exam_rows(first)[4].row.source
    assert main(["correct", str(first), "--source", source, "--target", "5000", "--by", "eve"]) == 0
    assert f"{source}  {read_exam_rows(first)[4].row.target} → 5000" in capsys.readouterr().out
    other = AnnotationLog(tmp_path / "bob.jsonl")
    correct_row(other, read_exam_rows(first)[4].row, "edit", "6000")
    assert main(["correct", str(first), "--merge", str(other.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["conflicts"][0]["targets"] == {"eve": "5000", "bob": "6000"} and found["changed"] == 2
    assert main(["correct", str(first), "--undo", "--by", "bob"]) == 0
    assert "5000" in capsys.readouterr().out
    assert main(["correct", str(first), "--source", "nothing", "--target", "1"]) == 3
    assert "no row of this run's data" in capsys.readouterr().err


def test_an_exam_is_confirmed_in_a_spreadsheet(first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "sample.csv"
    assert main(["confirm", str(first), "--write", str(table)]) == 0
    capsys.readouterr()
    lines = table.read_text("utf-8-sig").splitlines()
    assert lines[0] == "fingerprint,source,target,judgement,right_target" and all(",right," in one for one in lines[1:])
    lines[1] = lines[1].replace(",right,", ",wrong,999")
    lines[2] = lines[2].replace(",right,", ",perhaps,")
    table.write_text("\n".join(lines), "utf-8")
    before = read_annotations(first).confirmation
    assert main(["confirm", str(first), "--read", str(table), "--by", "ann"]) == 3
    assert "sample.csv, line 3" in capsys.readouterr().err and read_annotations(first).confirmation == before
    lines[2] = lines[2].replace(",perhaps,", ",unclear,")
    table.write_text("\n".join(lines), "utf-8")
    assert main(["confirm", str(first), "--read", str(table), "--by", "ann", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["annotations"]["confirmation"]
    assert (found["right"], found["wrong"], found["unclear"]) == (before.right - 2, 1, 1)
    assert f"{found['right']} of {found['right'] + 1} are right" in (first / "report.md").read_text("utf-8")
