"""The ceiling of an exam: annotators scored against each other, beside the scores and never among the rivals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pytest

from benchmarks.quality.emoji_ceiling import measure
from terakoya.codec import TextCodec
from terakoya.codec.text import all_emoji, normalise_emoji
from terakoya.config import make_config
from terakoya.errors import PluginError
from terakoya.evaluation.exam import ExamResult, write_exam
from terakoya.exporters import facts
from terakoya.records import Example, Prediction, Signature
from terakoya.reporting import charts, markdown, read_record
from terakoya.runs import Run
from terakoya.scoring.annotator_agreement import OWN, annotator_scores, leave_one_out
from terakoya.scoring.metrics import Metric, jaccard
from terakoya.scoring.score_predictions import score_predictions
from terakoya.task import Task, check_task
from terakoya.tasks.emoji import ANNOTATORS, annotator, hand_written_exam


def _signature(metric: Metric) -> Signature:
    return Signature("exam", metric.signature, "greedy", "text", "")


def test_each_annotator_is_scored_against_the_others_only() -> None:
    """By hand: {a b} shares one of two labels with {a}; {a} is in {a b} half; {c} shares nothing with anybody."""
    answers = {OWN: ("a b", "c d e"), "first": ("a",), "second": ("c",)}
    assert leave_one_out(answers, jaccard) == {OWN: 0.5, "first": 0.5, "second": pytest.approx(1 / 3)}


def test_the_ceiling_is_the_mean_over_annotators_and_items() -> None:
    """Items with one annotator only are no evidence of agreement and are left out of n."""
    exam = (Example("one", "a b"), Example("two", "a"), Example("three", "x"))
    answered = {"one": "a", "two": "a"}
    (score,) = annotator_scores(
        exam, {"first": answered.get}, TextCodec(), {"jaccard": jaccard}, _signature, group_of=lambda example: ""
    )
    assert (score.who, score.n) == ("annotators", 2) and score.value == pytest.approx((0.5 + 1.0) / 2)
    assert score.low < score.value <= score.high
    # Scored against other people and not against the exam: no score that `compare` may set against a model's.
    assert score.signature.metric == "jaccard|annotators:2|v:1"
    assert score.signature.metric != jaccard.signature


def test_an_exam_without_further_answers_has_no_ceiling() -> None:
    """Another exam taken by the same skill: its sentences were never answered."""
    exam = (Example("another sentence", "a"),)
    nobody: dict[str, str] = {}
    given = (exam, {"first": nobody.get}, TextCodec(), {"jaccard": jaccard}, _signature)
    assert annotator_scores(*given, group_of=lambda example: "") == []


def test_every_emoji_sentence_has_two_further_sets_that_change_no_score() -> None:
    """408 sentences, two sets each of 1 to 5 different emoji as the codec writes them; `accepted` has none of them."""
    exam, legal = hand_written_exam(), set(all_emoji())
    before = {"things": 0, "mood": 0}
    for example in exam:
        own = [frozenset(text.split()) for text in (example.target, *example.accepted)]
        sets = [annotator(name)(example.source) for name in ANNOTATORS]
        assert all(one is not None for one in sets), example.source
        for name, one in zip(ANNOTATORS, sets, strict=True):
            emoji = str(one).split()
            assert 1 <= len(emoji) <= 5 and len(set(emoji)) == len(emoji), (example.source, one)
            assert all(normalise_emoji(each) == each and each in legal for each in emoji), (example.source, one)
            before[name] += frozenset(emoji) in own
        assert len({frozenset(str(one).split()) for one in sets}) == 2, example.source
    assert len(exam) == 408 and sum(len(example.accepted) for example in exam) == ACCEPTED
    assert before == {"things": 7, "mood": 0}  # equal by themselves, see exams/README.md


ACCEPTED = 887  # further sets of the exam's own writer, by which every score on record was made


def test_the_ceiling_on_record_is_what_the_sets_say() -> None:
    """The recorded figure is made from the shipped sets."""
    page = Path("benchmarks/results/emoji_ceiling.json")
    recorded = json.loads(page.read_text(encoding="utf-8"))["all"]
    for title, one in measure(hand_written_exam()).items():
        assert recorded[title]["value"] == pytest.approx(one.value) and recorded[title]["n"] == one.n == 408
    # The single writer's own alternatives, the only ceiling there was before.
    assert recorded["the exam's own sets against each other, one writer"]["value"] == pytest.approx(0.189, abs=5e-4)


def test_an_annotator_that_cannot_be_asked_is_refused() -> None:
    """Before anything is trained, with the annotator's name."""
    task = Task(name="greetings", examples=(Example("a", "b"),))

    def first() -> str:
        return "b"

    broken = replace(task, annotators=MappingProxyType({"first": cast(Any, first)}))
    with pytest.raises(PluginError, match="annotator 'first'"):
        check_task(broken, "the task 'greetings'", Task)


def test_the_ceiling_stands_beside_the_scores_and_decides_nothing(tmp_path: Path) -> None:
    """In scores.json, in the record and its chart; the verdict's baselines are what they were."""
    exam = tuple(Example(f"{number} {word}", word) for number, word in enumerate(("a", "b", "c", "d") * 12))
    answers = {example.source: example.target if number % 2 else "z" for number, example in enumerate(exam)}
    task = Task(name="words", examples=exam, annotators={"first": answers.get})
    config = make_config({"seed": 0, "task": {"use": "kannume"}})
    predictions = [Prediction(example.source, "a", "a") for example in exam]
    model = score_predictions("model", exam, predictions, task.codec, task.metrics)
    with Run.create(tmp_path, "words") as run:
        write_exam(run, ExamResult((model,), None, exam), task, config)
    record = read_record(run.path)
    ceiling = next(score for score in record.scores if score.who == "annotators")
    assert (ceiling.value, ceiling.n) == (0.5, 48)
    assert record.main is not None and record.main.who == "model" and record.main.value == 0.25
    for lang, words in (("en", "annotators of the exam reach 0.500"), ("ja", "0.500")):
        assert words in markdown(record, lang), lang
    assert "annotators" in charts.chart(record, "scores", "en")
    said = [str(line) for line in facts._scores(record)]
    assert sum(line.startswith("annotators, each against the others: exact 0.5000") for line in said) == 1, said
