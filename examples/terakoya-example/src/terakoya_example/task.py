"""A task: a function that returns a Task. Its keyword arguments are the keys of `[task.options]`."""

from __future__ import annotations

from terakoya.records import Example
from terakoya.task import Task

_DIGITS = "〇一二三四五六七八九"


def task(*, step: int = 1) -> Task:
    """Clock times of a day.

    step  minutes between two of them
    """
    times = [(minutes // 60, minutes % 60) for minutes in range(0, 24 * 60, step)]
    return Task(
        name="clock",
        examples=tuple(Example(written(*time), f"{time[0]:02}:{time[1]:02}", origin="rule") for time in times),
        summary="Clock times in Japanese to digits: 午後三時二十分 → 15:20",
    )


def written(hour: int, minute: int) -> str:
    """A time of the 24-hour clock as Japanese writes it with twelve hours."""
    half, minutes = ("午前", "午後")[hour >= 12], f"{kanji(minute)}分" if minute else ""
    return f"{half}{kanji(hour % 12)}時{minutes}"


def kanji(number: int) -> str:
    """A number below 100 in kanji."""
    tens, ones = divmod(number, 10)
    head = (_DIGITS[tens] if tens > 1 else "") + "十" if tens else ""
    return head + (_DIGITS[ones] if ones or not tens else "")
