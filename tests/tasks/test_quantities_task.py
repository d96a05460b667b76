"""The task quantities: exact by rule, drawn without end, and held out by pair and name."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from terakoya.codec.quantity import quantity_codec
from terakoya.config import SplitConfig
from terakoya.data.split import split_of
from terakoya.errors import ConfigError, DataError
from terakoya.records import Example, Prediction
from terakoya.task import Task
from terakoya.tasks.quantities import scale, scale_list, scale_query, scaling_queries, task
from terakoya.tasks.quantities.exam import HAND, hand_written
from terakoya.tasks.quantities.parse import read_query
from terakoya.tasks.quantities.words import alphabet, kanji, words


@pytest.fixture(scope="module")
def quantities() -> Task:
    return task(items=600)


@pytest.fixture(scope="module")
def drawn(quantities: Task) -> list[Example]:
    assert quantities.draw is not None
    random = Random(5)
    return [quantities.draw(random, 1.0) for _ in range(8000)]


def test_the_rule_agrees_with_every_line_that_is_drawn(quantities: Task, drawn: list[Example]) -> None:
    """Label and rule are made apart: one while the line is written, one by reading it."""
    assert quantities.rule is not None and quantities.split is not None
    for item in (*drawn, *quantities.split.train, *quantities.split.exam):
        assert quantities.rule(item.source) == quantities.codec.canonical(item.target), item.source


def test_the_rule_scales_every_line_written_by_hand() -> None:
    """The exam was written before any rule; its targets are met to the letter."""
    assert len(hand_written()) == 234
    assert [row.source for row in hand_written() if scale_query(row.source) != row.target] == []


@pytest.mark.parametrize(
    ("line", "factor", "scaled"),
    [
        ("しょうゆ 大さじ1/2", "3", "しょうゆ 大さじ3/2"),
        ("卵 2〜3個", "2", "卵 4〜6個"),
        ("薄力粉 125g", "3/2", "薄力粉 187.5g"),
        ("牛乳 200ml", "4/3", "牛乳 800/3ml"),
        ("塩 少々", "3", "塩 少々"),
        ("長ねぎ 1本（5cm長さに切る）", "3", "長ねぎ 3本（5cm長さに切る）"),
        ("大根 5cm", "2", "大根 10cm"),
        ("ぶり 4切れ（1切れ約80g）", "3/2", "ぶり 6切れ（1切れ約80g）"),
        ("めんつゆ（3倍濃縮） 大さじ2", "3/2", "めんつゆ（3倍濃縮） 大さじ3"),
        ("豆腐 半丁", "3", "豆腐 3/2丁"),
        ("水 1.5カップ", "3/2", "水 2.25カップ"),
        ("酒、みりん 各大さじ1と1/2", "2", "酒、みりん 各大さじ3"),
        ("生姜 1片（チューブなら3cm）", "2", "生姜 2片（チューブなら6cm）"),
        ("卵（2Lサイズ） 2個", "2", "卵（2Lサイズ） 4個"),
        ("昆布（5cm×10cm） 1枚", "2", "昆布（5cm×10cm） 2枚"),
        ("砂糖 小さじ3", "1", "砂糖 小さじ3"),
    ],
)
def test_lines_are_scaled_exactly(line: str, factor: str, scaled: str) -> None:
    """What scales and what stays, one of each kind."""
    assert scale(line, Fraction(factor)) == scaled


def test_a_whole_recipe_is_scaled_line_by_line() -> None:
    """A cook pastes a list, not a line; a trained model can take the place of the rule."""
    recipe = "鶏もも肉 1枚（約250g）\n\n塩 少々\n★酒　大さじ1と1/2"
    assert scale_list(recipe, "2人分→4人分") == "鶏もも肉 2枚（約500g）\n\n塩 少々\n★酒　大さじ3"
    assert scale_list(recipe, "半分", scale_line=lambda line: line.upper()).count("半分") == 3
    assert scaling_queries("塩 少々\n\n酢 大さじ1", "3倍") == ["塩 少々 を3倍", "酢 大さじ1 を3倍"]
    with pytest.raises(DataError, match="factor"):
        scale_list(recipe, "いっぱい")
    with pytest.raises(DataError, match="cannot be scaled"):
        scale_list(recipe, "2倍", scale_line=lambda line: None)


@pytest.mark.parametrize(
    ("factor", "value"),
    [
        ("3倍", "3"),
        ("1/2倍", "1/2"),
        ("½倍", "1/2"),
        ("1.5倍", "3/2"),
        ("半分", "1/2"),
        ("2人分→5人分", "5/2"),
        ("４人前→２人前", "1/2"),
    ],
)
def test_every_way_to_say_a_factor_is_read(factor: str, value: str) -> None:
    """People say it in many ways."""
    question = read_query(f"水 1カップ を{factor}")
    assert question is not None and question.factor == Fraction(value) and question.line == "水 1カップ"


@pytest.mark.parametrize("source", ["水 1カップ", "水 1カップ を0倍", "水 1カップ を0人分→3人分", "を3倍", ""])
def test_what_is_no_query_is_not_scaled(source: str) -> None:
    """A rule that is not sure says so."""
    assert scale_query(source) is None


def test_nothing_held_out_is_ever_drawn(quantities: Task, drawn: list[Example]) -> None:
    """Pairs of quantity and factor, and listed names, are in one split each."""
    products = {text.split(">")[0].replace("*", "×", 1) for item in drawn for text in item.target.split("<")[1:]}
    assert len(products) > 2000 and all(split_of(product) == "train" for product in products)
    held = [name for name in words()["names"] if split_of(f"name×{name}") != "train" and len(name) > 4]
    assert len(held) > 20
    found = [item.source for item in drawn for name in held if item.source.startswith(f"{name} ")]
    assert found == []
    hand = {row.source for row in hand_written()}
    assert not hand & {item.source for item in drawn}


def test_drawing_covers_every_kind_of_line(drawn: list[Example]) -> None:
    """Nothing extrapolates beyond the training data."""
    kinds = Counter(item.tag("kind") for item in drawn)
    assert set(kinds) == {
        "one quantity", "two quantities", "range", "unquantified", "half", "number in a note", "short spoon", "no unit",
        "other unit", "mixed number", "half after the unit", "piece and count", "kanji numeral",
    }  # fmt: skip
    assert min(kinds.values()) > 70
    text = "".join(item.source for item in drawn)
    for sign in "½⅓¼各約〜半１・と、（(→":
        assert text.count(sign) > 20, sign


def test_train_shows_every_character_that_can_be_drawn(quantities: Task, drawn: list[Example]) -> None:
    """A built-in model is made for the characters that it is shown; one more in a target would stop the training."""
    assert quantities.split is not None
    shown = set("".join(item.target for item in quantities.split.train))
    assert set(alphabet()) <= shown and len(kanji()) > 2900
    assert set("".join(item.target for item in drawn)) <= shown


def test_the_same_random_draws_the_same_lines(quantities: Task) -> None:
    """An interrupted run goes on to the same bits only if its examples do."""
    assert quantities.draw is not None
    one, other = Random(7), Random(7)
    assert [quantities.draw(one, 0.3) for _ in range(200)] == [quantities.draw(other, 0.9) for _ in range(200)]


def test_the_exam_is_fresh_and_has_the_hand_written_lines_as_a_subset() -> None:
    """Same exam for all seeds of a run, another for another exam seed."""
    one, other, third = task(items=100).split, task(items=100).split, task(items=100, exam_seed=1).split
    assert one is not None and other is not None and third is not None
    assert one.exam_fingerprint == other.exam_fingerprint != third.exam_fingerprint
    assert Counter(item.subset for item in one.exam) == {"": 100, HAND: 234}
    assert not {item.source for item in one.exam} & {item.source for item in (*one.train, *one.dev)}


def test_promotion_is_an_option() -> None:
    """小さじ3 is 大さじ1 where that is wanted."""
    promoting = task(items=50, promote=True)
    assert promoting.rule is not None and promoting.reverse is not None and promoting.split is not None
    assert promoting.rule("塩 小さじ1 を3倍") == "塩 大さじ1"
    assert promoting.reverse("塩 小さじ1 を3倍", "塩 大さじ1")
    hand = [item for item in promoting.split.exam if item.subset == HAND]
    assert all(promoting.rule(item.source) == promoting.codec.canonical(item.target) for item in hand)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (None, "unreadable"), ("しょうが 大さじ1/2", "not scaled"), ("しょうが 大さじ5/2", "wrong amount"),
        ("しょうか 大さじ3/2", "text changed"),
    ],
)  # fmt: skip
def test_wrong_predictions_are_named_by_what_is_wrong(given: str | None, kind: str) -> None:
    """Miscopied names and wrong amounts need different cures."""
    kind_of = task(items=1).error_kind
    assert kind_of is not None
    item = Example("しょうが 大さじ1/2 を3倍", "しょうが 大さじ<1/2*3>")
    assert kind_of(item, Prediction(item.source, given or "", given)) == kind


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"items": -1}, "items"), ({"exam_seed": "x"}, "whole number"), ({"promote": "yes"}, "promote"),
        ({"split": SplitConfig(method="exact")}, "hash"), ({"split": SplitConfig(exam=0)}, "split.exam"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_met_are_refused(options: dict[str, object], says: str) -> None:
    """A setting without effect is an error, not a surprise in the report."""
    with pytest.raises(ConfigError, match=says):
        task(**options)  # type: ignore[arg-type]


def test_the_codec_reads_what_a_model_would_write_for_a_question() -> None:
    """The target of the task is the prediction of the rule."""
    codec = quantity_codec()
    assert codec.read("大根 <5/4*5/2>本") == scale_query("大根 5/4本 を2人分→5人分")
