"""What preflight and record say of a pretrained base whose scores of labels join a built-in set head."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from terakoya.decoding.predict import query_of
from terakoya.decoding.set_scores import score_sets
from terakoya.i18n import _
from terakoya.models.protocol import Model, Query
from terakoya.records import Finding
from terakoya.training.out_of_fold import ENOUGH_DEV_ROWS
from terakoya.training.prepare import TrainingSetup

CHECK = "base-scores"
_TIMED = 16  # texts by which the time of all is estimated
_MEASURED = 200  # dev rows on which the share of the base is measured


def base_time_findings(setup: TrainingSetup, model: Model) -> list[Finding]:
    """How many texts the base has still to score, and how long that takes; nothing for a model without a base.

    setup  task, split and resolved config
    model  the model to be trained; a few texts are scored, and kept
    """
    base: Any = getattr(model, "evidence", None)
    if base is None:
        return []
    parts = [setup.split.dev, setup.split.exam]
    if len(setup.split.dev) < ENOUGH_DEV_ROWS and setup.config.train.crossfit:
        parts.append(setup.split.train)  # predicted out of fold
    missing = base.missing([query_of(row) for part in parts for row in part])
    few = missing[:_TIMED]
    base.evidence_of(few[:1])  # opens the base
    started = time.perf_counter()
    base.evidence_of(few[1:])
    minutes = (time.perf_counter() - started) / max(1, len(few) - 1) * max(0, len(missing) - len(few)) / 60
    return [
        Finding(
            CHECK,
            "note",
            _(
                "{base} has {texts} texts to score, once: about {minutes:.1f} minutes; its scores are kept",
                base=base.name,
                texts=len(missing),
                minutes=minutes,
            ),
            where="model.base_scores",
            values={"texts": float(len(missing)), "minutes": minutes},
        )
    ]


def base_share_findings(setup: TrainingSetup, model: Model) -> list[Finding]:
    """How much the base counts in a trained model; nothing for a model without a base.

    setup  task, split and resolved config
    model  trained and calibrated
    """
    base: Any = getattr(model, "evidence", None)
    if base is None:
        return []
    weight, alpha = base.parameters
    queries = [query_of(row) for row in setup.split.dev if model.fits(query_of(row))][:_MEASURED]
    share = base_share(model, queries)
    values = {"weight": weight, "alpha": alpha, "share": share}
    if not weight:
        what = _("the scores of {base} do not count: dev gains nothing by them", base=base.name)
        do = _("Leave model.base_scores out: then no base is needed to predict.")
        return [Finding(CHECK, "note", what, where="model.base_scores", do=do, values=values)]
    what = _(
        "the scores of {base} count with weight {weight:.2f} beside the features ({alpha:.0%} of its prior "
        "subtracted): {share:.0%} of the spread of the label logits",
        base=base.name,
        weight=weight,
        alpha=alpha,
        share=share,
    )
    return [Finding(CHECK, "note", what, where="model.base_scores", values=values)]


def base_share(model: Any, queries: Sequence[Query]) -> float:
    """The base's share of the spread of the label logits, from 0 to 1: the mean standard deviation of its part over
    the labels of a text, divided by the sum of both parts' means.

    model    a set model with a base
    queries  on which it is measured; without any the share is 0
    """
    weight, alpha = model.evidence.parameters
    if not weight or not queries:
        return 0.0
    whole = score_sets(model, queries, 64).labels / model.inverse_temperature
    part = weight * model.evidence.evidence_of(queries, alpha).to(whole)
    spread: torch.Tensor = part.std(dim=1).mean()
    return float(spread / (spread + (whole - part).std(dim=1).mean()))
