"""Several lines of an answer at a time, the most probable one kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from terakoya.decoding.answer import Answer
from terakoya.decoding.constraints import Language
from terakoya.models.protocol import Model, Query


@dataclass(frozen=True, slots=True)
class _Line:
    """One answer of a beam: the state's row it goes on from, its tokens and the sum of their log probabilities."""

    row: int
    tokens: tuple[int, ...]
    prefix: str
    score: float


@dataclass(frozen=True, slots=True)
class _Search:
    """One ask of a beam: the lines that still grow, best first; the best finished one; where nothing could follow,
    how far it came."""

    alive: tuple[_Line, ...]
    best: _Line | None = None
    stuck: _Line | None = None


def beam(model: Model, asks: Sequence[Query], held: Sequence[Language] | None, limit: int, beams: int) -> list[Answer]:
    """The most probable answer that `beams` lines at a time find. Scores only fall, so an ask is done as soon as its
    best finished answer beats every line that still grows. No length bonus: the answer's probability decides."""
    state = model.start(asks)
    searches = [_Search((_Line(place, (), "", 0.0),)) for place in range(len(asks))]
    for turn in range(limit):
        scores = torch.log_softmax(state.logits.float(), dim=-1)
        grown = _grown(scores, [search.alive for search in searches], held, model, beams)
        searches = [_chosen(search, lines, beams, model.end) for search, lines in zip(searches, grown, strict=True)]
        rows = [line for search in searches for line in search.alive]
        if not rows or turn + 1 == limit:
            break
        device = state.logits.device
        state.select(torch.tensor([line.row for line in rows], device=device))
        state.advance(torch.tensor([line.tokens[-1] for line in rows], device=device))
        numbers = iter(range(len(rows)))
        searches = [
            replace(search, alive=tuple(replace(line, row=next(numbers)) for line in search.alive))
            for search in searches
        ]
    return [_best_of(model, search, limit) for search in searches]


def _chosen(search: _Search, lines: Sequence[_Line], beams: int, end: int) -> _Search:
    """What goes on. An end counts only among the first `beams` lines, so that one beam is greedy."""
    if not search.alive:
        return search
    ended = [line for line in lines[:beams] if line.tokens[-1] == end]
    best = max([*ended, *filter(None, [search.best])], key=lambda line: line.score, default=None)
    going = tuple(line for line in lines if line.tokens[-1] != end)[:beams]
    if best is not None and (not going or best.score >= going[0].score):
        return _Search((), best)
    return _Search(going, best, stuck=None if going else search.alive[0])


def _grown(
    scores: Tensor, alive: Sequence[Sequence[_Line]], held: Sequence[Language] | None, model: Model, beams: int
) -> list[list[_Line]]:
    """For each ask the lines one token longer, best first: enough that `beams` go on even if as many end."""
    values, tokens = (found.tolist() for found in scores.topk(min(2 * beams, scores.shape[1]), dim=-1))
    grown: list[list[_Line]] = []
    for place, lines in enumerate(alive):
        language = held[place] if held is not None else None
        longer: list[_Line] = []
        for line in lines:
            pairs = list(zip(tokens[line.row], values[line.row], strict=True))
            if language is not None:
                pairs = _legal_pairs(language, line.prefix, pairs, scores[line.row], beams)
            pieces = language.pieces if language is not None else None
            for token, value in pairs:
                piece = pieces[token] if pieces is not None and token != model.end else ""
                longer.append(_Line(line.row, (*line.tokens, token), line.prefix + piece, line.score + value))
        grown.append(sorted(longer, key=lambda line: -line.score)[: 2 * beams])
    return grown


def _legal_pairs(
    language: Language, prefix: str, pairs: list[tuple[int, float]], scores: Tensor, beams: int
) -> list[tuple[int, float]]:
    found = [(token, value) for token, value in pairs if language.allows(prefix, token)]
    if len(found) > beams or len(found) == len(pairs):
        return found
    legal = list(language.legal(prefix))  # too few near the top: look at all that are legal
    return sorted(zip(legal, scores[legal].tolist(), strict=True), key=lambda pair: -pair[1])[: 2 * beams]


def _best_of(model: Model, search: _Search, limit: int) -> Answer:
    if search.best is not None:
        return Answer(model.text(search.best.tokens[:-1]), math.exp(search.best.score), finished=True)
    line = search.stuck or search.alive[0]
    return Answer(model.text(line.tokens[: limit - 1]), 0.0, finished=False)
