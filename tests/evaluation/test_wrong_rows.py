"""Rows that look wrong to a trained model, by its own doubt (confident learning, Northcutt et al., 2021)."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from terakoya.errors import ConfigError, DataError
from terakoya.evaluation.out_of_fold import assign_folds
from terakoya.evaluation.wrong_rows import suspected_labels, suspected_targets
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.records import Example, Prediction
from terakoya.runs.progress import SilentListener

WORDS = {
    "うれしい": ("当たった", "ほめられた", "届いた", "受かった"),
    "かなしい": ("失くした", "割れた", "別れた", "負けた"),
    "いらいら": ("待たされた", "遅れた", "詰まった", "忘れられた"),
}


def row(source: str, target: str, said: str, probability: float) -> tuple[Example, str, Prediction]:
    return Example(source, target), target, Prediction(source, said, said, probability)


def test_a_row_is_suspected_where_the_model_is_surer_than_it_usually_is() -> None:
    agreed = [row(f"{n}", "a", "a", 0.9) for n in range(10)]
    sure, unsure = row("x", "a", "b", 0.95), row("y", "a", "b", 0.85)
    assert [suspect.example.source for suspect in suspected_targets([*agreed, sure, unsure])] == ["x"]
    assert suspected_targets(agreed) == suspected_targets([]) == []
    hesitant = [row(f"{n}", "a", "a", 0.3) for n in range(10)]
    assert suspected_targets([*hesitant, row("x", "a", "b", 0.4)]) == []


def test_a_further_right_target_is_no_error() -> None:
    agreed = [row(f"{n}", "a", "a", 0.9) for n in range(10)]
    example = Example("x", "a", accepted=("b",))
    assert suspected_targets([*agreed, (example, "a", Prediction("x", "b", "b", 0.99))]) == []


def test_a_set_is_suspected_where_one_label_is_doubted_and_another_missed() -> None:
    def labelled(source: str, target: str, **chances: float) -> tuple[Example, str, Prediction]:
        labels = tuple(sorted(chances.items(), key=lambda item: -item[1]))
        return Example(source, target), target, Prediction(source, target, target, None, labels)

    usual = [labelled(f"a{n}", "a", a=0.9, b=0.1) for n in range(10)] + [
        labelled(f"b{n}", "b", a=0.1, b=0.9) for n in range(10)
    ]
    exchanged = labelled("x", "a", a=0.02, b=0.97)
    missing_only = labelled("y", "a", a=0.95, b=0.95)
    doubted_only = labelled("z", "a", a=0.02, b=0.3)
    found = suspected_labels([*usual, exchanged, missing_only, doubted_only])
    assert [(suspect.example.source, suspect.instead) for suspect in found] == [("x", "b")]


def moods(path: Path, wrong: int) -> set[int]:
    """A table of moods with some of them exchanged; returns the lines of those."""
    rng = Random(1)
    rows = [(f"{when}{who}{what}", mood) for mood, whats in WORDS.items() for what in whats
            for when in ("今朝", "昨日", "駅で", "庭で") for who in ("妹が", "猫が", "弟が", "私が")]  # fmt: skip
    rng.shuffle(rows)
    lines = set(rng.sample(range(len(rows)), wrong))
    rows = [
        (source, rng.choice([mood for mood in WORDS if mood != target]) if at in lines else target)
        for at, (source, target) in enumerate(rows)
    ]
    path.write_text("source,target\n" + "".join(f"{a},{b}\n" for a, b in rows), encoding="utf-8")
    return {line + 2 for line in lines}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moods")
    moods(folder / "clean.csv", 0)
    config = folder / "a.toml"
    config.write_text('[task]\ndata = "clean.csv"\ncodec = "labels"\n[model]\nbase = "tiny"\n', encoding="utf-8")
    return Path(
        pipeline.run(str(config), overrides=["score.resamples=100"], run_dir=folder / "runs", anyway=True).folder
    )


def test_exchanged_targets_are_named_and_clean_rows_are_not(run: Path, tmp_path: Path) -> None:
    """At most 5% false alarms; what is named is what was exchanged."""
    wrong = moods(tmp_path / "a.csv", 15)
    settings = ["task.codec=labels"]
    finding = {f.check: f for f in commands.audit(str(tmp_path / "a.csv"), overrides=settings, with_run=run)}[
        "wrong-rows"
    ]
    named = set(finding.rows)
    assert finding.level == "warn" and len(named & wrong) >= 10 and len(named - wrong) <= 0.05 * (192 - 15)
    moods(tmp_path / "b.csv", 0)
    clean = [
        f for f in commands.audit(str(tmp_path / "b.csv"), overrides=settings, with_run=run) if f.check == "wrong-rows"
    ]
    assert sum(finding.values["rows"] for finding in clean) <= 0.05 * 192


def test_a_model_of_other_targets_has_no_say(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("source,target\n" + "".join(f"問{n},\n" for n in range(20)), encoding="utf-8")
    with pytest.raises(DataError, match="no targets of this model"):
        commands.audit(str(tmp_path / "a.csv"), with_run=run)


def test_folds_judge_each_row_by_a_model_that_never_saw_it(tmp_path: Path) -> None:
    """A model has memorised the errors that it was trained on; one without the row has not."""
    wrong = moods(tmp_path / "a.csv", 12)
    config = tmp_path / "a.toml"
    config.write_text('[task]\ndata = "a.csv"\ncodec = "labels"\n[model]\nbase = "tiny"\n', encoding="utf-8")
    run = pipeline.run(str(config), overrides=["score.resamples=100"], run_dir=tmp_path / "runs", anyway=True).folder

    said = list[str]()
    listener = SilentListener()
    listener.note = said.append  # type: ignore[method-assign]
    table, settings = str(tmp_path / "a.csv"), ["task.codec=labels"]

    def named(folds: int) -> set[int]:
        found = commands.audit(table, overrides=settings, with_run=Path(run), folds=folds, listener=listener)
        return {row for finding in found if finding.check == "wrong-rows" for row in finding.rows}

    memorised, judged = named(0), named(3)
    assert len(judged & wrong) >= 9 and len(judged - wrong) <= 0.05 * 180
    assert len(judged & wrong) > len(memorised & wrong)
    assert [line.partition(":")[0] for line in said] == [f"fold {fold} of 3" for fold in (1, 2, 3)]
    assert all(re.search(r"about \d+ s are left", line) for line in said)
    own = {finding.check: finding for finding in commands.audit(table, overrides=settings, with_run=Path(run))}
    assert own["memorised-rows"].level == "warn" and own["memorised-rows"].values["share"] > 0.5
    assert re.search(r"--folds 4 \(4 trainings, about \d+ s in all\)", own["memorised-rows"].do)
    checks = {found.check for found in commands.audit(table, overrides=settings, with_run=Path(run), folds=3)}
    assert "memorised-rows" not in checks


def test_rows_of_a_group_share_their_fold() -> None:
    rows = [Example(f"{n}-{form}", f"{n}", group=f"{n}") for n in range(20) for form in "ab"]
    folds = assign_folds(rows, 4, seed=1)
    assert [folds[2 * n] == folds[2 * n + 1] for n in range(20)] == [True] * 20
    assert sorted(folds.count(fold) for fold in range(4)) == [10] * 4
    backwards = assign_folds(rows[::-1], 4, seed=1)[::-1]
    assert backwards == folds


@pytest.mark.parametrize("folds", [1, 21, -3])
def test_folds_that_rows_do_not_fill_are_refused(folds: int) -> None:
    with pytest.raises(ConfigError, match="folds"):
        assign_folds([Example(f"{n}", f"{n}") for n in range(20)], folds, seed=0)


def test_folds_need_a_run(tmp_path: Path) -> None:
    moods(tmp_path / "a.csv", 0)
    with pytest.raises(ConfigError, match="none is named"):
        commands.audit(str(tmp_path / "a.csv"), folds=3)
