"""What to do next, measured: a learning curve, a ladder of models, and the steps that a record draws from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from terakoya.cli.main import main
from terakoya.config import Config
from terakoya.errors import ConfigError
from terakoya.evaluation.ladder import Contender, climb, ladder_messages, lookup
from terakoya.evaluation.learning_curve import PARTS, part_of
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.records import Example, Prediction, Split
from terakoya.reporting import markdown, read_record
from terakoya.runs import Index
from terakoya.task import Task

STEPS = 80


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Times of day, which a tiny model does not learn in so few steps: there are errors to explain."""
    folder = tmp_path_factory.mktemp("clock")
    rng = Random(1)
    hours = {(rng.choice("前後"), rng.randrange(12), rng.randrange(60)) for _ in range(220)}
    rows = sorted(
        (f"午{half}{hour}時{minute}分", f"{hour + 12 * (half == '後'):02}:{minute:02}") for half, hour, minute in hours
    )
    lines = "".join(f"{source},{target}\n" for source, target in rows)
    (folder / "clock.csv").write_text("source,target\n" + lines, encoding="utf-8")
    config = f"""
name = "clock"
seed = 1
[task]
data = "clock.csv"
[split]
method = "exact"
dev = 0.2
exam = 0.25
[model]
base = "tiny"
[train]
steps = {STEPS}
threads = 1
"""
    (folder / "clock.toml").write_text(config, encoding="utf-8")
    return folder / "clock.toml"


@pytest.fixture(scope="module")
def run(experiment: Path) -> Path:
    return pipeline.run(str(experiment), run_dir=experiment.parent / "runs").folder


def test_a_run_keeps_the_nearest_training_row_of_each_item(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(0 < line["nearest"]["similarity"] <= 1 for line in lines)
    assert {line["nearest"]["source"] for line in lines}.isdisjoint(line["source"] for line in lines)


def test_the_record_explains_errors_and_marks_what_differs(run: Path) -> None:
    """Not "wrong: 21 of 21": errors by field of the target, and differing characters in the tables."""
    text = (run / "report.md").read_text(encoding="utf-8")
    assert "Errors by field of the target" in text
    assert "field 1 (before ':')" in text
    assert "Errors by similarity to the nearest training row" in text
    assert "<b>" in text
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<mark>" in page
    assert "Most frequent error: wrong" not in text


def test_a_learning_curve_keeps_the_exam_closed_and_reaches_the_record(run: Path) -> None:
    openings = len(Index(run.parent).openings(read_record(run).scores[0].signature.exam))
    found = commands.curve(str(run))
    rows = [point.rows for point in found.points]
    assert len(rows) == len(PARTS)
    assert rows[-1] == read_record(run).manifest["data"]["train"]
    assert rows[0] == pytest.approx(rows[-1] / 4, abs=2)
    assert found.doubled.rows == 2 * rows[-1]
    assert found.doubled.low <= found.doubled.value <= found.doubled.high
    assert len(Index(run.parent).openings(read_record(run).scores[0].signature.exam)) == openings
    text = (run / "report.md").read_text(encoding="utf-8")
    assert "## Learning curve" in text
    assert str(2 * rows[-1]) in text or "Train longer" in text


def test_smaller_parts_lie_in_larger_ones_and_groups_stay_whole() -> None:
    rows = [Example(f"s{n}", "t", group=f"g{n // 3}") for n in range(60)]
    quarter, half = (part_of(rows, share, 1) for share in (0.25, 0.5))
    assert {row.source for row in quarter} < {row.source for row in half}
    assert len({row.group for row in half}) * 3 == len(half)
    assert part_of(list(reversed(rows)), 0.25, 1) == tuple(reversed(quarter))


def test_a_curve_needs_rows(experiment: Path) -> None:
    with pytest.raises(ConfigError, match="training rows"):
        commands.curve(str(experiment), overrides=["split.dev=0.01"])


def test_a_ladder_opens_the_exam_once_and_names_the_cheapest(
    run: Path, experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exam = read_record(run).scores[0].signature.exam
    openings = len(Index(run.parent).openings(exam))
    assert main(["ladder", str(run), "--minutes", "1", "--sizes", "none", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [rung["name"] for rung in found["rungs"]]
    assert {"tiny, trained", "lookup of training sources", "nearest neighbour", "most frequent"} <= set(names)
    assert found["chosen"] in names
    assert len(Index(run.parent).openings(exam)) == openings + 1
    prices = [rung["price"] for rung in found["rungs"]]
    assert prices == sorted(prices)
    assert all(rung["low"] <= rung["exam"] <= rung["high"] for rung in found["rungs"])
    for lang, title in (("en", "## Do you need a model?"), ("ja", "## モデルは必要か")):
        pipeline.report(run, lang=lang)
        assert title in (run / "report.md").read_text(encoding="utf-8")


def test_what_the_budget_does_not_allow_is_left_out_and_says_why(experiment: Path) -> None:
    found = commands.ladder(str(experiment), minutes=0.01, sizes=["tiny"], run_dir=experiment.parent / "short")
    assert [rung.name for rung in found.rungs if rung.state == "left out"] == ["tiny"]
    assert "--minutes" in next(rung.note for rung in found.rungs if rung.state == "left out")


@pytest.mark.parametrize(("gap", "chosen", "state"), [(0.0, "cheap", "not worse"), (0.5, "dear", "not worse")])
def test_the_cheapest_that_is_not_worse_is_chosen_on_dev(gap: float, chosen: str, state: str) -> None:
    items = tuple(Example(f"s{n}", "t") for n in range(200))

    def predict(right: float, seconds: float) -> Contender:
        def call(rows: object) -> list[Prediction]:
            clock[0] += seconds
            return [
                Prediction(row.source, "t", "t" if int(row.source[1:]) % 100 < 100 * right else "x") for row in rows
            ]  # type: ignore[attr-defined]

        return Contender("cheap" if seconds < 1 else "dear", call)  # type: ignore[arg-type]

    clock = [0.0]
    task = Task(name="t", examples=items)
    from terakoya.config import make_config

    found = climb(
        [predict(0.9 - gap, 0.001), predict(0.9, 10.0)],
        task,
        Split((), items[:100], items[100:]),
        make_config({"name": "t", "task": {"data": "t.csv"}}),
        open_exam=lambda: 1,
        price_per_hour=1.0,
        clock=lambda: clock[0],
    )
    assert (found.chosen, next(rung.state for rung in found.rungs if rung.name == found.chosen)) == (chosen, state)
    assert chosen in next(ladder_messages(found))


def test_who_cannot_predict_in_time_is_left_out_before_it_begins() -> None:
    """A pretrained base took hours of an exam after a training of minutes."""
    items = tuple(Example(f"s{n}", "t") for n in range(1000))
    clock, asked = [0.0], [0]

    def contender(name: str, seconds: float) -> Contender:
        def call(rows: object) -> list[Prediction]:
            clock[0] += seconds * len(rows)  # type: ignore[arg-type]
            asked[0] += len(rows) if name == "slow" else 0  # type: ignore[arg-type]
            return [Prediction(row.source, "t", "t") for row in rows]  # type: ignore[attr-defined]

        return Contender(name, call)

    from terakoya.config import make_config

    found = climb(
        [contender("table", 0.001), contender("model", 0.5), contender("second", 0.5), contender("slow", 1.0)],
        Task(name="t", examples=items),
        Split((), items[:500], items[500:]),
        make_config({"name": "t", "task": {"data": "t.csv"}}),
        open_exam=lambda: 1,
        price_per_hour=1.0,
        clock=lambda: clock[0],
        budget=18.0,
    )
    states = {rung.name: rung.state == "left out" for rung in found.rungs}
    # Two models of 8.3 minutes each fit; what is left is reserved for their exam.
    assert states == {"table": False, "model": False, "second": False, "slow": True}
    assert asked[0] == 8
    assert clock[0] <= 18 * 60
    assert "would take 16.7 minutes" in next(rung.note for rung in found.rungs if rung.name == "slow")


def test_a_lookup_knows_sources_and_nothing_else() -> None:
    rule = lookup([Example("a", "1"), Example("b", "2"), Example("b", "2"), Example("a", "3"), Example("a", "3")])
    assert [rule("a"), rule("b"), rule("new")] == ["3", "2", "2"]


def test_a_record_says_stop_where_a_baseline_does_as_well(run: Path) -> None:
    record = read_record(run)
    main_score = record.main
    assert main_score is not None
    other = replace(main_score, who="nearest neighbour")
    verdict = {**record.verdict, "state": "cannot be told", "best": "nearest neighbour"}
    stopped = replace(record, scores=(main_score, other), verdict=verdict)
    assert "Stop: the baseline 'nearest neighbour' does as well" in markdown(stopped, "en")
    assert "Stop:" not in markdown(replace(stopped, scores=(main_score, replace(other, value=-1.0))), "en")


def test_a_default_that_costs_the_metric_says_so(run: Path) -> None:
    record = read_record(run)
    sets = replace(
        record, manifest={**record.manifest, "model": {"family": "set"}}, config={"decode": {"share_cap": 1.4}}
    )
    assert "decode.share_cap = 1.4" in markdown(sets, "en")
    assert (
        "decode.share_cap = " not in markdown(replace(sets, config={"decode": {"share_cap": 0.0}}), "en").split("##")[1]
    )
    assert "0.036" in str(Config.model_fields["decode"].annotation.model_fields["share_cap"].description)  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["csv", "latex"])
def test_tables_and_charts_for_papers(run: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "charts"
    assert main(["report", str(run), "--tables", form, "--figures", str(figures)]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(path.is_file() for path in written)
    scores = (run / "tables" / f"scores.{'csv' if form == 'csv' else 'tex'}").read_text(encoding="utf-8")
    value = f"{read_record(run).main.value:.4f}"  # type: ignore[union-attr]
    assert value in scores
    assert "\\toprule" in scores or form == "csv"
    charts = list(figures.glob("*.svg"))
    assert charts
    for chart in charts:
        text = chart.read_text(encoding="utf-8")
        assert 'xmlns="http://www.w3.org/2000/svg"' in text
        assert "class=" not in text


def test_another_form_of_tables_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), "--tables", "word"]) == 2
    assert "--tables csv" in capsys.readouterr().err


def test_new_writes_what_is_good_enough(tmp_path: Path) -> None:
    assert main(["new", str(tmp_path / "moods"), "--good-enough", "0.9"]) == 0
    assert "good_enough = 0.9 " in (tmp_path / "moods" / "moods.toml").read_text(encoding="utf-8")
    table = tmp_path / "t.csv"
    table.write_text("source,target\n" + "".join(f"a{n},b{n}\n" for n in range(60)), encoding="utf-8")
    made = commands.new(str(tmp_path / "other"), data=table, good_enough=0.75)
    assert "good_enough = 0.75" in made[0].read_text(encoding="utf-8")
