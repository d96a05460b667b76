"""Beam search: several hypotheses per query, the most probable finished one returned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from terakoya.decoding.constraints import GrammarConstraint
from terakoya.decoding.decoded_sequence import DecodedSequence
from terakoya.models.protocol import Model, Query


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    """A partial sequence: the row of the decoding state that it continues, its tokens, its text and log-probability."""

    row: int
    tokens: tuple[int, ...]
    prefix: str
    score: float


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for one query: unfinished hypotheses, best first; the best finished one; and, where no token could
    follow, the hypothesis that came furthest."""

    alive: tuple[_Hypothesis, ...]
    best: _Hypothesis | None = None
    stuck: _Hypothesis | None = None


def beam_search(
    model: Model, queries: Sequence[Query], constraints: Sequence[GrammarConstraint] | None, limit: int, beams: int
) -> list[DecodedSequence]:
    """The most probable sequence that a beam finds for each query, without length normalisation.

    Log-probabilities only fall, so a search ends as soon as its best finished hypothesis beats every unfinished one.

    model        with a sequence head, in evaluation mode
    queries      the inputs of one batch
    constraints  one per query; None for unconstrained decoding
    limit        largest number of tokens, the end token included
    beams        hypotheses per query; 1 is greedy decoding
    Returns the sequences in the order of `queries`.
    """
    state = model.start(queries)
    searches = [_Search((_Hypothesis(row, (), "", 0.0),)) for row in range(len(queries))]
    for step in range(limit):
        log_probs = torch.log_softmax(state.logits.float(), dim=-1)
        extended = _extend(log_probs, [search.alive for search in searches], constraints, model, beams)
        searches = [_prune(search, longer, beams, model.end) for search, longer in zip(searches, extended, strict=True)]
        alive = [hypothesis for search in searches for hypothesis in search.alive]
        if not alive or step + 1 == limit:
            break
        device = state.logits.device
        state.select(torch.tensor([hypothesis.row for hypothesis in alive], device=device))
        state.advance(torch.tensor([hypothesis.tokens[-1] for hypothesis in alive], device=device))
        rows = iter(range(len(alive)))
        searches = [
            replace(search, alive=tuple(replace(hypothesis, row=next(rows)) for hypothesis in search.alive))
            for search in searches
        ]
    return [_best_sequence(model, search, limit) for search in searches]


def _prune(search: _Search, extended: Sequence[_Hypothesis], beams: int, end: int) -> _Search:
    """The next state of a search. A hypothesis may end only among the first `beams`, so that one beam is greedy."""
    if not search.alive:
        return search
    finished = [hypothesis for hypothesis in extended[:beams] if hypothesis.tokens[-1] == end]
    best = max([*finished, *filter(None, [search.best])], key=lambda hypothesis: hypothesis.score, default=None)
    alive = tuple(hypothesis for hypothesis in extended if hypothesis.tokens[-1] != end)[:beams]
    if best is not None and (not alive or best.score >= alive[0].score):
        return _Search((), best)
    return _Search(alive, best, stuck=None if alive else search.alive[0])


def _extend(
    log_probs: Tensor,
    alive: Sequence[Sequence[_Hypothesis]],
    constraints: Sequence[GrammarConstraint] | None,
    model: Model,
    beams: int,
) -> list[list[_Hypothesis]]:
    """For each query the hypotheses one token longer, best first: enough that `beams` go on even if as many end."""
    values, tokens = (found.tolist() for found in log_probs.topk(min(2 * beams, log_probs.shape[1]), dim=-1))
    extended: list[list[_Hypothesis]] = []
    for number, hypotheses in enumerate(alive):
        constraint = constraints[number] if constraints is not None else None
        longer: list[_Hypothesis] = []
        for one in hypotheses:
            candidates = list(zip(tokens[one.row], values[one.row], strict=True))
            if constraint is not None:
                candidates = _legal_candidates(constraint, one.prefix, candidates, log_probs[one.row], beams)
            texts = constraint.token_texts if constraint is not None else None
            for token, value in candidates:
                text = texts[token] if texts is not None and token != model.end else ""
                longer.append(_Hypothesis(one.row, (*one.tokens, token), one.prefix + text, one.score + value))
        extended.append(sorted(longer, key=lambda hypothesis: -hypothesis.score)[: 2 * beams])
    return extended


def _legal_candidates(
    constraint: GrammarConstraint, prefix: str, candidates: list[tuple[int, float]], log_probs: Tensor, beams: int
) -> list[tuple[int, float]]:
    """The legal ones of the most probable tokens; the most probable of all legal tokens where those are too few."""
    found = [(token, value) for token, value in candidates if constraint.allows(prefix, token)]
    if len(found) > beams or len(found) == len(candidates):
        return found
    legal = list(constraint.legal(prefix))
    return sorted(zip(legal, log_probs[legal].tolist(), strict=True), key=lambda pair: -pair[1])[: 2 * beams]


def _best_sequence(model: Model, search: _Search, limit: int) -> DecodedSequence:
    if search.best is not None:
        return DecodedSequence(model.text(search.best.tokens[:-1]), math.exp(search.best.score), finished=True)
    unfinished = search.stuck or search.alive[0]
    return DecodedSequence(model.text(unfinished.tokens[: limit - 1]), 0.0, finished=False)
