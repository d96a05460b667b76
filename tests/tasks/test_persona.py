"""A character's voice: whole exchanges in one split, all turns in the fingerprint, and metrics that know him."""

from __future__ import annotations

from collections import Counter

import pytest

from terakoya.config import SplitConfig
from terakoya.data.split import group_of, split_examples
from terakoya.records import Turn
from terakoya.tasks.persona import exchanges, task


def test_there_are_three_hundred_exchanges_and_none_is_cut() -> None:
    """Half an exchange in training and half in the exam would give the target away."""
    found = task()
    groups = {example.group for example in found.examples}
    assert len(groups) >= 300
    split = split_examples(found.examples, SplitConfig())
    splits = [{group_of(example) for example in side} for side in (split.train, split.dev, split.exam)]
    assert not (splits[0] & splits[1] or splits[0] & splits[2] or splits[1] & splits[2])


def test_the_fingerprint_covers_every_turn() -> None:
    """The same last line after another talk is another question."""
    from dataclasses import replace

    example = next(one for one in exchanges() if one.turns)
    other = replace(example, turns=(Turn("user", "別の話"), *example.turns[1:]))
    assert other.fingerprint != example.fingerprint


def test_his_own_responses_have_his_voice_and_others_do_not() -> None:
    """A metric that a stranger's sentence passes measures nothing."""
    found = task()
    own = [found.metrics["voice"].score(example.target, []) for example in found.examples]
    assert sum(own) / len(own) > 0.6
    assert all(found.metrics["in_character"].score(example.target, []) == 1 for example in found.examples)
    strangers = ["私はAIアシスタントです。", "今日はいい天気ですね。", "はい、承知いたしました。"]
    assert not any(found.metrics["voice"].score(text, []) for text in strangers)
    assert found.metrics["in_character"].score(strangers[0], []) == 0
    assert found.metrics["voice"].score(None, []) == 0


def test_loops_are_seen() -> None:
    """ "Diz? Diz iz da Iez." The log's model went round in circles; the metric must say so."""
    judge = task().metrics["no_loops"].score
    assert judge("でやすでやすでやすでやすでやすでやす", []) < 0.5
    assert judge("お客人、峠の霧は昼には晴れやす。", []) == 1


@pytest.mark.parametrize("turns", [1, 2])
def test_fewer_turns_can_be_heard(turns: int) -> None:
    """A small model may be given the last turns only."""
    assert max(Counter(len(example.turns) for example in task(turns=turns).examples)) <= turns
