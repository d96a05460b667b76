"""Choice of the cap on a label's share among predictions (`decode.share_cap`), on dev splits alone.

    python -m benchmarks.quality.share_cap

A penalty calibrated on some texts keeps the share less exactly on others. So each dev split is halved, penalties are
calibrated on one half and evaluated on the other; the training seed is none of those reported elsewhere. Chosen is the
largest cap whose mean share of the most frequent label, on texts not used for calibration, stays below 1.5 times its
share in the data by the standard deviation that an exam four times as large as dev may show. Written:
benchmarks/results/share_cap.md.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.quality import emoji_sets
from benchmarks.reporting import RESULTS
from terakoya.config import Config
from terakoya.decoding import sets
from terakoya.models.protocol import Query
from terakoya.records import Example
from terakoya.scoring.metrics import jaccard

CAPS = (0.0, 1.5, 1.4, 1.3, 1.2)
SEEDS = (100,)
HALVINGS = 4
# Standard error of calibrating on 100 and evaluating on 400 texts, over that of 50 and 50.
_NOISE_RATIO = ((1 / 100 + 1 / 400) / (1 / 50 + 1 / 50)) ** 0.5


def evaluate_cap(
    model: Any, calibration_rows: Sequence[Example], evaluation_rows: Sequence[Example], config: Config
) -> tuple[float, float]:
    """(Jaccard, share of the head label as a multiple of its share in the data) on `evaluation_rows`."""
    emoji_sets.calibrate(model, calibration_rows, config)
    predictions = [
        one.text or ""
        for one in sets.predict_sets(model, [Query(row.source) for row in evaluation_rows], config.decode)
    ]
    predicted = Counter(label for prediction in predictions for label in prediction.split())
    counts = np.asarray(model.counts, dtype=float)
    head = int(counts.argmax())
    share = predicted[model.labels[head]] / max(1, predicted.total()) / float(counts[head] / counts.sum())
    return float(
        np.mean([jaccard.score(a, (row.target,)) for a, row in zip(predictions, evaluation_rows, strict=True)])
    ), share


def main() -> None:
    torch.set_num_threads(1)
    results: dict[float, list[tuple[float, float]]] = {cap: [] for cap in CAPS}
    for name in [one for one in emoji_sets.SETS if "skewed" in one]:
        for seed in SEEDS:
            model, task, _ = emoji_sets.train_model(name, seed)
            assert task.split is not None
            for number in range(HALVINGS):
                rows = random.Random(number).sample(task.split.dev, len(task.split.dev))
                middle = len(rows) // 2
                for cap in CAPS:
                    config = emoji_sets.make_exam_config(name, seed, {"decode": {"share_cap": cap}})
                    results[cap].append(evaluate_cap(model, rows[:middle], rows[middle:], config))
            print(
                name,
                seed,
                {cap: np.round(np.mean(values, axis=0), 4).tolist() for cap, values in results.items()},
                flush=True,
            )
    path = RESULTS / "share_cap.md"
    path.write_text(page(results), encoding="utf-8")


def page(results: dict[float, list[tuple[float, float]]]) -> str:
    """The Markdown page: one line for each cap."""
    lines = [
        "# The share a label may take",
        "",
        "Made by `benchmarks/quality/share_cap.py`: dev splits of the three skewed sets, penalties calibrated "
        "on one half of",
        f"dev and evaluated on the other, {HALVINGS} halvings each, training seeds {SEEDS}; no exam was read. "
        "Share: of",
        "the head label among the predictions, as a multiple of its share in the data. Last column: mean and 1.28",
        "deviations of what an exam of 400 texts may show when penalties were calibrated on 100 (to be at most 1.5).",
        "",
        "| share_cap (0: none) | Jaccard | head's share | deviation between halvings | expected at most |",
        "|---|---|---|---|---|",
    ]
    for cap, values in results.items():
        scores, shares = np.asarray(values).T
        expected_max = shares.mean() + 1.28 * shares.std() * _NOISE_RATIO
        lines.append(
            f"| {cap:g} | {scores.mean():.4f} | {shares.mean():.3f} | {shares.std():.3f} | {expected_max:.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
