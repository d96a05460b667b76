"""Negative log-likelihoods of targets under a trained model (teacher forcing)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch.nn.functional import cross_entropy

from terakoya.decoding.decoded_sequence import evaluation_mode
from terakoya.errors import DataError
from terakoya.models.prepacked import prepacked_weights
from terakoya.models.protocol import Model, Pair
from terakoya.scoring.perplexity import NegativeLogLikelihood, with_escape


def is_character_level(model: Model) -> bool:
    """Whether each token of `model` is at most one character: then there are characters that it cannot generate."""
    return all(len(text) <= 1 for text in model.token_texts())


def negative_log_likelihoods(
    model: Model, pairs: Sequence[Pair], unseen_probability: float = 0.0
) -> list[NegativeLogLikelihood | None]:
    """The negative log-likelihood of each target, in the order of `pairs`; None where the model cannot take the row.

    model               with a sequence head
    pairs               queries and targets
    unseen_probability  probability that the next character is none the model knows; above 0, a character-level model
                        scores the target without such characters, and each pays the escape of `with_escape`
    """
    with evaluation_mode(model), prepacked_weights(model.module, len(pairs)):
        if not unseen_probability or not is_character_level(model):
            return [_score(model, pair) for pair in pairs]
        known = set(model.token_texts())
        scores = []
        for pair in pairs:
            kept = "".join(char for char in pair.target if char in known)
            score = _score(model, replace(pair, target=kept))
            scores.append(score and with_escape(score, len(pair.target) - len(kept), unseen_probability))
        return scores


def _score(model: Model, pair: Pair) -> NegativeLogLikelihood | None:
    """One row at a time: the loss of a padded batch would have to be split by rows again."""
    try:
        batch = model.collate([pair]).to(next(model.module.parameters()).device)
    except DataError:
        return None
    outputs = model.outputs(batch)
    nats = float(cross_entropy(outputs.logits.float(), outputs.targets, reduction="sum"))
    return NegativeLogLikelihood(nats, batch.targets, len(pair.target))
