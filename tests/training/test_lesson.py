"""What the loop is given: nothing that is held out, and all that is taught on purpose."""

from __future__ import annotations

from random import Random

import pytest

from terakoya.codec import TextCodec
from terakoya.errors import DataError
from terakoya.records import Example, Split
from terakoya.task import Task
from terakoya.training.prepare import drawer


def drawn_task(always: bool) -> Task:
    """Digits are drawn; the exam asks 3 (main part) and, in a part of its own, 7, which may be taught on purpose."""
    exam = (Example("三", "3", group="n:3"), Example("七", "7", group="n:7", part="old exam"))
    return Task(
        name="digits",
        codec=TextCodec(),
        draw=lambda chance, progress: (lambda n: Example(f"x{n}", str(n), group=f"n:{n}"))(chance.randrange(10)),
        split=Split((Example("x1", "1", group="n:1"),), (), exam),
        always_taught=(lambda item: item.target == "7") if always else None,
    )


@pytest.mark.parametrize("always", [True, False])
def test_what_is_taught_on_purpose_is_drawn_whatever_part_of_the_exam_asks_it(always: bool) -> None:
    """万, 億 and 兆 stood in an exam part of their own, were held out by mistake, and were never learnt."""
    task = drawn_task(always)
    assert task.split is not None
    draw = drawer(task, task.split)
    seen = {draw(Random(number), 1.0).written for number in range(300)}
    assert "3" not in seen
    assert ("7" in seen) is always


def test_a_draw_that_reaches_only_what_is_held_out_is_refused() -> None:
    """An endless search for a row that cannot come would look like a hanging run."""
    only = Task(
        name="three",
        codec=TextCodec(),
        draw=lambda chance, progress: Example("三", "3", group="n:3"),
        split=Split((), (), (Example("三", "3", group="n:3"),)),
    )
    assert only.split is not None
    with pytest.raises(DataError, match="belong to the exam"):
        drawer(only, only.split)(Random(0), 1.0)
