"""Which share a label may take among the answers (`decode.share_cap`), chosen on dev sides alone.

    python benchmarks/share_cap.py

A price that is settled on some texts keeps the share less exactly on others. So each dev side is halved, prices are
settled on one half and judged on the other; the training seed is none of those that are reported. Chosen is the
largest cap whose mean share of the head label, on texts that were not settled on, keeps below 1.5 times its share in
the data by the deviation that an exam four times as large as dev may show. Written: benchmarks/results/share_cap.md.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import emoji_sets as bench
from terakoya.config import Config
from terakoya.decoding import sets
from terakoya.models.protocol import Query
from terakoya.records import Example
from terakoya.scoring.metrics import jaccard

CAPS = (0.0, 1.5, 1.4, 1.3, 1.2)
SEEDS = (100,)
HALVINGS = 4
# Text noise of settling on 100 and judging on 400, over that of settling on 50 and judging on 50.
_STEADIER = ((1 / 100 + 1 / 400) / (1 / 50 + 1 / 50)) ** 0.5


def judged(model: Any, half: Sequence[Example], other: Sequence[Example], config: Config) -> tuple[float, float]:
    """Jaccard and the head's share (a multiple of its share in the data) on `other`, with prices settled on `half`."""
    bench.settle(model, half, config)
    answers = [one.text or "" for one in sets.predictions(model, [Query(row.source) for row in other], config.decode)]
    given = Counter(label for answer in answers for label in answer.split())
    counts = np.asarray(model.counts, dtype=float)
    head = int(counts.argmax())
    share = given[model.labels[head]] / max(1, given.total()) / float(counts[head] / counts.sum())
    return float(np.mean([jaccard.judge(a, (row.target,)) for a, row in zip(answers, other, strict=True)])), share


def main() -> None:
    torch.set_num_threads(1)
    found: dict[float, list[tuple[float, float]]] = {cap: [] for cap in CAPS}
    for name in [one for one in bench.SETS if "skewed" in one]:
        for seed in SEEDS:
            model, task, _ = bench.trained(name, seed)
            assert task.split is not None
            for number in range(HALVINGS):
                rows = random.Random(number).sample(task.split.dev, len(task.split.dev))
                middle = len(rows) // 2
                for cap in CAPS:
                    config = bench.config_of(name, seed, {"decode": {"share_cap": cap}})
                    found[cap].append(judged(model, rows[:middle], rows[middle:], config))
            print(
                name,
                seed,
                {cap: np.round(np.mean(values, axis=0), 4).tolist() for cap, values in found.items()},
                flush=True,
            )
    path = bench.HERE / "results" / "share_cap.md"
    path.write_text(page(found), encoding="utf-8")


def page(found: dict[float, list[tuple[float, float]]]) -> str:
    lines = [
        "# The share a label may take",
        "",
        "Made by `benchmarks/share_cap.py`: dev sides of the three skewed sets, prices settled on one half of dev and",
        f"judged on the other, {HALVINGS} halvings each, training seeds {SEEDS}; no test side was read. Share: of the",
        "head label among the answers, as a multiple of its share in the data. Last column: mean and 1.28 deviations",
        "of what an exam of 400 texts may show when prices were settled on 100 (to be at most 1.5).",
        "",
        "| share_cap (0: none) | Jaccard | head's share | deviation between halvings | expected at most |",
        "|---|---|---|---|---|",
    ]
    for cap, values in found.items():
        scores, shares = np.asarray(values).T
        most = shares.mean() + 1.28 * shares.std() * _STEADIER
        lines.append(f"| {cap:g} | {scores.mean():.4f} | {shares.mean():.3f} | {shares.std():.3f} | {most:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
