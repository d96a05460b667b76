"""Lessons about the record: what the logs wrote by hand, and what their authors believed because it was not shown."""

from __future__ import annotations

from pathlib import Path

from terakoya.records import Finding, Score, Signature, Step
from terakoya.reporting import RunRecord, SweepRecord, html, markdown, read_record, sweep_html
from terakoya.runs import Index, Run

MARK = Signature("aa", "exact|v:1", "greedy")


def _score(value: float, low: float, high: float, n: int, who: str = "model", mark: Signature = MARK) -> Score:
    return Score(who, "exact", value, low, high, n, mark)


def test_lesson_38_the_record_writes_itself_in_japanese_and_english(tmp_path: Path) -> None:
    """Both logs were written by hand, after each run; here the folder alone is enough, also a year later."""
    with Run.create(tmp_path, "kannume", seed=7) as run:
        run.append("steps.jsonl", Step(10, 2.0, 2.0, 1e-3, 1.0, 64, 0.5))
        run.append("findings.jsonl", Finding("holes", "warn", "a magnitude is never taught", do="Cover the range."))
        run.append(
            "predictions.jsonl",
            {"source": "千", "target": "1000", "raw": "(1000)", "prediction": "1000", "verdict": 1.0},
        )
        run.write_json("scores.json", {"scores": [_score(0.575, 0.42, 0.71, 40)], "verdict": {}})
        run.finish("done", openings=2)
    record = read_record(run.path)
    japanese, english = markdown(record, "ja"), markdown(record, "en")
    for heading in ("概要・結論", "実験環境", "試行", "推論テスト", "評価指標", "次のステップ", "生成コスト"):
        assert f"## {heading}" in japanese
    for text in (japanese, english, html(record, "ja")):
        assert "a magnitude is never taught" in text
        assert "Cover the range." in text
        assert "千" in text


def test_lesson_26_a_score_of_forty_items_shows_how_little_it_knows() -> None:
    """0.575 of 40 items means "somewhere from 0.42 to 0.71", and the record says so on its first lines."""
    text = markdown(RunRecord("kannume", scores=(_score(0.575, 0.42, 0.71, 40),)), "en")
    assert "0.575, 95% interval 0.420 to 0.710, on 40 items" in text.split("## ")[1]


def test_lesson_27_baselines_stand_beside_the_score() -> None:
    """A Jaccard of 0.177 looked like a result until the constant answer's 0.186 stood beside it."""
    scores = (_score(0.177, 0.15, 0.2, 300), _score(0.186, 0.16, 0.21, 300, who="constant"))
    text = markdown(RunRecord("emoji", scores=scores), "en")
    lines = [line for line in text.splitlines() if line.startswith(("| the model |", "| constant |"))]
    assert ["0.177" in lines[0], "0.186" in lines[1]] == [True, True]


def test_lesson_25_figures_of_different_exams_are_not_plotted_together() -> None:
    """.3 → .7 by shuffling was a comparison of two exams."""
    other = Signature("bb", "exact|v:1", "greedy")
    runs = (
        RunRecord("tail split", scores=(_score(0.3, 0.1, 0.6, 10),)),
        RunRecord("shuffled", scores=(_score(0.7, 0.4, 0.9, 10, mark=other),)),
    )
    page = sweep_html(SweepRecord("janum", runs), "en")
    assert "cannot be compared" in page
    assert "All runs, with 95% intervals" not in page


def test_lesson_28_each_look_at_the_exam_is_counted_and_shown(tmp_path: Path) -> None:
    """Hyper-parameters were chosen on the test set; a record now says how often its exam had been opened."""
    index = Index(tmp_path)
    counts = [index.open_exam("aa", f"run-{number}") for number in range(5)]
    assert counts == [1, 2, 3, 4, 5]
    record = RunRecord("run-4", manifest={"openings": counts[-1]}, scores=(_score(0.5, 0.4, 0.6, 100),))
    assert "opened 5 times" in markdown(record, "en")
    assert "5回開封" in html(record, "ja")


def test_lesson_1_a_loss_of_nan_is_shown_as_nan_and_never_as_zero(tmp_path: Path) -> None:
    """The log's first trial printed `loss 0.0` for NaN, because a filter of the library hid it."""
    with Run.create(tmp_path, "k") as run:
        run.append("steps.jsonl", Step(10, float("nan"), float("nan"), 1e-3, float("nan"), 64, 0.5))
    assert '"loss": "NaN"' in (run.path / "steps.jsonl").read_text()
    text = markdown(read_record(run.path), "en")
    assert "last loss (nats per token): nan" in text
