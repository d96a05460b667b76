"""Embeddings before the first step: rows that are broken, and new rows that these steps cannot move far enough."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from terakoya.i18n import both, japanese
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.nonfinite.diagnosis import FAR_ROW
from terakoya.training.preflight.schedule import rate_findings
from terakoya.training.prepare import TrainingSetup
from terakoya.training.schedule import rate, warmup_steps

# How far new rows must be able to come, as a share of their own spread. A row that begins with the meaning of its
# name has little to learn; one that begins at random has everything (the emoji log's third trial could come 0.025
# far in 500 steps and answered in words; its fourth, 0.38 far, in emoji).
_FAR_ENOUGH = {"random": 0.1, "mean": 0.1, "meaning": 0.01}


def table_findings(lesson: TrainingSetup, model: Model) -> Iterator[Finding]:
    yield from rate_findings(lesson, model.card)
    tables = [(name, part.weight) for name, part in model.module.named_modules() if isinstance(part, nn.Embedding)]
    seen: set[int] = set()
    for name, table in tables:
        if id(table) not in seen and table.dim() == 2:
            seen.add(id(table))
            yield from _broken_rows(model, name, table)
    new = int(model.card.extra.get("new_tokens", 0) or 0)
    if new and tables:
        yield from _too_short_a_way(lesson, new, max((table for _, table in tables), key=len))


def travel(lesson: TrainingSetup) -> float:
    """How far a weight can come at most: AdamW moves it by about the learning rate each step, never much more."""
    how = lesson.config.train
    steps, warmup = int(how.steps), warmup_steps(how, int(how.steps))
    return float(how.learning_rate) * sum(rate(step, steps, how.schedule, warmup) for step in range(steps))


def _too_short_a_way(lesson: TrainingSetup, new: int, table: Tensor) -> Iterator[Finding]:
    with torch.no_grad():
        sample = table.detach()[:: max(1, len(table) // 4096)].float()
        spread = float(sample.square().mean(dim=1).sqrt().median())
    far, init = travel(lesson), lesson.config.model.new_token_init
    figures = {
        "travel": far,
        "spread": spread,
        "new_tokens": float(new),
        "steps": float(int(lesson.config.train.steps)),
    }
    if spread <= 0 or far >= _FAR_ENOUGH[init] * spread:
        return
    yield Finding(
        "new-embeddings",
        "warn",
        both(
            f"too few steps at this rate for {new} new embeddings: in {figures['steps']:.0f} steps a weight comes "
            f"{far:.2g} far at most, and these rows, which begin {_BEGIN[init]}, have a spread of {spread:.2g}. "
            "They stay "
            "what they are",
            f"この学習率では{new}個の新しい埋め込みに対してステップが足りない："
            f"{figures['steps']:.0f}ステップで重みが動ける距離は最大 {far:.2g} で、"
            f"{japanese(_BEGIN[init])}始まるこれらの行の広がりは {spread:.2g} である。"
            "ほぼ元のまま残る",
        ),
        where="train.learning_rate",
        do=both(
            "Raise train.epochs or train.learning_rate, and set model.new_token_init = 'meaning'.",
            "train.epochs か train.learning_rate を上げ、model.new_token_init = 'meaning' とすること。",
        ),
        values=figures,
    )


_BEGIN = {
    "random": both("at random", "無作為な値から"),
    "mean": both("as one mean for all", "共通の平均から"),
    "meaning": both("with the meaning of their names", "名前の意味から"),
}


def _broken_rows(model: Model, name: str, table: Tensor) -> Iterator[Finding]:
    with torch.no_grad():
        lengths = table.detach().float().norm(dim=1)
    usual = lengths[torch.isfinite(lengths) & (lengths > 0)]
    if not len(usual):
        return
    bad = (~torch.isfinite(lengths) | (lengths > FAR_ROW * usual.median())).nonzero().flatten().tolist()
    if not bad:
        return
    pieces = model.pieces() if model.head == "sequence" else ()
    told = ", ".join(f"{row} ({pieces[row]!r})" if row < len(pieces) and pieces[row] else str(row) for row in bad[:5])
    yield Finding(
        "embeddings",
        "stop",
        both(
            f"{len(bad)} of the {len(table):,} rows of {name} are not finite or {FAR_ROW:g} times as long as "
            "the others: "
            f"{told}",
            f"{name} の{len(table):,}行のうち{len(bad)}行が、有限でないか、他の{FAR_ROW:g}倍の長さである：{told}",
        ),
        where="model",
        do=both(
            "For new tokens set model.new_token_init = 'meaning'; else load the checkpoint again from its source.",
            "新しいトークンには model.new_token_init = 'meaning' とし、"
            "そうでなければ元からチェックポイントを読み直すこと。",
        ),
        values={"rows": float(len(bad))},
    )
