"""Targets that break the form of the others, and labels that are not what their author meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from terakoya.data.audit.written_lists import is_written_list
from terakoya.pipeline import commands
from terakoya.records import Finding


def found(folder: Path, rows: Sequence[tuple[str, str]], *settings: str) -> dict[str, Finding]:
    path = folder / "a.csv"
    cells = [[cell.replace('"', '""') for cell in row] for row in rows]
    path.write_text("source,target\n" + "".join(f'"{a}","{b}"\n' for a, b in cells), encoding="utf-8")
    return {finding.check: finding for finding in commands.audit(str(path), overrides=settings)}


TIMES = [(f"時刻その{at}をいう", f"{at % 24}:{at % 60:02d}") for at in range(300)]
ODD = {"full-width colon": "4：40", "full-width digits": "４:40", "spaces": "4: 40", "a space at the end": "4:40 "}


@pytest.mark.parametrize("kind", ODD)
def test_one_target_in_another_spelling_is_named(tmp_path: Path, kind: str) -> None:
    """One full-width colon among 299 half-width ones: no pair of rows shows it."""
    rows = [*TIMES[:100], (TIMES[100][0], ODD[kind]), *TIMES[101:]]
    finding = found(tmp_path, rows)["odd-forms"]
    assert finding.level == "warn" and finding.rows == (102,)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_one_form_or_two_in_use_are_nobodys_mistake(tmp_path: Path, share: float) -> None:
    rows = [
        (source, target.replace(":", "：") if at < share * 300 else target) for at, (source, target) in enumerate(TIMES)
    ]
    assert "odd-forms" not in found(tmp_path, rows)


def test_sentences_have_no_form_to_break(tmp_path: Path) -> None:
    rows = [(f"文{at}", f"{'とても' * (at % 3)}良い{at}日でした{'！' if at % 7 else '!'}") for at in range(300)]
    assert "odd-forms" not in found(tmp_path, rows)


def date(at: int, exchanged: bool) -> tuple[str, str]:
    month, day = at % 12 + 1, at % 28 + 1
    first, second = (day, month) if exchanged else (month, day)
    return f"令和{at % 5 + 1}年{month}月{day}日の{at}", f"{2019 + at % 5}-{first:02d}-{second:02d}"


def test_month_and_day_exchanged_are_named(tmp_path: Path) -> None:
    """3月5日 → 05-03 is a legal date, and wrong; the source says so."""
    rows = [date(at, at in (14, 16, 30)) for at in range(300)]
    finding = found(tmp_path, rows)["month-day"]
    assert finding.rows == (16, 18, 32)
    unsaid = [(f"その{at}の日", target) for at, (_source, target) in enumerate(rows)]
    assert found(tmp_path, unsaid)["month-day"].rows == (16, 18)  # 2023-15-03 and -17-05: no such month
    assert "month-day" not in found(tmp_path, [date(at, False) for at in range(300)])
    assert "month-day" not in found(tmp_path, [date(at, True) for at in range(300)])  # another convention


# ThilinaRajapakse/simpletransformers#51, #474; Lightning-Universe/lightning-flash#728
SETS = ["✨ 📚", "🎉", "😅 🤔", "⚽", "🌞", "✨📚"] * 7


@pytest.mark.parametrize("form", [lambda labels: str(labels), lambda labels: str(labels).replace("'", '"')])
def test_lists_saved_as_text_are_read_as_lists(tmp_path: Path, form: object) -> None:
    """['✨', '📚'] gave the labels "['✨'," and "'📚']"."""
    rows = [(f"文{at}", form(labels.split())) for at, labels in enumerate(SETS)]  # type: ignore[operator]
    read = found(tmp_path, rows, "task.codec=labels")
    assert set(read["label-counts"].values) == {"✨", "📚", "🎉", "😅", "🤔", "⚽", "🌞"}
    assert "label-punctuation" not in read


@pytest.mark.parametrize("quote", ["'", '"'])
def test_lists_that_stay_text_are_named_with_their_rows_and_a_setting_that_reads_them(
    tmp_path: Path, quote: str
) -> None:
    """As text, "['✨', '🎉']" taught a model to write brackets and quotes."""
    cells = [str(labels.split()).replace("'", quote) for labels in SETS[:3]]
    rows = [*((f"文{at}", cell) for at, cell in enumerate(cells)), *((f"語{at}", "(3本)") for at in range(30))]
    finding = found(tmp_path, rows)["written-lists"]
    assert finding.level == "warn" and finding.rows == (2, 3, 4) and cells[0] in finding.what
    assert "--set task.codec=labels" in finding.do
    lists = [(f"文{at}", str(labels.split()).replace("'", quote)) for at, labels in enumerate(SETS)]
    assert "written-lists" not in found(tmp_path, lists, "task.codec=labels")


def test_sources_that_are_lists_are_named(tmp_path: Path) -> None:
    rows = [("['卵', '塩']", "a"), *((f"文{at}", "b") for at in range(30))]
    finding = found(tmp_path, rows)["written-lists"]
    assert finding.where == "source" and finding.rows == (2,)


@pytest.mark.parametrize(
    "text", ["[注] 卵", "(3本)", "「『塩』」", "['", "['a'] と ['b']", "[1, 2]", "{'a': 1}", "['a' + 'b']"]
)
def test_brackets_are_no_list(text: str) -> None:
    assert not is_written_list(text)


def test_labels_with_commas_are_named_with_the_setting_that_reads_them(tmp_path: Path) -> None:
    rows = [(f"文{at}", ", ".join(labels.split())) for at, labels in enumerate(SETS)]
    finding = found(tmp_path, rows, "task.codec=labels")["label-punctuation"]
    assert finding.level == "warn" and "--set task.separator=','" in finding.do
    read = found(tmp_path, rows, "task.codec=labels", "task.separator=,")
    assert set(read["label-counts"].values) == {"✨", "📚", "🎉", "😅", "🤔", "⚽", "🌞"}
    assert "label-punctuation" not in read


# orling/grapheme-splitter#29, #7; carpedm20/emoji#204; beaugunderson/emoji-aware#9
@pytest.mark.parametrize(
    ("target", "labels", "check"),
    [("🐱\u200d👤", {"🐱", "👤"}, "emoji-sequences"),
     ("🏴\U000e0075\U000e0073\U000e0074\U000e0078\U000e007f", {"🏴"}, "emoji-sequences"),
     ("😀\u200d", {"😀"}, "emoji-sequences"), ("😀\u200b😎", {"😀", "😎"}, "emoji-sequences"),
     ("♡", {"♡"}, "symbol-labels"), ("♪ ☆", {"♪", "☆"}, "symbol-labels")],
)  # fmt: skip
def test_odd_emoji_are_decided_in_their_row_and_named(
    tmp_path: Path, target: str, labels: set[str], check: str
) -> None:
    """One odd row made every ✨📚 of the table one label."""
    rows = [(f"文{at}", text) for at, text in enumerate(SETS)]
    read = found(tmp_path, [*rows, ("変わった行", target)], "task.codec=labels")
    assert set(read["label-counts"].values) == {"✨", "📚", "🎉", "😅", "🤔", "⚽", "🌞"} | labels
    assert read[check].rows == (len(rows) + 2,)
