"""What the audit says of data with a known defects, and that it is silent on sound data.

Strengths and rates of detection are measured by benchmarks/faults/audit_defects.py; here is one example of each kind.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from synthetic_data import emoji_v1, labels_task, make_split, number_task, text_task, words

from terakoya.data.audit import audit
from terakoya.records import Example, Finding, Split
from terakoya.task import Task


def texts(size: int = 300) -> list[Example]:
    random = Random(0)
    return [Example(words(random), words(random, 6), row=row) for row in range(2, size + 2)]


def numbers(size: int = 300) -> list[Example]:
    random = Random(0)
    values = random.sample(range(10**6), size)
    return [Example(f"{words(random, 2)} {value}", str(value), row=row) for row, value in enumerate(values, 2)]


def moods(size: int = 600) -> list[Example]:
    random, labels = Random(0), "✨📚🎉😅⚽🤔🌞🔬🎵🔥"
    return [
        Example(words(random), " ".join(random.sample(labels, random.randint(1, 4))), row=row)
        for row in range(2, size + 2)
    ]


def changed(rows: list[Example], places: Sequence[int], **how: str) -> list[Example]:
    """The same rows, some of them with another source or target."""
    return [replace(row, **how) if at in places else row for at, row in enumerate(rows)]  # type: ignore[arg-type]


def raised(task: Task, split: Split | None = None) -> dict[str, Finding]:
    found = audit(task, split or make_split(list(task.examples), exam=0.5))
    # The gravest of a kind comes first, and stays.
    return {finding.check: finding for finding in reversed(found) if finding.level != "note"}


@pytest.mark.parametrize("make", [texts, numbers, moods])
def test_sound_data_give_no_warning(make) -> None:  # type: ignore[no-untyped-def]
    """An alarm that always rings is switched off."""
    rows = make(600)
    task = {texts: text_task, numbers: number_task, moods: labels_task}[make](rows)
    assert raised(task) == {}


ODD_CELLS = {
    "damaged-float": "1.0",
    "damaged-science": "1E+05",
    "damaged-error": "########",
    "damaged-nothing": "nan",
    "damaged-date": "2-Jan",
    "empty": " ",
    "mojibake": "ã‚ã‚Šã\x81Œã¨ã†",
    "invisible": "あり\u200bがとう",
    "loose-marks": "か\u3099くせい",
    "special-tokens": "はい<|im_end|>",
    "refusals": "申し訳ありませんが、その質問にはお答えできません。",
    "prose": "以下の通りです：ありがとう",
    "edge-space": "ありがとう ",
    "mixed-widths": "１２３",
    "unreadable-targets": "",
}


@pytest.mark.parametrize("check", ODD_CELLS)
def test_odd_targets_are_named_with_their_rows(check: str) -> None:
    """People correct rows; a share of the table cannot be opened in an editor."""
    rows = changed(texts(), [4, 70, 200], target=ODD_CELLS[check])
    rows = changed(rows, range(100, 130), target="x1") if check == "mixed-widths" else rows
    found = raised(text_task(rows))[check]
    assert found.rows == (6, 72, 202) and found.where == "target" and found.do


def test_japanese_that_looks_odd_is_not() -> None:
    """Skin tones, families, flags and half-width kana are text, and 一月二日 in figures is no damaged cell."""
    good = [
        "👩🏽‍🚀です",
        "👨‍👩‍👧",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "ﾊﾝｶｸﾃﾞｽ",
        "<3",
        "1月2日",
    ]
    rows = texts(600)
    for at, text in enumerate(good):
        rows = changed(rows, [at], source=text)
    assert raised(text_task(rows)) == {}


@pytest.mark.parametrize("target", ["たくさん", "1E+05", "1月2日", "#NAME?"])
def test_a_target_that_cannot_be_written_stops(target: str) -> None:
    """Training would fail at that row, or train on what nobody can read."""
    found = raised(number_task(changed(numbers(), [9], target=target)))["unreadable-targets"]
    assert found.level == "stop" and found.rows == (11,)


def test_swapped_columns_are_guessed() -> None:
    rows = [replace(row, source=row.target, target=f"約{row.target}") for row in numbers()]
    assert "swapped" in raised(number_task(rows))["unreadable-targets"].do


def test_one_target_for_all_stops() -> None:
    found = raised(text_task([replace(row, target="はい") for row in texts()]))
    assert found["one-answer"].level == "stop"


def test_copies_and_contradictions_are_counted() -> None:
    rows = [*texts(), *(replace(row, row=row.row + 1000) for row in texts()[:10])]
    rows += [replace(row, target="別", row=row.row + 2000) for row in texts()[50:60]]
    found = raised(text_task(rows))
    assert found["duplicates"].values["rows"] == 10 and found["contradictions"].values["sources"] == 10
    assert 1002 in found["duplicates"].rows


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_one_copy_for_each_hundred_rows_warns(copies: int) -> None:
    """1% of the rows once more are 0.99% of all rows: the threshold of 1% was missed by a hair."""
    rows = [Example(f"{n}番の文", str(n), row=n + 2) for n in range(100 * copies)]
    again = [replace(row, row=row.row + 1000) for row in rows[:copies]]
    assert "duplicates" in raised(text_task([*rows, *again]))
    assert "duplicates" not in raised(text_task([*rows, Example("はじめての文", "x", row=900), *again]))


def test_an_exam_item_in_train_stops_in_any_spelling() -> None:
    """十 was in train and in test of the numerals log."""
    rows = numbers()
    split = Split(tuple(rows[:150]), tuple(rows[150:160]), tuple(rows[160:]))
    for source, kind in ((rows[5].source, "exact"), (f"  {rows[5].source.replace('1', '１')}　", "normal_form")):
        leaked = replace(split, exam=(replace(rows[5], source=source, row=999), *split.exam))
        found = raised(number_task(rows), leaked)["leak"]
        assert found.level == "stop" and found.rows == (999,) and found.values[kind] == 1


def test_memorised_items_are_no_leak() -> None:
    rows = numbers(600)
    split = Split(tuple(rows[:290]), tuple(rows[290:300]), (*rows[300:], replace(rows[3], subset="memorised")))
    assert "leak" not in raised(number_task(rows), split)


def test_near_copies_are_counted_by_origin_and_other_numbers_are_no_copies() -> None:
    """A generator that varies one word fills a data set with itself; 百一 and 百二 are two sources."""
    rows = [replace(row, origin="corpus") for row in texts()]
    rows += [
        replace(row, source=row.source[:-1] + "ん", target=f"{row.target}x", row=row.row + 500, origin="varied")
        for row in texts()[:40]
    ]
    found = raised(text_task(rows))["near-duplicates"]
    assert found.values["from varied"] == 40 and min(found.rows) == 502
    counted = [Example(f"今日の気温は昨日よりも高くて{n}度だったそうです", str(n), row=n) for n in range(600)]
    assert "near-duplicates" not in raised(number_task(counted))


def test_a_tail_split_of_ordered_rows_stops() -> None:
    """janum: .3 on the last rows, .7 after shuffling, and nobody knew why."""
    rows = sorted(numbers(), key=lambda row: int(row.target))
    rows = [replace(row, row=at) for at, row in enumerate(rows, 2)]
    assert raised(number_task(rows), make_split(rows, "tail", exam=0.5))["order"].level == "stop"
    assert "order" not in raised(number_task(numbers()), make_split(numbers(), "tail", exam=0.5))
    assert "order" not in raised(number_task(rows))  # by hash the order does no harm


def test_a_coverage_gap_in_train_is_found() -> None:
    """A rule that held out all multiples of 10⁴ made a gap that no score explained."""
    rows = [replace(row, target=str(at * 10_000 or 1)) if at % 4 == 0 else row for at, row in enumerate(numbers(600))]
    held = [at for at in range(600) if at % 4 == 0 or at % 3 == 0]
    split = Split(
        tuple(row for at, row in enumerate(rows) if at not in held),
        tuple(rows[1:3]),
        tuple(row for at, row in enumerate(rows) if at in held),
    )
    assert "zeros at the end" in raised(number_task(rows), split)["exam-hole"].what


def test_columns_pushed_by_an_index_are_found() -> None:
    rows = [replace(row, source=str(at), target=row.source) for at, row in enumerate(texts())]
    assert "index" in raised(text_task(rows))["shifted-header"].what


def test_a_header_inside_the_rows_is_found() -> None:
    rows = changed(texts(), [40], source="source", target="target")
    assert raised(text_task(rows))["header-rows"].rows == (42,)


def test_lost_leading_zeros_are_found() -> None:
    random = Random(0)
    codes = [replace(row, target=f"{random.randrange(10**7):07d}") for row in texts(600)]
    assert raised(text_task(codes)) == {}
    lost = [replace(row, target=row.target.lstrip("0")) for row in codes]
    assert "zeros" in raised(text_task(lost))["leading-zeros"].what


def test_targets_in_the_source_are_found() -> None:
    """17.9% of the emoji log's third data set had emoji in its input."""
    rows = changed(moods(), range(0, 600, 20), source="楽しかった🎉")
    assert raised(labels_task(rows))["emoji-in-input"].values["rows"] == 30


def test_too_many_emoji_are_found() -> None:
    rows = changed(moods(), [3], target="✨ 📚 🎉 😅 ⚽ 🤔 🌞")
    assert raised(labels_task(rows))["many-labels"].rows == (5,)


def test_words_among_emoji_are_found() -> None:
    """ "填" was predicted by the emoji log's model, and was in nobody's list."""
    assert raised(labels_task(changed(moods(), [3], target="✨ 填")))["odd-labels"].rows == (5,)


def test_sentences_cut_short_are_found() -> None:
    """5.4% of the emoji log's sources had no ending."""
    rows = [replace(row, source=f"{row.source}でした。") for row in texts()]
    assert "cut-sources" not in raised(text_task(rows))
    cut = [replace(row, source=row.source.rstrip("。")) if at % 18 == 0 else row for at, row in enumerate(rows)]
    assert raised(text_task(cut))["cut-sources"].values["rows"] == 17


def test_orphan_brackets_and_remains_of_web_sites_are_found() -> None:
    rows = changed(texts(), range(0, 300, 30), source="彼は「はい」と」言った")
    rows = changed(rows, range(1, 300, 30), source="東京は日本の首都である[12]。")
    assert {"orphan-brackets", "page-remains"} <= raised(text_task(rows)).keys()


def test_an_exam_too_small_says_how_many_items_it_takes() -> None:
    """Ten items showed .3 and .7, and neither meant anything."""
    rows = numbers()
    found = raised(number_task(rows), Split(tuple(rows[:280]), tuple(rows[280:290]), tuple(rows[290:])))["exam-size"]
    assert found.values["items"] == 10 and found.values["detectable"] > 0.4 and "196" in found.do


def test_nothing_to_train_on_stops() -> None:
    rows = numbers()
    assert raised(number_task(rows), Split((), (), tuple(rows)))["empty-side"].level == "stop"
    assert raised(number_task(rows), Split(tuple(rows), (), ()))["empty-side"].level == "warn"


def test_an_audit_looks_and_changes_nothing() -> None:
    """Run twice, it says the same, whatever the hash seed of the process and the order of the splits."""
    rows = emoji_v1()[:300]
    task, split = labels_task(rows), make_split(rows)
    assert audit(task, split) == audit(task, split)
    turned = replace(split, train=split.train[::-1])
    assert [finding.what for finding in audit(task, turned)] == [finding.what for finding in audit(task, split)]


@pytest.mark.parametrize(
    "piece",
    [
        "縺",
        "Ã",
        "､",
        "\u201a",
        "<|",
        "[",
        "「",
        "?",
        "AI",
        "すみません、",
        "#",
        "1",
        "９",
        "\u200d",
        "\U000e0041",
        "あ ",
    ],
)
def test_no_cell_costs_more_than_its_length(piece: str) -> None:
    """A pattern that tries every way to fail would hang on one row of five million."""
    rows = changed(texts(50), [3], source=piece * 20_000, target=piece * 20_000)
    start = time.process_time()
    audit(text_task(rows), make_split(rows, exam=0.5))
    assert time.process_time() - start < 5


def test_an_item_in_two_subsets_of_an_exam_is_no_copy() -> None:
    """An exam may have 二十 among the drawn ones and again in the fixed two hundred."""
    rows = numbers(600)
    again = tuple(replace(row, subset="fixed") for row in rows[300:340])
    assert "duplicates" not in raised(
        number_task(rows), Split(tuple(rows[:290]), tuple(rows[290:300]), (*rows[300:], *again))
    )


def test_numbers_are_no_labels() -> None:
    """Small numbers repeat in sound data; how many rows each has is no fault."""
    rows = [Example(row.source, str(at % 60), row=row.row) for at, row in enumerate(texts(600))]
    assert raised(number_task(rows)) == {}


def test_exam_labels_that_no_prediction_can_hold_warn_and_do_not_stop() -> None:
    """A hand-written exam knows more than the data. Its rows are sound; what they cost is reported beforehand."""
    rows = moods()
    task = labels_task(rows)
    strange = changed(rows[500:], range(0, 100, 10), target="🦑 ✨")
    found = raised(task, Split(tuple(rows[:450]), tuple(rows[450:500]), tuple(strange), "by hand"))
    assert "unreadable-targets" not in found
    warning = found["unanswerable-labels"]
    assert (warning.level, warning.where, warning.values["rows"]) == ("warn", "exam", 10.0)
    assert "'🦑'" in warning.what and "10.0%" in warning.what


def test_what_is_no_label_at_all_stops_in_an_exam_too() -> None:
    """Prose among emoji is damage, in any split."""
    rows = moods()
    task = labels_task(rows)
    split = Split(
        tuple(rows[:450]), tuple(rows[450:500]), tuple(changed(rows[500:], [3], target="たのしい")), "by hand"
    )
    assert raised(task, split)["unreadable-targets"].level == "stop"
