"""Defects planted into clean data, one kind at a time and as strong as wanted.

Clean data are rows (examples) with the codec and metric that they are for. A planter takes them, a strength and a
Random, and gives the damaged rows back; what strength means is said beside each (a share of the rows unless said).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from terakoya.codec import Codec, TextCodec
from terakoya.codec.choose import choose_codec
from terakoya.config import SplitConfig
from terakoya.data.audit import Tokenizer
from terakoya.data.formats import read_table
from terakoya.data.split import split as cut
from terakoya.records import Example, Split
from terakoya.scoring.metrics import Metric, exact, jaccard
from terakoya.task import Task
from terakoya.tasks.numerals import task as numerals

HERE = Path(__file__).parent
TASKS = HERE.parent / "src" / "terakoya" / "tasks"


@dataclass(frozen=True)
class Data:
    """Rows in the order of their file, what they are for, and how they are split ("" by hash)."""

    rows: tuple[Example, ...]
    codec: Codec
    metric: Metric
    method: str = "hash"
    sides: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None
    exam: float = 0.1

    def task(self) -> Task:
        return Task("planted", self.rows, self.codec, {self.metric.name: self.metric})

    def split(self) -> Split:
        how = SplitConfig.model_validate({"method": self.method, "exam": self.exam})
        return cut(self.rows, how, sides=self.sides or None)

    def having(self, rows: Sequence[Example]) -> Data:
        """The same with other rows, numbered anew; the set of labels is read again from the targets."""
        numbered = tuple(replace(row, row=number) for number, row in enumerate(rows, 2))
        codec = _labels(numbered) if self.codec.name.startswith("labels") else self.codec
        return replace(self, rows=numbered, codec=codec)


def _labels(rows: Sequence[Example]) -> Codec:
    return choose_codec("labels", [row.target for row in rows])


# -- clean data --------------------------------------------------------------------------------------------------


def sets(random: Random, exams: Path) -> Data:
    """3,000 sources in nonsense kana with 1 to 5 emoji each, evenly spread (an exam with known truth)."""
    lines = (exams / "sets-balanced-0" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in random.sample(lines, 3000)]
    rows = [Example(pair["source"], pair["target"], origin="sets") for pair in pairs]
    return Data((), _labels(rows), jaccard, exam=0.2).having(rows)


def sentences(random: Random, exams: Path) -> Data:
    """Our own corpus: 714 Japanese sentences, each with its style as the label."""
    rows = [
        Example(row.cells["sentence"], row.cells["style"], origin="corpus")
        for row in read_table("sentences.tsv", TASKS / "corpus")
    ]
    return Data((), _labels(rows), jaccard, exam=0.3).having(random.sample(rows, len(rows)))


def persona(random: Random, exams: Path) -> Data:
    """344 exchanges, text to text."""
    rows = [
        Example(row.cells["source"], row.cells["target"], turns=row.turns, origin="persona")
        for row in read_table("exchanges.jsonl", TASKS / "persona")
    ]
    return Data((), TextCodec(), exact, exam=0.6).having(random.sample(rows, len(rows)))


def numbers(random: Random, exams: Path) -> Data:
    """2,000 numbers in kanji, drawn by the task `numerals`."""
    made = numerals(notation="plain")
    assert made.draw is not None
    rows: dict[str, Example] = {}
    while len(rows) < 2000:
        example = made.draw(random, 1.0)
        rows[example.source] = Example(example.source, example.target, origin="numerals")
    return Data((), made.codec, exact, exam=0.2).having(list(rows.values()))


def codes(random: Random, exams: Path) -> Data:
    """1,500 places with a code of seven digits, a tenth of which begin with 0."""
    kana = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"
    names = {"".join(random.choices(kana, k=8)) + random.choice("市町村区") for _ in range(1500)}
    rows = [Example(name, f"{random.randrange(10**7):07d}", origin="codes") for name in sorted(names)]
    return Data((), TextCodec(), exact, exam=0.2).having(random.sample(rows, len(rows)))


CLEAN: dict[str, Callable[[Random, Path], Data]] = {
    "sets": sets, "sentences": sentences, "persona": persona, "numbers": numbers, "codes": codes,
}  # fmt: skip


# -- defects -----------------------------------------------------------------------------------------------------

Planter = Callable[[Data, float, Random], Data]
Change = Callable[[Example, Random], Example]


@dataclass(frozen=True)
class Defect:
    """One kind: into which clean data, how strong, which checks see it, and the strength that a log had found."""

    name: str
    into: str
    plant: Planter
    seen_by: tuple[str, ...]
    strengths: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    log: float | None = None
    means: str = "share of rows"


def some(change: Change) -> Planter:
    """The change, made to this share of the rows (at least one)."""

    def plant(data: Data, strength: float, random: Random) -> Data:
        rows = list(data.rows)
        for place in random.sample(range(len(rows)), max(1, round(strength * len(rows)))):
            rows[place] = change(rows[place], random)
        return data.having(rows)

    return plant


def target(change: Callable[[str, Random], str]) -> Planter:
    return some(lambda row, random: replace(row, target=change(row.target, random)))


def source(change: Callable[[str, Random], str]) -> Planter:
    return some(lambda row, random: replace(row, source=change(row.source, random)))


def constant(*texts: str) -> Callable[[str, Random], str]:
    return lambda text, random: random.choice(texts)


def inserted(*marks: str) -> Callable[[str, Random], str]:
    def insert(text: str, random: Random) -> str:
        at = random.randint(0, len(text))
        return text[:at] + random.choice(marks) + text[at:]

    return insert


def skewed(label: str, rows_share: float, data: Data, random: Random) -> Data:
    rows = [
        replace(row, target=f"{row.target} {label}")
        if random.random() < rows_share and label not in row.target
        else row
        for row in data.rows
    ]
    return data.having(rows)


def plant_skew(data: Data, strength: float, random: Random) -> Data:
    """✨ becomes this share of all labels."""
    rows = [replace(row, target=" ".join(x for x in row.target.split() if x != "✨") or "🎉") for row in data.rows]
    size = sum(len(row.target.split()) for row in rows) / len(rows)
    return skewed("✨", strength * size / (1 - strength), data.having(rows), random)


def plant_sparse(data: Data, strength: float, random: Random) -> Data:
    """So many rows a label are left."""
    labels = len({label for row in data.rows for label in row.target.split()})
    return data.having(random.sample(data.rows, min(len(data.rows), round(strength * labels))))


def plant_one_answer(data: Data, strength: float, random: Random) -> Data:
    return target(constant("わかりません"))(data, strength, random)


def plant_duplicates(data: Data, strength: float, random: Random) -> Data:
    rows = [*data.rows, *random.sample(data.rows, max(1, round(strength * len(data.rows))))]
    return data.having(random.sample(rows, len(rows)))


def plant_contradictions(data: Data, strength: float, random: Random) -> Data:
    chosen = random.sample(data.rows, max(1, round(strength * len(data.rows))))
    rows = [*data.rows, *(replace(row, target=random.choice(data.rows).target + "7") for row in chosen)]
    return data.having(random.sample(rows, len(rows)))


def _sided(data: Data, random: Random) -> list[str]:
    return random.choices(["train", "test", "dev"], weights=[6, 3, 1], k=len(data.rows))


def leaking(change: Callable[[str, Random], str]) -> Planter:
    """The author's own split column; this share of the exam's items, changed a little, is copied into train."""

    def plant(data: Data, strength: float, random: Random) -> Data:
        sides = _sided(data, random)
        asked = [row for row, side in zip(data.rows, sides, strict=True) if side == "test"]
        copied = random.sample(asked, max(1, round(strength * len(asked))))
        rows = [*data.rows, *(replace(row, source=change(row.source, random)) for row in copied)]
        return replace(data.having(rows), method="column", sides=(*sides, *["train"] * len(copied)))

    return plant


def full_width(text: str, random: Random) -> str:
    return f" {text.translate({ord(c): ord(c) + 0xFEE0 for c in '0123456789'})}　"


def retouched(text: str, random: Random) -> str:
    """One character changed in a long text."""
    at = random.randrange(len(text))
    return text[:at] + random.choice("のはもがをにへとやか") + text[at + 1 :]


def plant_near_copies(data: Data, strength: float, random: Random) -> Data:
    long = [row for row in data.rows if len(row.source) >= 30]
    copies = [replace(row, source=retouched(row.source, random)) for row in random.sample(long, round(strength * 700))]
    return data.having([*data.rows, *copies])


def plant_order(data: Data, strength: float, random: Random) -> Data:
    """Rows sorted by value, this share of them; the exam is the tail, as the numerals log cut it."""
    rows = list(data.rows)
    places = sorted(random.sample(range(len(rows)), round(strength * len(rows))))
    ordered = sorted((rows[place] for place in places), key=lambda row: float(row.target))
    for place, row in zip(places, ordered, strict=True):
        rows[place] = row
    return replace(data.having(rows), method="tail")


def plant_hole(data: Data, strength: float, random: Random) -> Data:
    """Of the multiples of 10,000, this share stands in the exam and not in train: held out by a rule."""
    sides = _sided(data, random)
    for at, row in enumerate(data.rows):
        if int(row.target) and int(row.target) % 10_000 == 0:
            sides[at] = "test" if random.random() < strength else "train"
    return replace(data, method="column", sides=tuple(sides))


def plant_small_exam(data: Data, strength: float, random: Random) -> Data:
    """The exam has so many items."""
    asked = set(random.sample(range(len(data.rows)), int(strength)))
    sides = ["test" if at in asked else "dev" if at % 9 == 0 else "train" for at in range(len(data.rows))]
    return replace(data, method="column", sides=tuple(sides))


def plant_shift(data: Data, strength: float, random: Random) -> Data:
    """From the end on, this share of the rows holds its number, its source: pushed by an index."""
    first = round(len(data.rows) * (1 - strength))
    rows = [replace(row, source=str(at), target=row.source) if at >= first else row for at, row in enumerate(data.rows)]
    return data.having(rows)


def plant_header(data: Data, strength: float, random: Random) -> Data:
    rows = list(data.rows)
    for _ in range(int(strength)):
        rows.insert(random.randrange(len(rows)), Example("source", "target", origin=rows[0].origin))
    return data.having(rows)


def plant_lost_zeros(data: Data, strength: float, random: Random) -> Data:
    """A spreadsheet takes the leading zeros of this share of the codes that have any."""
    rows = [
        replace(row, target=row.target.lstrip("0") or "0") if random.random() < strength else row for row in data.rows
    ]
    return data.having(rows)


def mojibake(text: str, random: Random) -> str:
    how = random.choice([("utf-8", "latin-1"), ("utf-8", "cp932"), ("euc_jp", "cp932"), ("cp932", "latin-1")])
    return text.encode(how[0], "replace").decode(how[1], "replace")


def cut_short(text: str, random: Random) -> str:
    return text[: random.randint(len(text) // 2, max(len(text) // 2, len(text) - 2))].rstrip("。！？」）、")


def bracketless(text: str, random: Random) -> str:
    return random.choice([f"{text[:6]}）{text[6:]}", f"「{text}", f"{text[:9]}』{text[9:]}"])


REFUSALS = (
    "申し訳ありませんが、その内容にはお答えできません。",
    "申し訳ございませんが、対応いたしかねます。",
    "AIアシスタントとして、個人的な感想は持っていません。",
    "I'm sorry, but I can't help with that.",
    "As an AI language model, I cannot do that.",
)
PROSE = ("以下の通りです：", "もちろんです！", "出力: ", "Sure, here is the answer: ", "```\n")


@dataclass(frozen=True)
class Characters:
    """A tokenizer of single characters that knows only those it was given."""

    known: frozenset[str]
    max_source: int = 0
    max_target: int = 0
    unknown: int | None = 0

    def encode(self, text: str) -> list[int]:
        return [ord(char) if char in self.known else 0 for char in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(one) if one else "?" for one in ids)


def plant_unknown(data: Data, strength: float, random: Random) -> Data:
    """The tokenizer lacks characters that occur in this share of the targets."""
    known = {char for row in data.rows for char in row.source + row.target}
    left = max(1, round(strength * len(data.rows)))
    for row in random.sample(data.rows, len(data.rows)):
        if left <= 0:
            break
        char = row.target[0]
        if char in known:
            known.discard(char)
            left -= sum(char in other.target for other in data.rows)
    return replace(data, tokenizer=Characters(frozenset(known | {" "})))


def plant_too_long(data: Data, strength: float, random: Random) -> Data:
    """The limit is such that this share of the targets does not fit."""
    lengths = sorted(len(row.target) for row in data.rows)
    limit = lengths[min(len(lengths) - 1, int((1 - strength) * len(lengths)))] - 1
    known = frozenset(char for row in data.rows for char in row.source + row.target)
    return replace(data, tokenizer=Characters(known, max_target=limit))


EXAM_SIZES = (10, 20, 40, 100, 200, 400)
DEFECTS: tuple[Defect, ...] = (
    Defect("one label leads", "sets", plant_skew, ("label-skew",), (0.03, 0.06, 0.09, 0.12, 0.186, 0.3), 0.186,
           "share of all labels that are ✨"),
    Defect("few rows a label", "sets", plant_sparse, ("label-density",), (10, 7, 5, 3.4, 2, 1), 3.4, "rows a label"),
    Defect("one answer for all", "persona", plant_one_answer, ("one-answer", "label-skew"),
           (0.03, 0.1, 0.2, 0.5, 0.85, 1), None),
    Defect("duplicates", "numbers", plant_duplicates, ("duplicates",), log=0.1),
    Defect("contradictions", "numbers", plant_contradictions, ("contradictions",)),
    Defect("leak, exact", "numbers", leaking(lambda text, random: text), ("leak",),
           (0.002, 0.005, 0.01, 0.03, 0.05, 0.3), 0.05, "share of exam items"),
    Defect("leak, normal form", "sentences", leaking(full_width), ("leak",),
           (0.002, 0.005, 0.01, 0.03, 0.05, 0.3), None, "share of exam items"),
    Defect("leak, near", "sentences", leaking(retouched), ("near-leak",), (0.005, 0.01, 0.03, 0.05, 0.1, 0.3), None,
           "share of exam items"),
    Defect("near copies", "sentences", plant_near_copies, ("near-duplicates",)),
    Defect("sorted, tail as exam", "numbers", plant_order, ("order",), (0.05, 0.1, 0.2, 0.3, 0.5, 1), 1),
    Defect("hole in train", "numbers", plant_hole, ("exam-hole",), (0.5, 0.8, 0.9, 0.99, 1), 1,
           "share of the multiples of 10⁴ held out"),
    Defect("exam too small", "numbers", plant_small_exam, ("exam-size",), EXAM_SIZES, 40, "items"),
    Defect("1 → 1.0", "numbers", target(lambda text, random: f"{text}.0"), ("damaged-float",),
           (0.001, 0.003, 0.01, 0.1, 0.5, 1), 1),
    Defect("1e+05", "numbers", target(lambda text, random: f"{float(text):.0E}"),
           ("damaged-science", "unreadable-targets")),
    Defect("########", "numbers", target(constant("########", "#NAME?", "#REF!")), ("damaged-error",)),
    Defect("nan, NULL, NA", "persona", target(constant("nan", "NaN", "None", "NULL", "NA")), ("damaged-nothing",)),
    Defect("fraction → date", "numbers", target(constant("1月2日", "2-Jan", "2026/01/02", "Mar-04")),
           ("damaged-date", "unreadable-targets")),
    Defect("leading zeros lost", "codes", plant_lost_zeros, ("leading-zeros",), (0.5, 0.9, 0.99, 1), None,
           "share of codes treated so"),
    Defect("columns pushed by an index", "persona", plant_shift, ("shifted-header",), (0.01, 0.03, 0.1, 0.5, 1), 1),
    Defect("header inside", "persona", plant_header, ("header-rows",), (1, 2, 5), None, "times"),
    Defect("empty targets", "persona", target(constant("", " ", "　", "\n")), ("empty", "unreadable-targets")),
    Defect("empty sources", "persona", source(constant("", " ", "　")), ("empty",)),
    Defect("no number at all", "numbers", target(constant("たくさん", "約3", "12円", "?")), ("unreadable-targets",)),
    Defect("refusals", "persona", target(constant(*REFUSALS)), ("refusals",)),
    Defect("prose around answers", "persona", target(lambda text, random: random.choice(PROSE) + text), ("prose",)),
    Defect("words among emoji", "sets", target(lambda text, random: f"{text} 填"),
           ("odd-labels", "unreadable-targets")),
    Defect("seven emoji", "sets", target(constant("🎉 😅 🤔 ⚽ 🌞 📚 🔥")), ("many-labels",)),
    Defect("emoji in the input", "sets", source(inserted("✨", "😊", "🎉", "❤️")), ("emoji-in-input",),
           (0.001, 0.003, 0.01, 0.03, 0.179, 0.3), 0.179),
    Defect("mojibake", "sentences", source(mojibake), ("mojibake",)),
    Defect("invisible characters", "sentences", source(inserted("\u200b", "\ufeff", "\u202e", "\u00ad", "\x07")),
           ("invisible",)),
    Defect("template marks", "persona", source(inserted("<|im_end|>", "</s>", "[INST]", "<end_of_turn>")),
           ("special-tokens",)),
    Defect("two widths in targets", "codes", target(full_width), ("mixed-widths",)),
    Defect("space at the ends", "codes", target(lambda text, random: random.choice([f"{text} ", f" {text}"])),
           ("edge-space",)),
    Defect("sentences cut short", "sentences", source(cut_short), ("cut-sources",),
           (0.001, 0.003, 0.01, 0.03, 0.054, 0.3), 0.054),
    Defect("orphan brackets", "sentences", source(bracketless), ("orphan-brackets",)),
    Defect("remains of a page", "sentences", source(lambda text, random: f"{text}[{random.randint(1, 40)}]"),
           ("page-remains",)),
    Defect("targets copied from sources", "persona", some(lambda row, random: replace(row, target=row.source)),
           ("copies",), (0.01, 0.1, 0.2, 0.3, 0.5, 1)),
    Defect("targets unknown to the tokenizer", "sets", plant_unknown, ("tokenizer-loses",)),
    Defect("targets over the length limit", "persona", plant_too_long, ("too-long",)),
)  # fmt: skip
