"""The task janum: composed expressions with exact values, a rule that abstains, idioms in train and held out."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from terakoya.codec.arithmetic import as_decimal
from terakoya.config import SplitConfig
from terakoya.data.split import split_of
from terakoya.errors import ConfigError
from terakoya.records import Example, Prediction
from terakoya.task import Task
from terakoya.tasks.janum import read_expression, task
from terakoya.tasks.janum.exam import IDIOMS, UNSEEN, log_list
from terakoya.tasks.janum.expressions import FORMS, draw_expression
from terakoya.tasks.janum.idioms import lexicon, training_idioms, unseen_idioms
from terakoya.tasks.janum.sampler import frames, in_sentence, surroundings


@pytest.fixture(scope="module")
def janum() -> Task:
    return task()


@pytest.fixture(scope="module")
def drawn(janum: Task) -> list[Example]:
    assert janum.draw is not None
    random = Random(5)
    return [janum.draw(random, 1.0) for _ in range(10_000)]


@pytest.mark.parametrize("form", FORMS)
def test_the_rule_reads_every_composed_expression_back(form: str) -> None:
    """Writer and rule are made apart; where they agree on thousands, the labels are exact."""
    random = Random(form)
    for _ in range(700):
        made = draw_expression(random, form)
        assert read_expression(made.text) == as_decimal(made.value), made


def test_the_rule_is_never_wrong_on_an_idiom() -> None:
    """Sure means sure: on the lexicon it abstains on most and errs on none."""
    answers = {idiom: read_expression(idiom.text) for idiom in lexicon()}
    assert [idiom.text for idiom, found in answers.items() if found not in (None, idiom.value)] == []
    assert 120 < sum(found is not None for found in answers.values()) < 250


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("第一", "1"), ("二番目", "2"), ("七つ", "7"), ("廿日", "20"), ("一昨年", "-2"), ("半分", "0.5"),
        ("一割五分", "0.15"), ("八分目", "0.8"), ("三年半", "3.5"), ("八百万", "8000000"), ("十年前", "-10"),
        ("三割引", "0.3"), ("二世紀間", "200"), ("十九世紀末", "19"), ("二ダース半", "30"), ("四分の三", "0.75"),
        ("零下三度", "-3"), ("二・五倍", "2.5"), ("来期", "1"), ("半ダース", "6"), ("今日は【三割】だ", "0.3"),
        ("四六時中", None), ("三羽ガラス", None), ("三分の一", None), ("五分", None), ("二世紀", None),
        ("三味線", None), ("", None), ("【二】と【三】", None), ("【", None), ("先日", None),
    ],
)  # fmt: skip
def test_the_rule_reads_what_it_is_sure_of_and_abstains_elsewhere(text: str, value: str | None) -> None:
    """Rules where they are sure, a model where they abstain."""
    assert read_expression(text) == value


def test_values_are_written_out_exactly() -> None:
    """0.15 is no 0.15000000000000002."""
    assert [as_decimal(Fraction(text)) for text in ("3/20", "-1/2", "40", "-7/8", "0")] == [
        "0.15",
        "-0.5",
        "40",
        "-0.875",
        "0",
    ]


def test_nothing_held_out_is_ever_drawn(janum: Task, drawn: list[Example]) -> None:
    """Composed ones by form and value, idioms by name, in a sentence too."""
    composed = [item for item in drawn if item.origin == "rule"]
    assert all(split_of(item.group) == "train" for item in composed) and len(composed) > 5000
    assert janum.split is not None
    evaluated = {item.group for item in (*janum.split.dev, *janum.split.exam)}
    assert not evaluated & {item.group for item in (*drawn, *janum.split.train)}
    text = {item.source for item in drawn} | {part for item in drawn for part in item.source.split("【")}
    assert not {idiom.text for idiom in unseen_idioms()} & text
    assert not {idiom.marked for idiom in lexicon()} & {item.source for item in drawn}


def test_the_exam_has_three_subsets(janum: Task) -> None:
    """Composed forms decide; memorised items and what only pretraining can know are scored apart."""
    assert janum.split is not None and janum.memorised is not None
    parts = Counter(item.subset for item in janum.split.exam)
    assert parts == {"": 900, IDIOMS: 2 * len(training_idioms()), UNSEEN: 2 * len(unseen_idioms())}
    assert len(unseen_idioms()) > 50 and len(training_idioms()) > 400
    forms = Counter(item.tag("form") for item in janum.split.exam if not item.subset)
    assert set(forms) == set(FORMS) and forms["count"] < 120
    assert {item.subset for item in janum.split.exam if janum.memorised(item)} == {IDIOMS}
    assert all(read_expression(item.source) is None for item in janum.split.exam if item.subset == UNSEEN)


def test_every_idiom_of_the_closed_list_is_in_train(janum: Task, drawn: list[Example]) -> None:
    """What was never shown cannot be memorised."""
    assert janum.split is not None
    shown = Counter(item.group for item in (*drawn, *janum.split.train) if item.origin != "rule")
    assert set(shown) == {f"idiom:{idiom.text}" for idiom in training_idioms()}


def test_sentences_mark_the_expression() -> None:
    """A sentence may hold two numbers; the brackets say which one counts."""
    random = Random(1)
    texts = [in_sentence(random, "三割") for _ in range(200)]
    assert all(text.count("【三割】") == 1 for text in texts) and len(set(texts)) > 100
    assert all(frame.count("#") == 1 for frame in frames()) and len(frames()) >= 40 and len(surroundings()) > 100
    assert all(idiom.marked.count("【") == 1 for idiom in lexicon())


def test_the_same_random_draws_the_same_expressions(janum: Task) -> None:
    """An interrupted run goes on to the same bits only if its examples do."""
    assert janum.draw is not None
    one, other = Random(7), Random(7)
    assert [janum.draw(one, 0.3) for _ in range(200)] == [janum.draw(other, 0.9) for _ in range(200)]


def test_the_list_in_the_logs_order_is_split_as_the_config_says() -> None:
    """50 rows, idioms at the end; the task leaves the cut to the house."""
    rows = log_list()
    unshuffled = task(rows="log", notation="bracketed")
    assert unshuffled.examples == rows and unshuffled.split is None and unshuffled.draw is None
    assert len(rows) == 50 and [row.tag("form") for row in rows[-10:]] == ["idiom"] * 10
    assert all(unshuffled.codec.read(unshuffled.codec.write(row.target)) == row.target for row in rows)


@pytest.mark.parametrize(
    ("target", "given", "kind"),
    [
        ("-2", "2", "sign lost"), ("0.25", "25", "power of ten"), ("3.5", "3", "half lost"), ("24", "6", "digit wrong"),
        ("2", None, "unreadable"),
    ],
)  # fmt: skip
def test_wrong_predictions_are_named_by_what_is_wrong(target: str, given: str | None, kind: str) -> None:
    """The log suspected decimals; a table of errors shows it."""
    kind_of = task(rows="log").error_kind
    assert kind_of is not None and kind_of(Example("x", target), Prediction("x", given or "", given)) == kind


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rows": "logs"}, "log"), ({"items": -1}, "items"), ({"exam_seed": True}, "whole number"),
        ({"notation": "groups"}, "decimals"), ({"notation": "exponents"}, "exponent"),
        ({"rows": "log", "items": 5}, "no effect"), ({"split": SplitConfig(method="tail")}, "hash"),
        ({"split": SplitConfig(exam=0)}, "for the exam"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_met_are_refused(options: dict[str, object], says: str) -> None:
    """A setting without effect is an error, not a surprise in the report."""
    with pytest.raises(ConfigError, match=says):
        task(**options)  # type: ignore[arg-type]
