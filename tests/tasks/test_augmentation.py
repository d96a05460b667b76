"""Rows that rules multiply: exact targets, never across the split, shown in the record, off by default."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from terakoya import registry
from terakoya.codec.quantity import quantity_codec
from terakoya.codec.text import fold_source
from terakoya.config import make_config
from terakoya.data.split import group_of
from terakoya.errors import ConfigError, PluginError
from terakoya.pipeline import run as pipeline
from terakoya.pipeline.dataset import Dataset, audit_dataset, load_dataset
from terakoya.records import AUGMENTED, Example, Split
from terakoya.registry import Experiment
from terakoya.task import Task
from terakoya.tasks.augmentation import augment
from terakoya.tasks.emoji.augmentation import vary as vary_emoji
from terakoya.tasks.numerals.augmentation import vary as vary_numeral
from terakoya.tasks.numerals.reader import read
from terakoya.tasks.quantities.augmentation import vary as vary_line
from terakoya.tasks.quantities.scale import scale_query

LINES = (
    ("しょうゆ 大さじ1/2 を3倍", "しょうゆ 大さじ3/2"),
    ("鶏肉 200g を2人分→3人分", "鶏肉 300g"),
    ("牛乳 1.5カップ を2倍", "牛乳 3カップ"),
)


def load(name: str, *settings: str) -> Dataset:
    return load_dataset(registry.find_experiment(name, settings))


def table(folder: Path, rows: list[tuple[str, str]], augment: int = 5) -> Dataset:
    """The data set of a user's own table."""
    text = "source,target\n" + "".join(f"{source},{target}\n" for source, target in rows)
    (folder / "rows.csv").write_text(text, encoding="utf-8")
    config = make_config({"name": "rows", "task": {"data": "rows.csv", "augment": augment}})
    return load_dataset(Experiment("rows", config, folder))


def test_nothing_is_augmented_by_default() -> None:
    dataset = load("kannume-160")
    assert len(dataset.split.train) == 160
    assert not dataset.findings


@pytest.fixture(scope="module")
def numerals() -> Dataset:
    return load("kannume-160", "task.augment=20")


def test_every_augmented_numeral_has_the_oracle_s_number(numerals: Dataset) -> None:
    made = [row for row in numerals.split.train if row.tag(AUGMENTED)]
    assert len(made) > 10 * 160
    assert all(str(read(row.source)) == row.target for row in made)
    assert len({row.source for row in numerals.split.train}) == len(numerals.split.train)


def test_nothing_of_dev_and_exam_is_made_and_they_stay_as_they_were(numerals: Dataset) -> None:
    """Not even the same number in another spelling."""
    plain = load("kannume-160")
    assert (numerals.split.dev, numerals.split.exam) == (plain.split.dev, plain.split.exam)
    held_out = {item.target for item in (*plain.split.dev, *plain.split.exam)}
    assert not held_out & {row.target for row in numerals.split.train}


def test_an_augmented_row_belongs_to_the_group_of_its_row(numerals: Dataset) -> None:
    """So that folds keep them together, and no audit or split separates them."""
    rows = {row.fingerprint: row for row in numerals.split.train}
    assert all(row.group == group_of(rows[row.tag(AUGMENTED)]) for row in numerals.split.train if row.tag(AUGMENTED))
    held_out = {group_of(item) for item in (*numerals.split.dev, *numerals.split.exam)}
    assert not held_out & {group_of(row) for row in numerals.split.train}


def test_what_is_made_of_a_row_does_not_depend_on_the_other_rows_order() -> None:
    dataset = load("kannume-160")
    turned = replace(dataset.split, train=dataset.split.train[::-1])
    forth, _ = augment(dataset.task, dataset.split, 1, 0)
    back, _ = augment(dataset.task, turned, 1, 0)
    assert len({row.source for row in forth.train} ^ {row.source for row in back.train}) <= 16  # same text, other row


def test_the_record_says_what_was_made(numerals: Dataset) -> None:
    found = [finding for finding in audit_dataset(numerals) if finding.check == "augment"]
    assert len(found) == 1
    assert found[0].values["made"] == len(numerals.split.train) - 160
    assert found[0].where == "task.augment"


def test_what_dev_holds_is_discarded_even_where_a_rule_makes_it() -> None:
    rows = tuple(Example(f"s{number}", "t", group=f"g{number}") for number in range(3))
    split = Split(rows, (Example("dev", "t"),), (Example("x", "exam target", group="held"),))
    made = iter([Example("dev", "u"), Example("y", "u", group="held"), Example("fine", "u")] * 9)
    task = Task("own", split=split, augment=lambda example, rng: next(made))
    augmented, _ = augment(task, split, 1, 0)
    assert [row.source for row in augmented.train if row.tag(AUGMENTED)] == ["fine"]


def test_a_table_of_numerals_is_multiplied_where_the_oracle_confirms_its_rows(tmp_path: Path) -> None:
    """A row whose target is wrong is no row to learn from, and a text is none that the rule knows."""
    rows = [(f"{digit}千{digit}百", f"{n}{n}00") for n, digit in enumerate("一二三四五六七八九", 1)]
    dataset = table(tmp_path, [*rows, ("三千", "3001"), ("こんにちは", "hello")])
    sources = {row.fingerprint: row.source for row in dataset.split.train}
    made_from = {sources[row.tag(AUGMENTED)] for row in dataset.split.train if row.tag(AUGMENTED)}
    assert made_from
    assert not {"三千", "こんにちは"} & made_from
    held_out = {item.target for item in (*dataset.split.dev, *dataset.split.exam)}
    assert not held_out & {row.target for row in dataset.split.train if row.tag(AUGMENTED)}


def test_a_table_that_no_rule_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no rule can multiply") as found:
        table(tmp_path, [(f"text {number}", f"answer {number}") for number in range(20)])
    assert found.value.where == "task.augment"


def test_a_task_that_samples_its_rows_is_refused() -> None:
    with pytest.raises(ConfigError, match="samples fresh rows"):
        load("kannume", "task.augment=2")


def test_a_function_that_returns_something_else_is_named() -> None:
    rows = tuple(Example(f"s{number}", "t") for number in range(3))
    split = Split(rows, (), ())
    task = Task("own", split=split, augment=lambda example, rng: "text")  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginError, match="augment"):
        augment(task, split, 1, 0)


@pytest.mark.parametrize(("source", "target"), LINES)
def test_an_ingredient_line_gets_other_amounts_and_the_rule_s_line(source: str, target: str) -> None:
    row, rng = Example(source, target), Random(0)
    made = [one for _ in range(20) if (one := vary_line(row, rng)) is not None]
    assert len({one.source for one in made}) > 3
    for one in made:
        assert one.target == scale_query(one.source)
        assert one.source.partition(" を")[2] == source.partition(" を")[2]
        assert one.source.split(" ")[0] == source.split(" ")[0]


def test_a_table_of_ingredient_lines_is_multiplied(tmp_path: Path) -> None:
    rows = [(f"{name} {grams}g を2倍", f"{name} {2 * grams}g") for name in "豆米肉魚麦" for grams in (10, 30, 50)]
    dataset = table(tmp_path, rows)
    made = [row for row in dataset.split.train if row.tag(AUGMENTED)]
    assert len(made) > 20
    codec = quantity_codec()
    assert all(codec.canonical(str(scale_query(row.source))) == codec.canonical(row.target) for row in made)


def test_an_emoji_text_keeps_its_labels_in_another_frame() -> None:
    row, rng = Example("昨日、妹が公園で犬と走った。", "🐶 🏃"), Random(1)
    made = [one for _ in range(40) if (one := vary_emoji(row, rng)) is not None]
    assert {one.target for one in made} == {"🐶 🏃"}
    assert len({one.source for one in made}) > 30
    assert all("公園で犬と走った。" in one.source for one in made)


def test_augmented_emoji_texts_hold_nothing_of_the_exam() -> None:
    dataset = load("emoji-v1-cured", "task.options.samples=200", "task.augment=2")
    held_out = {fold_source(item.source) for item in (*dataset.split.dev, *dataset.split.exam)}
    assert any(row.tag(AUGMENTED) for row in dataset.split.train)
    assert not held_out & {fold_source(row.source) for row in dataset.split.train}


def test_numerals_keep_their_script() -> None:
    """Digits in daiji stay daiji: the row's style is what is multiplied."""
    rng = Random(3)
    for _ in range(50):
        made = vary_numeral(Example("参佰弐拾壱", "321"), rng)
        assert made is None or not set(made.source) & set("一二三四五六七八九十百千0123456789")


def test_a_run_s_manifest_and_findings_show_the_augmentation(tmp_path: Path) -> None:
    settings = ("task.augment=2", "model.base=tiny", "train.steps=2", "train.threads=1", "split.exam=0.2")
    rows = [
        (f"{digit}千{other}百", f"{n}{m}00")
        for n, digit in enumerate("一二三四", 1)
        for m, other in ((2, "二"), (7, "七"))
    ]
    lines = "".join(f"{source},{target}\n" for source, target in rows * 1)
    (tmp_path / "rows.csv").write_text("source,target\n" + lines, encoding="utf-8")
    (tmp_path / "rows.toml").write_text('[task]\ndata = "rows.csv"\n', encoding="utf-8")
    done = pipeline.run(
        str(tmp_path / "rows.toml"), overrides=settings, run_dir=tmp_path / "runs", anyway=True, exam=False
    )
    manifest = json.loads((done.folder / "manifest.json").read_text(encoding="utf-8"))
    found = [json.loads(line) for line in (done.folder / "findings.jsonl").read_text(encoding="utf-8").splitlines()]
    assert manifest["data"]["augmented"] > 0
    assert [one["values"]["made"] for one in found if one["check"] == "augment"] == [manifest["data"]["augmented"]]
