"""Defects injected into clean data, one kind at a time and of any strength.

Clean data are rows (examples) with the codec and metric that they are for. An injector takes them, a strength and a
Random, and returns the damaged rows; what strength means is said beside each (a share of the rows unless stated).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from benchmarks.reporting import ROOT
from terakoya.codec import Codec, TextCodec
from terakoya.codec.choose import choose_codec
from terakoya.config import SplitConfig
from terakoya.data.audit import AuditTokenizer
from terakoya.data.formats import read_table
from terakoya.data.split import split_examples
from terakoya.records import Example, Split
from terakoya.scoring.metrics import Metric, exact, jaccard
from terakoya.task import Task
from terakoya.tasks.numerals import task as numerals

TASKS = ROOT / "src" / "terakoya" / "tasks"


@dataclass(frozen=True)
class Data:
    """Rows in the order of their file, what they are for, and how they are split ("" by hash)."""

    rows: tuple[Example, ...]
    codec: Codec
    metric: Metric
    method: str = "hash"
    splits: tuple[str, ...] = ()
    tokenizer: AuditTokenizer | None = None
    exam: float = 0.1

    def task(self) -> Task:
        """The rows as a task."""
        return Task("injected", self.rows, self.codec, {self.metric.name: self.metric})

    def split(self) -> Split:
        """The rows split by `method` (or by the column `splits`)."""
        config = SplitConfig.model_validate({"method": self.method, "exam": self.exam})
        return split_examples(self.rows, config, split_column=self.splits or None)

    def with_rows(self, rows: Sequence[Example]) -> Data:
        """The same with other rows, renumbered; the set of labels is read again from the targets."""
        numbered = tuple(replace(row, row=number) for number, row in enumerate(rows, 2))
        codec = _labels(numbered) if self.codec.name.startswith("labels") else self.codec
        return replace(self, rows=numbered, codec=codec)


def _labels(rows: Sequence[Example]) -> Codec:
    return choose_codec("labels", [row.target for row in rows])


# -- clean data --------------------------------------------------------------------------------------------------


def sets(rng: Random, exams: Path) -> Data:
    """3,000 sources in nonsense kana with 1 to 5 emoji each, evenly spread (an exam with known truth)."""
    lines = (exams / "sets-balanced-0" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in rng.sample(lines, 3000)]
    rows = [Example(pair["source"], pair["target"], origin="sets") for pair in pairs]
    return Data((), _labels(rows), jaccard, exam=0.2).with_rows(rows)


def sentences(rng: Random, exams: Path) -> Data:
    """Our own corpus: 714 Japanese sentences with their style as the label."""
    rows = [
        Example(row.cells["sentence"], row.cells["style"], origin="corpus")
        for row in read_table("sentences.tsv", TASKS / "corpus")
    ]
    return Data((), _labels(rows), jaccard, exam=0.3).with_rows(rng.sample(rows, len(rows)))


def persona(rng: Random, exams: Path) -> Data:
    """344 exchanges, text to text."""
    rows = [
        Example(row.cells["source"], row.cells["target"], turns=row.turns, origin="persona")
        for row in read_table("exchanges.jsonl", TASKS / "persona")
    ]
    return Data((), TextCodec(), exact, exam=0.6).with_rows(rng.sample(rows, len(rows)))


def numbers(rng: Random, exams: Path) -> Data:
    """2,000 numbers in kanji, drawn by the task `numerals`."""
    task = numerals(notation="plain")
    assert task.draw is not None
    rows: dict[str, Example] = {}
    while len(rows) < 2000:
        example = task.draw(rng, 1.0)
        rows[example.source] = Example(example.source, example.target, origin="numerals")
    return Data((), task.codec, exact, exam=0.2).with_rows(list(rows.values()))


def codes(rng: Random, exams: Path) -> Data:
    """1,500 index names with a code of seven digits, a tenth of which begin with 0."""
    kana = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"
    names = {"".join(rng.choices(kana, k=8)) + rng.choice("市町村区") for _ in range(1500)}
    rows = [Example(name, f"{rng.randrange(10**7):07d}", origin="codes") for name in sorted(names)]
    return Data((), TextCodec(), exact, exam=0.2).with_rows(rng.sample(rows, len(rows)))


CLEAN: dict[str, Callable[[Random, Path], Data]] = {
    "sets": sets, "sentences": sentences, "persona": persona, "numbers": numbers, "codes": codes,
}  # fmt: skip


# -- defects -----------------------------------------------------------------------------------------------------

Injector = Callable[[Data, float, Random], Data]
Change = Callable[[Example, Random], Example]


@dataclass(frozen=True)
class Defect:
    """A kind of defect: clean data it goes into, strengths, checks that find it, and the strength met in a log."""

    name: str
    into: str
    inject: Injector
    checks: tuple[str, ...]
    strengths: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    log: float | None = None
    means: str = "share of rows"


def change_rows(change: Change) -> Injector:
    """An injector that applies `change` to a share of the rows (at least one)."""

    def inject(data: Data, strength: float, rng: Random) -> Data:
        rows = list(data.rows)
        for index in rng.sample(range(len(rows)), max(1, round(strength * len(rows)))):
            rows[index] = change(rows[index], rng)
        return data.with_rows(rows)

    return inject


def change_target(change: Callable[[str, Random], str]) -> Injector:
    """An injector that changes the targets of a share of the rows."""
    return change_rows(lambda row, rng: replace(row, target=change(row.target, rng)))


def change_source(change: Callable[[str, Random], str]) -> Injector:
    """An injector that changes the sources of a share of the rows."""
    return change_rows(lambda row, rng: replace(row, source=change(row.source, rng)))


def replace_by(*texts: str) -> Callable[[str, Random], str]:
    """A change that returns one of `texts`, whatever was there."""
    return lambda text, rng: rng.choice(texts)


def insert_any(*marks: str) -> Callable[[str, Random], str]:
    """A change that inserts one of `marks` at a random position."""

    def insert(text: str, rng: Random) -> str:
        at = rng.randint(0, len(text))
        return text[:at] + rng.choice(marks) + text[at:]

    return insert


def add_label(label: str, rows_share: float, data: Data, rng: Random) -> Data:
    """Append `label` to this share of the rows that lack it."""
    rows = [
        replace(row, target=f"{row.target} {label}") if rng.random() < rows_share and label not in row.target else row
        for row in data.rows
    ]
    return data.with_rows(rows)


def inject_skew(data: Data, strength: float, rng: Random) -> Data:
    """Make ✨ this share of all labels."""
    rows = [replace(row, target=" ".join(x for x in row.target.split() if x != "✨") or "🎉") for row in data.rows]
    size = sum(len(row.target.split()) for row in rows) / len(rows)
    return add_label("✨", strength * size / (1 - strength), data.with_rows(rows), rng)


def inject_sparse(data: Data, strength: float, rng: Random) -> Data:
    """Keep this many rows per label."""
    labels = len({label for row in data.rows for label in row.target.split()})
    return data.with_rows(rng.sample(data.rows, min(len(data.rows), round(strength * labels))))


def inject_constant_target(data: Data, strength: float, rng: Random) -> Data:
    """The same target for this share of the rows."""
    return change_target(replace_by("わかりません"))(data, strength, rng)


def inject_duplicates(data: Data, strength: float, rng: Random) -> Data:
    """This share of the rows once more."""
    rows = [*data.rows, *rng.sample(data.rows, max(1, round(strength * len(data.rows))))]
    return data.with_rows(rng.sample(rows, len(rows)))


def inject_contradictions(data: Data, strength: float, rng: Random) -> Data:
    """This share of the sources once more, with another target."""
    chosen = rng.sample(data.rows, max(1, round(strength * len(data.rows))))
    rows = [*data.rows, *(replace(row, target=rng.choice(data.rows).target + "7") for row in chosen)]
    return data.with_rows(rng.sample(rows, len(rows)))


def _random_splits(data: Data, rng: Random) -> list[str]:
    return rng.choices(["train", "test", "dev"], weights=[6, 3, 1], k=len(data.rows))


def leak_exam(change: Callable[[str, Random], str]) -> Injector:
    """A split column in which this share of the exam's items, slightly changed, is copied into train."""

    def inject(data: Data, strength: float, rng: Random) -> Data:
        splits = _random_splits(data, rng)
        exam = [row for row, split_name in zip(data.rows, splits, strict=True) if split_name == "test"]
        copied = rng.sample(exam, max(1, round(strength * len(exam))))
        rows = [*data.rows, *(replace(row, source=change(row.source, rng)) for row in copied)]
        return replace(data.with_rows(rows), method="column", splits=(*splits, *["train"] * len(copied)))

    return inject


def widen(text: str, rng: Random) -> str:
    """Full-width digits, with spaces around."""
    return f" {text.translate({ord(c): ord(c) + 0xFEE0 for c in '0123456789'})}　"


def change_character(text: str, rng: Random) -> str:
    """One character changed in a long text."""
    at = rng.randrange(len(text))
    return text[:at] + rng.choice("のはもがをにへとやか") + text[at + 1 :]


def inject_near_copies(data: Data, strength: float, rng: Random) -> Data:
    """Copies of long sources with one character changed."""
    long = [row for row in data.rows if len(row.source) >= 30]
    copies = [replace(row, source=change_character(row.source, rng)) for row in rng.sample(long, round(strength * 700))]
    return data.with_rows([*data.rows, *copies])


def inject_order(data: Data, strength: float, rng: Random) -> Data:
    """This share of the rows sorted by value, with the tail as exam, as in the numerals log."""
    rows = list(data.rows)
    indices = sorted(rng.sample(range(len(rows)), round(strength * len(rows))))
    ordered = sorted((rows[index] for index in indices), key=lambda row: float(row.target))
    for index, row in zip(indices, ordered, strict=True):
        rows[index] = row
    return replace(data.with_rows(rows), method="tail")


def inject_hole(data: Data, strength: float, rng: Random) -> Data:
    """This share of the multiples of 10,000 in the exam and not in train: held out by a rule."""
    splits = _random_splits(data, rng)
    for at, row in enumerate(data.rows):
        if int(row.target) and int(row.target) % 10_000 == 0:
            splits[at] = "test" if rng.random() < strength else "train"
    return replace(data, method="column", splits=tuple(splits))


def inject_small_exam(data: Data, strength: float, rng: Random) -> Data:
    """An exam of this many items."""
    exam = set(rng.sample(range(len(data.rows)), int(strength)))
    splits = ["test" if at in exam else "dev" if at % 9 == 0 else "train" for at in range(len(data.rows))]
    return replace(data, method="column", splits=tuple(splits))


def inject_shifted_columns(data: Data, strength: float, rng: Random) -> Data:
    """In this share of the rows, from the end, columns are shifted by an index column: (number, source)."""
    first = round(len(data.rows) * (1 - strength))
    rows = [replace(row, source=str(at), target=row.source) if at >= first else row for at, row in enumerate(data.rows)]
    return data.with_rows(rows)


def inject_header(data: Data, strength: float, rng: Random) -> Data:
    """The header line repeated this many times among the rows."""
    rows = list(data.rows)
    for _ in range(int(strength)):
        rows.insert(rng.randrange(len(rows)), Example("source", "target", origin=rows[0].origin))
    return data.with_rows(rows)


def inject_lost_zeros(data: Data, strength: float, rng: Random) -> Data:
    """Leading zeros removed, as by a spreadsheet, from this share of the codes that have any."""
    rows = [replace(row, target=row.target.lstrip("0") or "0") if rng.random() < strength else row for row in data.rows]
    return data.with_rows(rows)


def mojibake(text: str, rng: Random) -> str:
    """Text decoded with the wrong encoding."""
    encodings = rng.choice([("utf-8", "latin-1"), ("utf-8", "cp932"), ("euc_jp", "cp932"), ("cp932", "latin-1")])
    return text.encode(encodings[0], "replace").decode(encodings[1], "replace")


def truncate(text: str, rng: Random) -> str:
    """The first half or more of a sentence, without its final mark."""
    return text[: rng.randint(len(text) // 2, max(len(text) // 2, len(text) - 2))].rstrip("。！？」）、")


def unbalance_brackets(text: str, rng: Random) -> str:
    """A bracket without its partner."""
    return rng.choice([f"{text[:6]}）{text[6:]}", f"「{text}", f"{text[:9]}』{text[9:]}"])


REFUSALS = (
    "申し訳ありませんが、その内容にはお答えできません。",
    "申し訳ございませんが、対応いたしかねます。",
    "AIアシスタントとして、個人的な感想は持っていません。",
    "I'm sorry, but I can't help with that.",
    "As an AI language model, I cannot do that.",
)
PROSE = ("以下の通りです：", "もちろんです！", "出力: ", "Sure, here is the answer: ", "```\n")


@dataclass(frozen=True)
class CharacterTokenizer:
    """A tokenizer of single characters with a fixed vocabulary `known`."""

    known: frozenset[str]
    max_source: int = 0
    max_target: int = 0
    unknown: int | None = 0

    def encode(self, text: str) -> list[int]:
        return [ord(char) if char in self.known else 0 for char in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(one) if one else "?" for one in ids)


def inject_unknown(data: Data, strength: float, rng: Random) -> Data:
    """A tokenizer without some characters that occur in this share of the targets."""
    known = {char for row in data.rows for char in row.source + row.target}
    left = max(1, round(strength * len(data.rows)))
    for row in rng.sample(data.rows, len(data.rows)):
        if left <= 0:
            break
        char = row.target[0]
        if char in known:
            known.remove(char)
            left -= sum(char in other.target for other in data.rows)
    return replace(data, tokenizer=CharacterTokenizer(frozenset(known | {" "})))


def inject_too_long(data: Data, strength: float, rng: Random) -> Data:
    """A length limit that this share of the targets exceeds."""
    lengths = sorted(len(row.target) for row in data.rows)
    limit = lengths[min(len(lengths) - 1, int((1 - strength) * len(lengths)))] - 1
    known = frozenset(char for row in data.rows for char in row.source + row.target)
    return replace(data, tokenizer=CharacterTokenizer(known, max_target=limit))


EXAM_SIZES = (10, 20, 40, 100, 200, 400)
DEFECTS: tuple[Defect, ...] = (
    Defect("one label leads", "sets", inject_skew, ("label-skew",), (0.03, 0.06, 0.09, 0.12, 0.186, 0.3), 0.186,
           "share of all labels that are ✨"),
    Defect("few rows a label", "sets", inject_sparse, ("label-density",), (10, 7, 5, 3.4, 2, 1), 3.4, "rows a label"),
    Defect("one answer for all", "persona", inject_constant_target, ("one-answer", "label-skew"),
           (0.03, 0.1, 0.2, 0.5, 0.85, 1), None),
    Defect("duplicates", "numbers", inject_duplicates, ("duplicates",), log=0.1),
    Defect("contradictions", "numbers", inject_contradictions, ("contradictions",)),
    Defect("leak, exact", "numbers", leak_exam(lambda text, rng: text), ("leak",),
           (0.002, 0.005, 0.01, 0.03, 0.05, 0.3), 0.05, "share of exam items"),
    Defect("leak, normal form", "sentences", leak_exam(widen), ("leak",),
           (0.002, 0.005, 0.01, 0.03, 0.05, 0.3), None, "share of exam items"),
    Defect("leak, near", "sentences", leak_exam(change_character), ("near-leak",),
           (0.005, 0.01, 0.03, 0.05, 0.1, 0.3), None, "share of exam items"),
    Defect("near copies", "sentences", inject_near_copies, ("near-duplicates",)),
    Defect("sorted, tail as exam", "numbers", inject_order, ("order",), (0.05, 0.1, 0.2, 0.3, 0.5, 1), 1),
    Defect("hole in train", "numbers", inject_hole, ("exam-hole",), (0.5, 0.8, 0.9, 0.99, 1), 1,
           "share of the multiples of 10⁴ held out"),
    Defect("exam too small", "numbers", inject_small_exam, ("exam-size",), EXAM_SIZES, 40, "items"),
    Defect("1 → 1.0", "numbers", change_target(lambda text, rng: f"{text}.0"), ("damaged-float",),
           (0.001, 0.003, 0.01, 0.1, 0.5, 1), 1),
    Defect("1e+05", "numbers", change_target(lambda text, rng: f"{float(text):.0E}"),
           ("damaged-science", "unreadable-targets")),
    Defect("########", "numbers", change_target(replace_by("########", "#NAME?", "#REF!")), ("damaged-error",)),
    Defect("nan, NULL, NA", "persona", change_target(replace_by("nan", "NaN", "None", "NULL", "NA")),
           ("damaged-nothing",)),
    Defect("fraction → date", "numbers", change_target(replace_by("1月2日", "2-Jan", "2026/01/02", "Mar-04")),
           ("damaged-date", "unreadable-targets")),
    Defect("leading zeros lost", "codes", inject_lost_zeros, ("leading-zeros",), (0.5, 0.9, 0.99, 1), None,
           "share of codes treated so"),
    Defect("columns pushed by an index", "persona", inject_shifted_columns, ("shifted-header",),
           (0.01, 0.03, 0.1, 0.5, 1), 1),
    Defect("header inside", "persona", inject_header, ("header-rows",), (1, 2, 5), None, "times"),
    Defect("empty targets", "persona", change_target(replace_by("", " ", "　", "\n")), ("empty", "unreadable-targets")),
    Defect("empty sources", "persona", change_source(replace_by("", " ", "　")), ("empty",)),
    Defect("no number at all", "numbers", change_target(replace_by("たくさん", "約3", "12円", "?")),
           ("unreadable-targets",)),
    Defect("refusals", "persona", change_target(replace_by(*REFUSALS)), ("refusals",)),
    Defect("prose around answers", "persona", change_target(lambda text, rng: rng.choice(PROSE) + text), ("prose",)),
    Defect("words among emoji", "sets", change_target(lambda text, rng: f"{text} 填"),
           ("odd-labels", "unreadable-targets")),
    Defect("seven emoji", "sets", change_target(replace_by("🎉 😅 🤔 ⚽ 🌞 📚 🔥")), ("many-labels",)),
    Defect("emoji in the input", "sets", change_source(insert_any("✨", "😊", "🎉", "❤️")), ("emoji-in-input",),
           (0.001, 0.003, 0.01, 0.03, 0.179, 0.3), 0.179),
    Defect("mojibake", "sentences", change_source(mojibake), ("mojibake",)),
    Defect("invisible characters", "sentences",
           change_source(insert_any("\u200b", "\ufeff", "\u202e", "\u00ad", "\x07")),
           ("invisible",)),
    Defect("template marks", "persona", change_source(insert_any("<|im_end|>", "</s>", "[INST]", "<end_of_turn>")),
           ("special-tokens",)),
    Defect("two widths in targets", "codes", change_target(widen), ("mixed-widths",)),
    Defect("space at the ends", "codes", change_target(lambda text, rng: rng.choice([f"{text} ", f" {text}"])),
           ("edge-space",)),
    Defect("sentences cut short", "sentences", change_source(truncate), ("cut-sources",),
           (0.001, 0.003, 0.01, 0.03, 0.054, 0.3), 0.054),
    Defect("orphan brackets", "sentences", change_source(unbalance_brackets), ("orphan-brackets",)),
    Defect("remains of a page", "sentences", change_source(lambda text, rng: f"{text}[{rng.randint(1, 40)}]"),
           ("page-remains",)),
    Defect("targets copied from sources", "persona", change_rows(lambda row, rng: replace(row, target=row.source)),
           ("copies",), (0.01, 0.1, 0.2, 0.3, 0.5, 1)),
    Defect("targets unknown to the tokenizer", "sets", inject_unknown, ("tokenizer-loses",)),
    Defect("targets over the length limit", "persona", inject_too_long, ("too-long",)),
)  # fmt: skip
