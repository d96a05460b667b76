"""Embeddings before the first step: rows that are broken, and new rows that these steps cannot change enough."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from terakoya.i18n import _
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.nonfinite.diagnosis import MAX_ROW_RATIO
from terakoya.training.prepare import TrainingSetup
from terakoya.training.schedule import decay_steps, learning_rate_scale, warmup_steps

# How far new rows must be able to move, as a share of their own spread. A row that starts with the meaning of its
# name has little to learn; one that starts at random has everything (the emoji log's third trial could move 0.025 in
# 500 steps and wrote words; its fourth, 0.38, wrote emoji).
_MIN_CHANGE = {"random": 0.1, "mean": 0.1, "meaning": 0.01}
_INIT_NAMES = {
    "random": _("at random"),
    "mean": _("as one mean for all"),
    "meaning": _("with the meaning of their names"),
}


def embedding_findings(setup: TrainingSetup, model: Model) -> Iterator[Finding]:
    """Broken rows of any embedding, and new tokens that cannot be learnt in the steps planned.

    setup  steps and learning rate
    model  its embeddings are examined
    """
    tables = [(name, part.weight) for name, part in model.module.named_modules() if isinstance(part, nn.Embedding)]
    seen: set[int] = set()
    for name, table in tables:
        if id(table) not in seen and table.dim() == 2:
            seen.add(id(table))
            yield from _broken_rows(model, name, table)
    new = int(model.info.extra.get("new_tokens", 0) or 0)
    if new and tables:
        yield from _unreachable_embeddings(setup, new, max((table for _, table in tables), key=len))


def max_weight_change(setup: TrainingSetup) -> float:
    """How far a weight can move at most: AdamW moves it by about the learning rate each step, never much more.

    setup  steps, learning rate and schedule
    """
    train = setup.config.train
    steps, warmup = int(train.steps), warmup_steps(train, int(train.steps))
    decay = decay_steps(train, steps)
    scales = (learning_rate_scale(step, steps, train.schedule, warmup, decay) for step in range(steps))
    return float(train.learning_rate) * sum(scales)


def _unreachable_embeddings(setup: TrainingSetup, new: int, table: Tensor) -> Iterator[Finding]:
    with torch.no_grad():
        sample = table.detach()[:: max(1, len(table) // 4096)].float()
        spread = float(sample.square().mean(dim=1).sqrt().median())
    change, init = max_weight_change(setup), setup.config.model.new_token_init
    if spread <= 0 or change >= _MIN_CHANGE[init] * spread:
        return
    steps, start = int(setup.config.train.steps), _INIT_NAMES[init]
    yield Finding(
        "new-embeddings",
        "warn",
        _(
            "too few steps at this rate for {new} new embeddings: in {steps} steps a weight moves by {change:.2g} at "
            "most, and these rows, which start {start}, have a spread of {spread:.2g}. They stay what they are",
            new=new,
            steps=steps,
            change=change,
            start=start,
            spread=spread,
        ),
        where="train.learning_rate",
        do=_("Raise train.epochs or train.learning_rate, and set model.new_token_init = 'meaning'."),
        values={"travel": change, "spread": spread, "new_tokens": float(new), "steps": float(steps)},
    )


def _broken_rows(model: Model, name: str, table: Tensor) -> Iterator[Finding]:
    with torch.no_grad():
        lengths = table.detach().float().norm(dim=1)
    usual = lengths[torch.isfinite(lengths) & (lengths > 0)]
    if not len(usual):
        return
    bad = (~torch.isfinite(lengths) | (lengths > MAX_ROW_RATIO * usual.median())).nonzero().flatten().tolist()
    if not bad:
        return
    texts = model.token_texts() if model.head == "sequence" else ()
    shown = ", ".join(f"{row} ({texts[row]!r})" if row < len(texts) and texts[row] else str(row) for row in bad[:5])
    count, rows, ratio = len(bad), len(table), MAX_ROW_RATIO
    yield Finding(
        "embeddings",
        "stop",
        _(
            "{count} of the {rows:,} rows of {name} are not finite or {ratio:g} times as long as the others: {shown}",
            count=count,
            rows=rows,
            name=name,
            ratio=ratio,
            shown=shown,
        ),
        where="model",
        do=_("For new tokens set model.new_token_init = 'meaning'; else load the checkpoint again from its source."),
        values={"rows": float(count)},
    )
