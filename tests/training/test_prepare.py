"""Sampled rows: nothing that is held out, and all that is memorised on purpose."""

from __future__ import annotations

from random import Random

import pytest

from terakoya.codec import TextCodec
from terakoya.errors import DataError
from terakoya.records import Example, Split
from terakoya.task import Task
from terakoya.training.prepare import make_sampler


def sampling_task(always: bool) -> Task:
    """Digits are sampled; the exam holds 3 (main subset) and, in a subset of its own, 7, which may be memorised."""
    exam = (Example("三", "3", group="n:3"), Example("七", "7", group="n:7", subset="old exam"))
    return Task(
        name="digits",
        codec=TextCodec(),
        draw=lambda rng, progress: (lambda n: Example(f"x{n}", str(n), group=f"n:{n}"))(rng.randrange(10)),
        split=Split((Example("x1", "1", group="n:1"),), (), exam),
        memorised=(lambda item: item.target == "7") if always else None,
    )


@pytest.mark.parametrize("always", [True, False])
def test_what_is_memorised_on_purpose_is_sampled_whatever_subset_of_the_exam_holds_it(always: bool) -> None:
    """万, 億 and 兆 stood in an exam subset of their own, were held out by mistake, and were never learnt."""
    task = sampling_task(always)
    assert task.split is not None
    draw = make_sampler(task, task.split)
    seen = {draw(Random(number), 1.0).target for number in range(300)}
    assert "3" not in seen
    assert ("7" in seen) is always


def test_a_task_that_samples_only_held_out_rows_is_refused() -> None:
    """An endless search for a row that cannot come would look like a hanging run."""
    only = Task(
        name="three",
        codec=TextCodec(),
        draw=lambda rng, progress: Example("三", "3", group="n:3"),
        split=Split((), (), (Example("三", "3", group="n:3"),)),
    )
    assert only.split is not None
    with pytest.raises(DataError, match="belong to the exam"):
        make_sampler(only, only.split)(Random(0), 1.0)
