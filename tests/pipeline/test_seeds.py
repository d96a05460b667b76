"""One recipe with several seeds: one opening of the exam, a verdict on both levels; openings counted by settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality.experiments import docs_make
from terakoya.evaluation.compare import compare, read_item_scores
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.runs import Index, Run
from terakoya.runs.seeds import seed_runs

KANJI = "〇一二三四五六七八九"
SETTINGS = ("train.steps=40", "train.evaluate_every=40", "score.resamples=100", "train.guards=false")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A recipe with two seeds; another one; that other one with another seed: all on one exam."""
    folder = tmp_path_factory.mktemp("seeds")
    rows = [
        ("".join(KANJI[int(d)] for d in str(n)), str(n), ("train", "train", "dev", "exam")[n % 4]) for n in range(80)
    ]
    (folder / "a.csv").write_text("source,target,split\n" + "".join(",".join(row) + "\n" for row in rows), "utf-8")
    (folder / "a.toml").write_text('[task]\ndata = "a.csv"\nsplit = "split"\n[model]\nbase = "tiny"\n', "utf-8")
    made = []
    for settings in (("train.seeds=2",), ("train.batch_size=8",), ("train.batch_size=8", "seed=7")):
        overrides = [*SETTINGS, *settings]
        made.append(pipeline.run(str(folder / "a.toml"), overrides=overrides, run_dir=folder / "runs", anyway=True))
    return [Path(one.folder) for one in made]


def _verdict(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "scores.json").read_text("utf-8"))["verdict"])


def test_several_seeds_open_the_exam_once_and_the_verdict_holds_for_the_recipe(runs: list[Path]) -> None:
    inner = seed_runs(runs[0])
    assert [Run.open(run).manifest["seed"] for run in (runs[0], *inner)] == [0, 1]
    openings = Index(runs[0].parent).openings(Run.open(runs[0]).manifest["exam"])
    assert [opening["who"] for opening in openings].count(runs[0].name) == 1
    assert len(openings) == 3
    first, second = read_item_scores([runs[0]])
    verdict = _verdict(runs[0])
    assert verdict["seeds"] == pytest.approx([first.mean, second.mean])
    assert verdict["value"] == pytest.approx((first.mean + second.mean) / 2)
    assert "Over 2 seeds: " in verdict["words"]["en"]


def test_the_record_and_the_tables_show_every_seed(runs: list[Path]) -> None:
    values = [one.mean for one in read_item_scores([runs[0]])]
    mean, spread = sum(values) / 2, abs(values[0] - values[1]) / 2**0.5
    report = (runs[0] / "report.md").read_text("utf-8")
    assert "The same recipe with every seed" in report
    table = report.split("The same recipe with every seed")[1].split("\n\n")[1]
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["0", "1", "mean", "standard deviation"]
    assert f"{mean:.3f}" in table
    commands.paper(runs[0], tables="csv", lang="en")
    lines = [line.split(",") for line in (runs[0] / "tables" / "seeds.csv").read_text("utf-8").splitlines()]
    assert lines[0] == ["seed", "metric", "value", "from", "to", "n"]
    assert [float(line[2]) for line in lines[1:]] == pytest.approx([*values, mean, spread], abs=1e-4)
    assert "every seed" not in (runs[1] / "report.md").read_text("utf-8")
    rows = docs_make().results([runs[0], runs[1]]).splitlines()[2:]
    assert f"| 2: mean {mean:.4f}, sd {spread:.4f} |" in rows[0]
    assert "| 1 |" in rows[-1]


def test_one_seed_says_that_it_is_one(runs: list[Path]) -> None:
    assert (
        "This is one model: another seed may differ, and --set train.seeds=3 tells." in _verdict(runs[1])["words"]["en"]
    )


def test_an_opening_with_other_settings_is_counted_and_another_seed_is_not(runs: list[Path]) -> None:
    assert [_verdict(run)["openings"] for run in runs] == [1, 2, 2]
    assert "opened with 2 different settings: the verdict is corrected" in _verdict(runs[1])["words"]["en"]


def test_runs_with_several_seeds_are_compared_on_both_levels(runs: list[Path]) -> None:
    (compared,) = compare(read_item_scores(runs), resamples=100)
    assert compared.seeds == (2, 2)
    assert compared.effect.test == "two-level"


def test_a_finished_run_is_shown_again_without_training_a_seed(runs: list[Path]) -> None:
    before = sorted(path for path in runs[0].rglob("*") if path.suffix == ".jsonl")
    assert pipeline.run(str(runs[0])).folder == runs[0]
    assert sorted(path for path in runs[0].rglob("*") if path.suffix == ".jsonl") == before
