"""The shipped rules of augmentation, and which of them a task uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from terakoya.data.split import group_of
from terakoya.records import Example
from terakoya.task import Task


@dataclass(frozen=True)
class AugmentationRule:
    """How rows of one kind are multiplied.

    name      for the record
    confirms  row → whether the rule gives the row's own target; other rows are left alone
    vary      (row, rng) → another row with its exact target; None where this draw gives none
    identity  row → what must not be in dev or the exam as well, beside its text and group
    """

    name: str
    confirms: Callable[[Example], bool]
    vary: Callable[[Example, Random], Example | None]
    identity: Callable[[Example], str] = group_of


def rules_for(task: Task) -> tuple[AugmentationRule, ...]:
    """The task's own function `augment` where it has one, else the shipped rules, of which the first that confirms a
    row multiplies it.

    task  its codec tells texts with labels from others
    """
    if task.augment is not None:
        return (AugmentationRule(task.name, lambda row: True, task.augment),)
    if getattr(task.codec, "labels", ()):
        return (_emoji(),)
    return _numerals(), _quantities()


def _numerals() -> AugmentationRule:
    from terakoya.tasks.numerals.augmentation import vary
    from terakoya.tasks.numerals.reader import read

    def is_read(row: Example) -> bool:
        number = read(row.source)
        return number is not None and str(number) == row.target.strip()

    return AugmentationRule("numerals", is_read, vary, lambda row: f"n:{row.target.strip()}")


def _quantities() -> AugmentationRule:
    from terakoya.tasks.quantities.augmentation import is_scaled, vary

    return AugmentationRule("quantities", is_scaled, vary)


def _emoji() -> AugmentationRule:
    from terakoya.codec.text import parse_emoji
    from terakoya.tasks.emoji.augmentation import vary

    return AugmentationRule("emoji", lambda row: bool(parse_emoji(row.target)), vary)
