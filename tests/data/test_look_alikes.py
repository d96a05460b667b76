"""Sources that look alike are one source: in duplicates, leaks and groups; and what all of them share is no copy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from terakoya.codec import TextCodec
from terakoya.codec.text import fold_source
from terakoya.config import SplitConfig
from terakoya.data.audit import audit
from terakoya.data.split import group_of, split_examples
from terakoya.pipeline import commands
from terakoya.records import Example, Finding, Split, Turn
from terakoya.scoring.metrics import exact
from terakoya.task import Task

TWINS = [
    ("260〜354人が参加した", "260～354人が参加した"),  # JIS wave dash and Windows' full-width tilde
    ("260∼354人", "260~354人"),
    ("気温は−5度", "気温は－5度"),
    ("気温は–5度", "気温は-5度"),
    ("A—B", "A―B"),
    ("コ－ヒ－を飲む", "コーヒーを飲む"),
    ("3ー4ページ", "3-4ページ"),
    ("髙橋さん", "高橋さん"),
    ("山﨑さん", "山崎さん"),
    ("渡邊と渡邉", "渡辺と渡辺"),
    ("廣澤と國學院", "広沢と国学院"),
    ("葛\U000e0100城", "葛城"),
    ("ありがとう❤️", "ありがとう❤"),
    ("ｶﾞｿﾘﾝとﾊﾟﾝ", "ガソリンとパン"),
    ("か\u3099くせい", "がくせい"),
    ("一ヶ月", "一ケ月"),
    ("待って…", "待って..."),
    ("“引用”と’", '"引用"と\''),
    ("ＡＢＣ　１２３", "abc 123"),
    ("見え\u200bない", "見えない"),
]


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_two_spellings_of_one_source_have_one_form(one: str, other: str) -> None:
    """cp932 knows ～ and JIS knows 〜: 48 of 56 exam items had their twin in train, unseen."""
    assert fold_source(one) == fold_source(other)
    assert fold_source(fold_source(one)) == fold_source(one)
    assert group_of(Example(one, "x")) == group_of(Example(other, "x"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("一万", "壱萬"),
        ("ね〜", "ねー"),
        ("二", "ニ"),
        ("口", "ロ"),
        ("カレー", "カレ"),
        ("3-4", "34"),
        ("浜", "兵"),
        ("が", "か"),
    ],
)
def test_what_means_something_else_stays_apart(one: str, other: str) -> None:
    """Numerals are questions of their own, and katakana ニ is no two."""
    assert fold_source(one) != fold_source(other)


def checks(task: Task, split: Split) -> dict[str, Finding]:
    return {finding.check: finding for finding in audit(task, split)}


def task_of(rows: list[Example]) -> Task:
    return Task("t", tuple(rows), TextCodec(), {"exact": exact})


def test_twins_are_reported_as_duplicates_leaks_and_look_alikes() -> None:
    rows = [Example(f"{at}〜{at + 90}人が参加した{at}回目の集い", str(at), row=2 * at) for at in range(1, 61)]
    twins = [dataclasses.replace(row, source=row.source.replace("〜", "～"), row=row.row + 1) for row in rows]
    together = split_examples([*rows, *twins], SplitConfig())
    found = checks(task_of([*rows, *twins]), together)
    assert found["duplicates"].values["rows"] == 60 and found["look-alikes"].values["rows"] == 60
    assert "leak" not in found
    apart = checks(task_of([*rows, *twins]), Split(tuple(rows), (), tuple(twins), "files"))
    assert apart["leak"].level == "stop" and apart["leak"].values["normal_form"] == 60


CHAT = Turn(
    "system", "あなたは親切な案内係です。お客さまの質問に、丁寧な言葉で、短く、間違いのないように答えてください。" * 8
)
QUESTIONS = [
    "駅はどこですか", "閉店は何時ですか", "雨の日も開いていますか",
    "犬を連れて入れますか", "駐車場は広いですか", "予約は要りますか",
    "現金だけですか", "子どもは無料ですか", "傘を借りられますか",
    "忘れ物はどこへ行きますか", "写真を撮ってもよいですか", "地図をもらえますか",
]  # fmt: skip


@pytest.mark.parametrize("place", ["system", "user", "source"])
def test_what_every_row_shares_is_no_near_copy(place: str) -> None:
    """One system prompt made 92% of a chat set leaked."""
    rows = []
    for at in range(120):
        first, second = QUESTIONS[at % 12], QUESTIONS[(at * 5 + at // 12) % 12]
        text = f"{first}。{second}、{chr(0x3042 + at)}{chr(0x30A2 + at % 80)}の件です"
        shared = {"system": (CHAT,), "user": (Turn("user", CHAT.content), Turn("assistant", "はい")), "source": ()}[
            place
        ]
        rows.append(Example(CHAT.content + text if place == "source" else text, str(at), row=at + 1, turns=shared))
    found = checks(task_of(rows), Split(tuple(rows[:90]), (), tuple(rows[90:]), "files"))
    assert "near-leak" not in found and found.get("near-duplicates", Finding("", "note", "")).level == "note"


def test_a_real_copy_under_a_shared_prompt_is_still_found() -> None:
    words = [chr(0x4E00 + 7 * at) + chr(0x5000 + 11 * at) for at in range(240)]
    rows = [
        Example("と".join(words[4 * at : 4 * at + 4]) + "の違いを教えて", str(at), turns=(CHAT,)) for at in range(60)
    ]
    exam = [dataclasses.replace(row, source=row.source + "。", row=at) for at, row in enumerate(rows[:10])]
    found = checks(task_of([*rows, *exam]), Split(tuple(rows), (), tuple(exam), "files"))
    assert found["near-leak"].values["rows"] == 10


def test_label_density_speaks_of_labels_alone(tmp_path: Path) -> None:
    """Texts that occur again are no labels to be generated more often."""
    path = tmp_path / "a.csv"
    path.write_text("source,target\n" + "".join(f"問{n}のこと,答え{n % 5}\n" for n in range(60)), encoding="utf-8")
    found = {codec: {f.check for f in commands.audit(str(path), overrides=[f"task.codec={codec}"])} for codec in
             ("text", "labels")}  # fmt: skip
    assert "label-density" not in found["text"] and "label-density" in found["labels"]
