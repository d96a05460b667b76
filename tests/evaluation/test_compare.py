"""Comparison: fair, or refused with the reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from terakoya.data.formats import write_rows
from terakoya.errors import ConfigError, CorruptError, DataError, IncompatibleError, LockedError
from terakoya.evaluation.compare import compare, group_arms
from terakoya.evaluation.item_scores import (
    ItemScore,
    ItemScores,
    read_item_scores,
    read_prediction_table,
    read_run_scores,
)
from terakoya.records import Example, Score, Signature
from terakoya.runs import Run
from terakoya.scoring.metrics import exact

SIGNATURE = Signature("exam-1", "exact|v:1", "greedy", "number", "")


def item_scores(name: str, values: Sequence[float], seed: int | None = None, recipe: str = "") -> ItemScores:
    items = tuple(
        ItemScore(f"{i}", f"{i}", float(v), Example(f"{i}", f"{i}").fingerprint) for i, v in enumerate(values)
    )
    return ItemScores(name, SIGNATURE, items, seed, recipe)


def run_folder(
    parent: Path, name: str, values: Sequence[float], seed: int = 0, rate: float = 0.1, *, key: str = "subset"
) -> Path:
    """A small finished run as the pipeline writes it. `key`: "part" as older versions wrote it, with old signatures."""
    with Run.create(parent, name) as run:
        run.write_text("config.toml", f'name = "{name}"\nseed = {seed}\n[train]\nlearning_rate = {rate}\n')
        for i, value in enumerate(values):
            example = Example(f"問{i}", f"{i}")
            line = {"source": example.source, "target": example.target, "raw": f"({i})", "prediction": f"{i}"}
            run.append("predictions.jsonl", {**line, "verdict": value, key: "", "fingerprint": example.fingerprint})
        memorised = {"source": "百", "target": "100", "verdict": 1.0, key: "recall" if key == "part" else "memorised"}
        run.append("predictions.jsonl", memorised)
        mean = sum(values) / len(values)
        signature = replace(SIGNATURE, metric="exact/1") if key == "part" else SIGNATURE
        scores = [Score("constant", "exact", 0.0, 0.0, 0.1, len(values), signature)]
        scores += [Score("model", "exact", mean, 0.0, 1.0, len(values), signature)]
        run.write_json("scores.json", {"scores": [asdict(score) for score in scores], "verdict": {}})
        run.finish("done")
        return run.path


def test_items_are_paired_by_what_they_are_and_not_by_where_they_stood() -> None:
    """Lesson 21 again: two runs may have predicted in different orders."""
    values = [1] * 30 + [0] * 10
    first = item_scores("a", values)
    shuffled = replace(first, name="b", items=first.items[::-1])
    (same,) = compare([first, shuffled])
    assert same.effect.wins == same.effect.losses == 0
    assert same.effect.p == 1.0


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("exam", "exam-2", "the exam"),
        ("metric", "exact/2", "the metric or its version"),
        ("labels", "abc", "the label set"),
        ("normal", "text", "the normal form"),
        ("decoding", "beam:4", "the decoding"),
    ],
)
def test_what_differs_is_named_and_nothing_is_compared(field: str, value: str, words: str) -> None:
    """Lesson 25, promise P20: figures of different making are not held against each other."""
    first, second = item_scores("a", [1, 0]), item_scores("b", [0, 1])
    second = replace(second, signature=replace(SIGNATURE, **{field: value}))
    with pytest.raises(IncompatibleError, match=words) as refusal:
        compare([first, second])
    assert value in refusal.value.what
    assert refusal.value.exit_code == 10


def test_other_items_under_the_same_name_are_refused() -> None:
    """A fingerprint that lies, or predictions that were lost."""
    with pytest.raises(IncompatibleError, match=r"3 in common of 4 / 3"):
        compare([item_scores("a", [1, 0, 1, 1]), item_scores("b", [0, 1, 1])])


def test_decodings_may_be_compared_when_they_are_the_question() -> None:
    """Beam against sampling is a fair question once it is asked aloud; nothing else may differ."""
    first = item_scores("greedy", [1] * 20 + [0] * 10)
    second = replace(item_scores("beam", [0] * 20 + [1] * 10), signature=replace(SIGNATURE, decoding="beam:4"))
    (made,) = compare([first, second], across=["decoding"])
    assert made.effect.wins == 20
    with pytest.raises(ConfigError):
        compare([first, second], across=["exam"])  # type: ignore[list-item]


def test_many_comparisons_are_corrected_as_one_family() -> None:
    """Lesson 26: try ten recipes and one will shine."""
    base = item_scores("a", [0] * 8 + [0] * 32)
    good, other = item_scores("b", [1] * 7 + [0] * 33), item_scores("c", [1] * 3 + [0] * 37)
    alone = compare([good, base])[0]
    family = compare([base, good, other], pairs="first")
    assert alone.state == "first is better"
    assert family[0].p == pytest.approx(2 * alone.p)
    assert [c.family for c in family] == [2, 2]
    assert len(compare([base, good, other])) == 3


def test_runs_of_one_recipe_with_several_seeds_are_one_arm() -> None:
    """The recipe is compared; a seed is a sample."""
    rng = np.random.default_rng(0)
    first = [item_scores(f"a{s}", rng.random(100) < 0.7, s, "recipe-a") for s in range(3)]
    second = [item_scores(f"b{s}", rng.random(100) < 0.4, s, "recipe-b") for s in range(3)]
    (made,) = compare([*first, *second])
    assert made.seeds == (3, 3)
    assert made.effect.test == "two-level"
    assert made.state == "first is better"
    assert len(compare([*first, *second], together=False)) == 15
    assert len(group_arms([first[0], first[0]])) == 2  # the same seed twice is no second draw


def test_words_say_what_could_have_been_seen_in_both_languages() -> None:
    """A table that says .575 and .40 says nothing."""
    (made,) = compare([item_scores("plain", [1] * 13 + [0] * 27), item_scores("pds", [0] * 13 + [1] * 6 + [0] * 21)])
    assert made.state == "cannot be told apart"
    assert "plain and pds cannot be told apart with 40 items; about 130 would be needed." in made.words()
    assert "smallest difference that this exam could have shown is about 0.3" in made.words()
    assert "40問では区別できない（約130問が必要）" in made.words("ja")


def test_run_folders_are_read_and_grouped_by_recipe(tmp_path: Path) -> None:
    """The predictions on disk are enough; no model is run again."""
    paths = [run_folder(tmp_path, "a", [1] * 18 + [0] * 2, seed, 0.1) for seed in (1, 2)]
    paths += [run_folder(tmp_path, "a", [1] * 4 + [0] * 16, 1, 0.5)]
    outcomes = read_item_scores(paths)
    assert [o.seed for o in outcomes] == [1, 2, 1]
    assert outcomes[0].signature == SIGNATURE
    assert len(outcomes[0].items) == 20  # the memorised subset is another exam
    (made,) = compare(outcomes)
    assert made.seeds == (2, 1)
    assert made.first_value == 0.9


@pytest.mark.parametrize("key", ["subset", "part"])
def test_older_names_of_subsets_are_read(key: str, tmp_path: Path) -> None:
    """Run folders that say `part` for the subset, and "recall" for the memorised one, are compared like new ones."""
    path = run_folder(tmp_path, "a", [1, 0], key=key)
    assert [item.source for item in read_run_scores(path).items] == ["問0", "問1"]
    with Run.resume(path) as run:
        scores = [asdict(Score("model", "exact", value, 0.0, 1.0, n, SIGNATURE)) for value, n in ((0.5, 2), (1.0, 1))]
        for score, name in zip(scores, ("", "recall" if key == "part" else "memorised"), strict=True):
            score.pop("subset")
            score[key] = name
        run.write_json("scores.json", {"scores": scores, "verdict": {}})
    for name in ("memorised", "recall"):
        (outcome,) = read_item_scores([path], subset=name)
        assert [item.source for item in outcome.items] == ["百"]


def test_scores_that_are_not_the_mean_of_the_predictions_are_refused(tmp_path: Path) -> None:
    """As many predictions as the score counts, and another mean: they are of two evaluations."""
    one, other = run_folder(tmp_path, "one", [1, 0, 1, 1]), run_folder(tmp_path, "other", [1, 0, 0, 0])
    (one / "seal.json").unlink()
    (one / "scores.json").write_bytes((other / "scores.json").read_bytes())
    with pytest.raises(CorruptError, match=r"no score of the model belongs to its 4 predictions \(mean 0.7500\)"):
        read_run_scores(one)


def test_runs_that_vanished_are_running_or_are_torn_are_refused(tmp_path: Path) -> None:
    """Each with its own exit code, and none with a guess."""
    path = run_folder(tmp_path, "a", [1, 0, 1])
    with pytest.raises(ConfigError, match="no such run"):
        read_run_scores(tmp_path / "gone")
    with Run.create(tmp_path, "b") as running, pytest.raises(LockedError):
        read_run_scores(running.path)
    with pytest.raises(ConfigError, match="no scored predictions"):
        read_run_scores(running.path)
    with Run.resume(path) as run:
        run.append("predictions.jsonl", {"source": "x", "target": "y", "verdict": 0.0, "subset": ""})
    with pytest.raises(CorruptError, match="no score of the model belongs to its 4 predictions"):
        read_run_scores(path)
    with Run.resume(path) as run:
        run.append("predictions.jsonl", {"source": "x", "subset": ""})
    with pytest.raises(CorruptError, match="no scored prediction"):
        read_run_scores(path)


def csv_of(path: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    write_rows(path, ("source", "target", "inference"), rows)
    return path


def test_results_of_others_take_part_as_a_table(tmp_path: Path) -> None:
    """What somebody else's system answered is judged by our metric on the same items, in any order."""
    run = run_folder(tmp_path, "a", [1] * 10)
    theirs = csv_of(tmp_path / "theirs.csv", [(f"問{i}", f"{i}", f"({i})" if i < 4 else "") for i in range(9, -1, -1)])
    ours, other = read_item_scores([run, theirs], read=lambda raw: raw.strip("()") or None)
    assert other.mean == 0.4
    (made,) = compare([ours, other])
    assert (made.effect.wins, made.effect.losses) == (6, 0)
    assert made.second == "theirs.csv"


def test_a_table_with_other_rows_is_refused_with_their_numbers(tmp_path: Path) -> None:
    """A neighbour's exam is not ours, even when most of it is."""
    run = run_folder(tmp_path, "a", [1] * 3)
    rows = [("問0", "0", "0"), ("問1", "one", "1"), ("問7", "7", "7")]
    with pytest.raises(DataError, match=r"2 rows are no items of it: lines 3, 4; 2 of its items are missing: 問1, 問2"):
        read_item_scores([run, csv_of(tmp_path / "theirs.csv", rows)])
    with pytest.raises(DataError, match="no column 'inference'"):
        write_rows(tmp_path / "bare.csv", ("source", "target", "inferences"), [("a", "b", "c")])
        read_prediction_table(tmp_path / "bare.csv")
    twice = csv_of(tmp_path / "twice.csv", [("問0", "0", "0"), ("問0", "0", "0"), ("問1", "1", "1")])
    with pytest.raises(DataError, match="lines 3"):
        read_item_scores([run, twice])


def test_two_tables_need_no_run_at_all(tmp_path: Path) -> None:
    """Claims of others can be tested without training anything."""
    rows = [(str(i), str(i)) for i in range(20)]
    first = csv_of(tmp_path / "first.csv", [(s, t, t) for s, t in rows])
    second = csv_of(tmp_path / "second.csv", [(s, t, "0") for s, t in rows])
    (made,) = compare(read_item_scores([first, second]))
    assert made.state == "first is better"
    assert made.effect.wins == 19


def test_a_metric_of_another_version_does_not_judge_a_table(tmp_path: Path) -> None:
    """Judged by something else under the same name is lesson 25 in disguise."""
    like = replace(item_scores("a", [1.0]), signature=replace(SIGNATURE, metric="exact/9"))
    table = csv_of(tmp_path / "t.csv", [("0", "0", "0")])
    with pytest.raises(IncompatibleError, match="exact/9"):
        read_prediction_table(table, like=like)
    judged = read_prediction_table(table, like=like, metric=exact)
    with pytest.raises(IncompatibleError, match="the metric or its version"):
        compare([like, judged])


def test_one_arm_is_no_comparison() -> None:
    """Two seeds of one recipe say how it scatters, not what is better."""
    with pytest.raises(ConfigError, match="two recipes"):
        compare([item_scores("a", [1], 1, "r"), item_scores("b", [0], 2, "r")])


def test_comparing_runs_without_torch() -> None:
    """It must work where nothing heavy is installed, and start at once."""
    code = (
        "import sys, terakoya.evaluation.compare; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
