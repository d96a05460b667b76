"""How much a pretrained base's scores of labels count beside a trained set head, fitted on texts outside training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from terakoya.decoding import score_sets
from terakoya.decoding.expected_metric import SetDistributions
from terakoya.models.protocol import Query, SetScores

_MOST_ROWS = 1000  # on which the weight is fitted: two parameters need no more
_MOST_WEIGHT = 3.0  # of the base's scores
_START = (0.0, 0.3)  # log scale, weight
_STEPS = 60  # of the simplex search


def fit_base_weight(
    model: Any, queries: Sequence[Query], target_sets: Sequence[Collection[str]], batch_size: int
) -> None:
    """Set `weight` and `alpha` of the model's base scores where the true sets are most probable, with the temperature.

    model        a set model with `evidence`: `parameters`, `evidence_of(queries, alpha)`; where `is_weight_fixed`,
                 alpha and temperature are fitted alone
    queries      inputs that the ensemble was not trained on
    target_sets  the labels of each
    batch_size   rows of one forward pass
    Product of experts (Hinton, 2002): logits are added, and the weight of one expert against the other is a logistic
    regression on both (stacking: Wolpert, 1992). A weight of 0 is possible: then the base is not needed any more.
    """
    from scipy.optimize import minimize

    from terakoya.models.builtin.base_evidence import ALPHAS

    chosen = np.unique(np.linspace(0, len(queries) - 1, min(len(queries), _MOST_ROWS)).astype(int)).tolist()
    inputs = [queries[index] for index in chosen]
    sets = known_indices([target_sets[index] for index in chosen], model.labels)
    given = model.evidence.parameters[0] if model.evidence.is_weight_fixed else None
    model.inverse_temperature, model.evidence.parameters = 1.0, (0.0, model.evidence.parameters[1])
    alone = score_sets(model, inputs, batch_size)
    candidates = []
    for alpha in ALPHAS:
        evidence = model.evidence.evidence_of(inputs, alpha).to(alone.labels)

        def loss(at: Any, evidence: torch.Tensor = evidence) -> float:
            weight = _weight(at, given)
            logits = (alone.labels + weight * evidence) * float(np.exp(np.clip(at[0], -1.4, 1.4)))
            return -float(np.mean(SetDistributions(SetScores(logits, alone.sizes)).log_probabilities(sets)))

        start = _START if given is None else _START[:1]
        found = minimize(loss, start, method="Nelder-Mead", options={"maxfev": _STEPS, "xatol": 0.01, "fatol": 1e-4})
        candidates.append((float(found.fun), _weight(found.x, given), alpha))
    _, weight, alpha = min(candidates)
    model.evidence.parameters = weight, alpha


def _weight(at: Any, given: float | None) -> float:
    """The weight at a point of the search, which has none where the weight is given."""
    return float(np.clip(at[1], 0.0, _MOST_WEIGHT)) if given is None else given


def known_indices(target_sets: Sequence[Collection[str]], labels: Sequence[str]) -> list[list[int]]:
    """The indices of the labels of each set; a label that the model does not have is left out.

    target_sets  sets of labels
    labels       of the model, in order
    """
    index_of = {label: index for index, label in enumerate(labels)}
    return [[index_of[label] for label in one if label in index_of] for one in target_sets]
