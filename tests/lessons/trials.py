"""A table with the statistics that the emoji log gives of its first data set."""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random

ROWS, USES, LABELS = 1000, 2682, 296
TOP = {
    "✨": 500, "📚": 111, "🎉": 95, "😅": 86, "⚽": 73, "🤔": 72, "🌞": 65, "🔬": 59, "🎵": 55, "🔥": 43,
    "💔": 42, "🏀": 42, "😄": 38, "😊": 37, "😢": 37, "💭": 32, "🌍": 29, "🏆": 28, "😲": 28, "🎮": 26,
}  # fmt: skip
_ENDS = ("の話をした。", "のことばかり考えている。", "がとても楽しかった。", "は難しい。", "を見ていたら一日が終わった。")


def v1_table(path: Path, seed: int = 1) -> Path:
    """1,000 rows, 2,682 uses of 296 emoji, ✨ in half of the rows; the names of a row's other emoji stand in its text."""
    chance = Random(seed)
    uses = _uses()
    names = _names()
    rows: list[list[str]] = [[] for _ in range(ROWS)]
    for label, count in uses.items():
        open_rows = [row for row in rows if len(row) < 5]
        # The shortest rows first, so that none stays empty.
        open_rows.sort(key=lambda row: (len(row) if label != "✨" else 0, chance.random()))
        for row in open_rows[:count]:
            row.append(label)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("source", "target"))
        for number, row in enumerate(rows):
            told = [names[label] for label in row if label != "✨"] or ["何か"]
            chance.shuffle(row)
            writer.writerow((f"{number}日目、{'と'.join(told)}{chance.choice(_ENDS)}", " ".join(row)))
    return path


def _uses() -> dict[str, int]:
    """The log's twenty most frequent, and the rest falling off evenly."""
    import emoji

    single = [char for char in emoji.EMOJI_DATA if len(char) == 1 and char not in TOP]
    rest = sorted(single, key=ord)[: LABELS - len(TOP)]
    left = USES - sum(TOP.values())
    each, more = divmod(left, len(rest))
    return TOP | {label: each + (place < more) for place, label in enumerate(rest)}


def _names() -> dict[str, str]:
    import emoji

    emoji.config.load_language("ja")
    return {label: str(emoji.EMOJI_DATA[label].get("ja", label)).strip(":").replace("_", "") for label in _uses()}
