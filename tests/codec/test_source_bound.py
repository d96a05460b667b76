"""A prediction that copies its source, with products in it, is constrained to that source."""

from __future__ import annotations

from random import Random

import pytest

from terakoya.codec.quantity import quantity_codec
from terakoya.config import SplitConfig
from terakoya.decoding.constraints import grammar_constraints
from terakoya.tasks.quantities import task
from terakoya.tasks.quantities.sampler import RecipeLineSampler

TAIL = "[ 　]*を(?:[ 　]?[0-9０-９一二三四五六七八九十]{1,3}人[分前]?を)?[^を]*"
SOURCE = "大根 1/2本（約300g） を3倍"


def follows(source: str, written: str) -> bool:
    """Whether decoding could write this text character by character, and end there."""
    bound = quantity_codec(tail=TAIL).for_source(source)
    return all(bound.viable(written[:end]) for end in range(1, len(written) + 1)) and bound.complete(written)


def test_every_line_that_is_drawn_can_be_decoded() -> None:
    """A language that leaves a right target out would forbid what it was made to help."""
    sampler, codec = RecipeLineSampler(SplitConfig()), task(items=50).codec
    for number in range(2000):
        drawn = sampler.draw(Random(number), 1.0)
        assert follows(drawn.source, codec.write(drawn.target)), drawn


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("大恨 <1/2*3>本（約<300*3>g）", "a character of the name is another"),
        ("大根 <1/2*3>本", "the line goes on"),
        ("大根 <1/2*3>本（約<300*4>g）", "two factors in one prediction"),
        ("大根 <1*3>/2本（約<300*3>g）", "half of a number"),
        ("大根 <1/3*3>本（約<300*3>g）", "another number"),
        ("大根 1/2本（約3<00*3>g）", "a product in the midst of a number"),
        ("大根 <1/2*3>本（約<300*3>g） を", "the instruction is no part of the line"),
        ("<大*3>根 1/2本（約300g）", "no number"),
    ],
)
def test_a_prediction_that_leaves_its_source_is_not_viable(written: str, why: str) -> None:
    """Copying is what small models do worst; here they need not."""
    assert not follows(SOURCE, written), why


def test_the_right_targets_of_a_line_stay_viable() -> None:
    """Which numbers scale, and by what, is the model's to say."""
    assert follows(SOURCE, "大根 <1/2*3>本（約<300*3>g）")
    assert follows(SOURCE, "大根 <1/2*3>本（約300g）")
    assert follows(SOURCE, "大根 1/2本（約300g）")
    assert follows("a<b 2個を2倍", "a<<b <2*2>個")


def test_any_walk_through_the_language_ends_in_the_line() -> None:
    """An untrained model may multiply by nonsense; it can neither leave the line nor stall."""
    codec, pieces = quantity_codec(tail=TAIL), ["", *sorted(set(SOURCE) | set("<>*0123456789./x"))]
    chance = Random(0)
    for language in grammar_constraints(codec, [SOURCE] * 20, pieces, 0):
        written = ""
        while 0 not in (legal := language.legal(written)):
            assert legal, written
            written += pieces[chance.choice(legal)]
        assert codec.read(written) is not None
        assert len(written) < 80
    assert not codec.for_source(SOURCE).complete("")


def test_without_a_tail_no_prediction_is_constrained_to_its_source() -> None:
    """A table may map quantities to any other text."""
    codec = quantity_codec()
    assert codec.for_source(SOURCE) is codec
    assert codec.name == "quantity"
    assert quantity_codec(promote=True, tail=TAIL).name == "quantity:promote+copied"
