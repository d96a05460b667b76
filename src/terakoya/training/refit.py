"""Taught once more, on dev too: what dev was held back for is done when everything is chosen.

Steps, sureness, prices and the share of each member are chosen on rows that were not taught. With 800 rows to learn
from, 100 more are worth as much as a better model, so the same recipe then goes through train and dev together, as
often through every row as before, and what was chosen is kept. (`refit` of a search in scikit-learn: Pedregosa et al.,
2011.) Dev figures are those of the model before; nothing but the exam can speak of this one. The baselines beside it
get the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from terakoya.config import Config
from terakoya.i18n import both
from terakoya.models.protocol import Model, Pair
from terakoya.records import Finding
from terakoya.training.batches import Fixed
from terakoya.training.loop import run_loop
from terakoya.training.prepare import refusals


def wanted(model: Model, dev: Sequence[Pair], config: Config) -> bool:
    """Whether there is anything to gain, and a way: a built-in set head, and a dev side. `config` is resolved."""
    return config.train.refit is True and bool(dev) and getattr(model, "remake", None) is not None


def known(model: Model, dev: Sequence[Pair]) -> list[Pair]:
    """The rows of dev that can be taught: a label that only dev has is none that the model can score."""
    strange = {id(row) for row, _ in refusals(model, dev)}
    return [row for row in dev if id(row) not in strange]


def refitted(model: Model, taught: Sequence[Pair], dev: Sequence[Pair], config: Config) -> Model:
    """Another model like this one, taught both sides. Its dev figures would be those of rows that it knows."""
    settled: Any = model
    rows = [*taught, *known(model, dev)]
    made: Any = settled.remake(rows)
    steps = max(1, round(int(config.train.steps) * len(rows) / len(taught)))
    how = config.train.model_copy(update={"select": "last", "guards": False, "steps": steps, "evaluate_every": steps})
    batches = Fixed(rows, int(how.batch_size), config.seed, made.length if how.bucket else None)
    run_loop(made, batches, how, seed=config.seed, device=config.device)
    made.module.eval()
    made.blend, made.scale, made.tolls = settled.blend, settled.scale, settled.tolls
    found: Model = made
    return found


def told(taught: int, dev: int) -> Finding:
    """What the record says of it."""
    return Finding(
        "refit",
        "note",
        both(
            f"everything was chosen on dev; then the model was taught again on {taught + dev} rows, {dev} of dev among "
            "them. Dev figures are those of the model before",
            f"すべてを検証で選んだあと、検証の{dev}行も含む{taught + dev}行でモデルを学習し直した。"
            "検証の数値はその前のモデルのものである",
        ),
        do=both(
            "To keep dev apart from what is taught: train.refit = false.",
            "検証を学習から離しておくには：train.refit = false とすること。",
        ),
        values={"train": float(taught), "dev": float(dev)},
    )
