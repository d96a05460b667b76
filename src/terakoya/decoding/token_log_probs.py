"""The log-probability of each token of an output, with the most probable alternatives (teacher forcing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from terakoya.models.builtin.numpy_model import NumpyModel
from terakoya.models.protocol import Pair, Query
from terakoya.records import Prediction


@dataclass(frozen=True, slots=True)
class TokenLogProb:
    """A token of an output.

    token     its text; "" for the token that ends the output
    log_prob  in nats, given all tokens before it
    top       (text, log-probability) of the most probable tokens at this position, most probable first
    """

    token: str
    log_prob: float
    top: tuple[tuple[str, float], ...] = ()


def token_log_probs(model: Any, query: Query, prediction: Prediction, top: int = 0) -> list[TokenLogProb]:
    """The tokens of what `model` generated, the end token last; of a set, its labels with the probability of each.

    model       of any kind
    query       the input
    prediction  that the model made for it
    top         number of alternatives at each position
    Where the output does not end, or is not what the tokenizer makes of its text, the end token is improbable.
    """
    if model.head == "set":
        return _of_labels(prediction, top)
    if isinstance(model, NumpyModel):
        log_probs, ids = _in_numpy(model, query, prediction.raw)
    else:
        log_probs, ids = _in_torch(model, query, prediction.raw)
    texts = model.token_texts()
    return [
        TokenLogProb(texts[token], float(row[token]), tuple((texts[i], float(row[i])) for i in _best(row, top)))
        for row, token in zip(log_probs, ids, strict=True)
    ]


def _best(row: Any, top: int) -> list[int]:
    return [int(index) for index in np.argsort(-row, kind="stable")[:top]]


def _of_labels(prediction: Prediction, top: int) -> list[TokenLogProb]:
    best = [(label, float(np.log(max(share, 1e-45)))) for label, share in prediction.labels]
    chosen = set(prediction.raw.split(" "))
    return [TokenLogProb(label, log_prob, tuple(best[:top])) for label, log_prob in best if label in chosen]


def _in_numpy(model: NumpyModel, query: Query, raw: str) -> tuple[list[Any], list[int]]:
    ids_of = {text: index for index, text in enumerate(model.token_texts()) if text}
    ids = [*[ids_of[char] for char in raw][: model.max_target_length - 1], model.end]
    state = model.start([query])
    rows = []
    for position, token in enumerate(ids):
        logits = state.logits[0].astype(np.float64)
        rows.append(logits - logits.max() - np.log(np.exp(logits - logits.max()).sum()))
        if position + 1 < len(ids):
            state.advance(np.asarray([token]))
    return rows, ids


def _in_torch(model: Any, query: Query, raw: str) -> tuple[list[Any], list[int]]:
    from terakoya.decoding.decoded_sequence import evaluation_mode

    with evaluation_mode(model):
        batch = model.collate([Pair(query, raw)]).to(next(model.module.parameters()).device)
        outputs = model.outputs(batch)
        log_probs = outputs.logits.float().log_softmax(dim=-1).cpu().numpy()
        ids = [int(one) for one in outputs.targets.cpu()]
    # Of a model whose loss includes the prompt, the target stands last.
    count = len(model.target_ids(raw)) if hasattr(model, "target_ids") else len(raw) + 1
    return list(log_probs)[-count:], ids[-count:]
