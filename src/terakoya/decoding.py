"""Asking a taught model: greedy, beam and sampled answers, held to the codec's written language where wanted.

    answers(model, asks, codec, config.decode, max_tokens=40, seed=0) -> list[Answer]      # in the order of `asks`
    read(answer, codec) -> str | None                                                      # None: unreadable

Asks are sorted by length and answered in batches; rows that have ended leave. `max_tokens` counts the tokens of an
answer without its end. An answer that did not come to its end within them, or whose source the model cannot take,
has `finished=False` and reads as unreadable, even where the piece that was written happens to look like an answer.
With `decode.constrained` no illegal answer is ever finished: the most probable legal token is taken at each step.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from terakoya.codec import Codec
from terakoya.codec.language import Language
from terakoya.config import DecodeConfig
from terakoya.errors import ConfigError
from terakoya.models.model import Ask, Model, Pair

_TRIES = 4  # tokens tried one by one before all legal ones are listed


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote, how probable the model itself holds the whole answer, and whether it came to its end.

    The probability is the product of the tokens' probabilities, its end included, before temperature, penalties and
    constraint; 0 for what was not finished.
    """

    raw: str
    probability: float
    finished: bool


def read(answer: Answer, codec: Codec) -> str | None:
    """What the codec reads in an answer; None where it is unreadable or was never finished."""
    return codec.read(answer.raw) if answer.finished else None


def answers(
    model: Model, asks: Sequence[Ask], codec: Codec, decode: DecodeConfig, max_tokens: int, seed: int = 0
) -> list[Answer]:
    """One answer for each ask, in order. A sampled answer depends on seed, source and how often it was asked before."""
    if decode.method == "best-expected":
        raise ConfigError("this model writes sequences and scores no sets", where="decode.method", do="Take greedy.")
    out = [Answer("", 0.0, finished=False)] * len(asks)
    lengths = {place: model.length(Pair(ask, "")) for place, ask in enumerate(asks) if model.fits(ask)}
    order = sorted(lengths, key=lengths.__getitem__)
    language = Language(codec, model.pieces(), model.end) if decode.constrained else None
    limit = min(max_tokens + 1, model.longest_answer)
    chances = _chances(asks, seed) if decode.method == "sample" else []
    with asking(model):
        for first in range(0, len(order), decode.batch_size):
            places = order[first : first + decode.batch_size]
            batch = [asks[place] for place in places]
            if decode.method == "beam":
                found = _beam(model, batch, language, limit, decode.beams)
            else:
                chooser = _Sampler(decode, [chances[p] for p in places]) if chances else _Greedy()
                found = _write(model, batch, language, limit, chooser)
            for place, answer in zip(places, found, strict=True):
                out[place] = answer
    return out


@contextmanager
def asking(model: Model) -> Iterator[None]:
    """Dropout off and no gradients while a model is asked; afterwards as before."""
    training = model.module.training
    model.module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.module.train(training)


class _Greedy:
    """The most probable token; with `legal`, the most probable of those."""

    def tokens(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=-1)

    def among(self, row: int, logits: Tensor, legal: Tensor) -> int:
        return int(legal[logits[legal].argmax()])

    def keep(self, rows: Tensor, tokens: Tensor) -> None:
        """Nothing to remember."""


class _Sampler:
    """Temperature, top-k and top-p (Holtzman et al., 2020, arXiv:1904.09751), repetition penalty (Keskar et al., 2019,
    arXiv:1909.05858). Every row has its own chance, so an answer does not depend on its neighbours."""

    def __init__(self, decode: DecodeConfig, chances: list[Random]) -> None:
        self.decode, self.chances = decode, chances
        self.seen: Tensor | None = None  # (rows, V): tokens written so far

    def tokens(self, logits: Tensor) -> Tensor:
        if self.seen is None:
            self.seen = torch.zeros_like(logits, dtype=torch.bool)
        return self._drawn(self._penalised(logits, self.seen), self.chances)

    def among(self, row: int, logits: Tensor, legal: Tensor) -> int:
        """Drawn once more among the legal tokens only."""
        assert self.seen is not None
        narrowed = self._penalised(logits, self.seen[row])[legal]
        return int(legal[self._drawn(narrowed[None], [self.chances[row]])[0]])

    def keep(self, rows: Tensor, tokens: Tensor) -> None:
        assert self.seen is not None
        self.seen.scatter_(1, tokens[:, None], True)
        self.seen = self.seen[rows]
        self.chances = [self.chances[row] for row in rows.tolist()]

    def _penalised(self, logits: Tensor, seen: Tensor) -> Tensor:
        penalty = self.decode.repetition_penalty
        if penalty == 1.0:
            return logits.float()
        return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits).float()

    def _drawn(self, logits: Tensor, chances: Sequence[Random]) -> Tensor:
        shares, order = torch.softmax(logits / self.decode.temperature, dim=-1).sort(
            dim=-1, descending=True, stable=True
        )
        if self.decode.top_k:
            shares[:, self.decode.top_k :] = 0.0
        if self.decode.top_p < 1.0:  # the smallest set that holds the share; the first token always stays
            before = shares.cumsum(dim=-1) - shares
            shares = shares.masked_fill(before >= self.decode.top_p * shares.sum(-1, keepdim=True), 0.0)
        sums = shares.double().cumsum(dim=-1)
        points = torch.tensor([[chance.random()] for chance in chances], dtype=torch.float64, device=logits.device)
        drawn = torch.searchsorted(sums, points * sums[:, -1:], right=True)
        last = (shares > 0).sum(dim=-1, keepdim=True) - 1
        return order.gather(1, torch.minimum(drawn, last))[:, 0]


def _write(
    model: Model, asks: Sequence[Ask], language: Language | None, limit: int, chooser: _Greedy | _Sampler
) -> list[Answer]:
    """One token a turn for all rows that are left. Unconstrained rows cost no Python of their own until the end."""
    state = model.start(asks)
    rows = torch.arange(len(asks))
    prefixes = [""] * len(asks)
    turns: list[tuple[Tensor, Tensor, Tensor]] = []
    stuck: set[int] = set()
    for turn in range(limit):
        logits = state.logits
        tokens = chooser.tokens(logits)
        going = tokens != model.end
        if language is not None:
            dead = _hold(language, chooser, logits, tokens, prefixes)
            going = tokens != model.end
            going[dead] = False
            stuck.update(rows[dead].tolist())
        gained = (logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=-1)).double()
        turns.append((rows, tokens.cpu(), gained.cpu()))
        kept = going.nonzero()[:, 0]
        if not len(kept) or turn + 1 == limit:
            break
        if language is not None:
            listed = tokens.tolist()
            prefixes = [prefixes[row] + language.pieces[listed[row]] for row in kept.tolist()]
        chooser.keep(kept, tokens)
        if len(kept) < len(tokens):
            state.select(kept)
            rows = rows[kept.cpu()]
        state.advance(tokens[kept])
    return _told(model, len(asks), turns, stuck)


def _hold(
    language: Language, chooser: _Greedy | _Sampler, logits: Tensor, tokens: Tensor, prefixes: Sequence[str]
) -> list[int]:
    """Replace illegal tokens in place; gives the rows for which no token is legal (this tokenizer cannot go on)."""
    dead: list[int] = []
    for row, token in enumerate(tokens.tolist()):
        if language.allows(prefixes[row], token):
            continue
        legal = language.legal(prefixes[row])
        if legal:
            tokens[row] = chooser.among(row, logits[row], torch.tensor(legal, device=logits.device))
        else:
            dead.append(row)
    return dead


def _told(model: Model, count: int, turns: Sequence[tuple[Tensor, Tensor, Tensor]], stuck: set[int]) -> list[Answer]:
    lines: list[list[int]] = [[] for _ in range(count)]
    scores = torch.zeros(count, dtype=torch.float64)
    for rows, tokens, gained in turns:
        scores[rows] += gained
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            lines[row].append(token)
    told: list[Answer] = []
    for row, (line, score) in enumerate(zip(lines, scores.exp().tolist(), strict=True)):
        if line[-1] == model.end and row not in stuck:
            told.append(Answer(model.text(line[:-1]), score, finished=True))
        else:  # the last token is one too many, or the illegal one of a row that could not go on
            told.append(Answer(model.text(line[:-1]), 0.0, finished=False))
    return told


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


def _beam(model: Model, asks: Sequence[Ask], language: Language | None, limit: int, beams: int) -> list[Answer]:
    """The most probable answer that `beams` lines at a time find. Scores only fall, so an ask is done as soon as its
    best finished answer beats every line that still grows. No length bonus: the answer's probability decides."""
    state = model.start(asks)
    searches = [_Search((_Line(place, (), "", 0.0),)) for place in range(len(asks))]
    for turn in range(limit):
        scores = torch.log_softmax(state.logits.float(), dim=-1)
        grown = _grown(scores, [search.alive for search in searches], language, model, beams)
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
    scores: Tensor, alive: Sequence[Sequence[_Line]], language: Language | None, model: Model, beams: int
) -> list[list[_Line]]:
    """For each ask the lines one token longer, best first: enough that `beams` go on even if as many end."""
    values, tokens = (found.tolist() for found in scores.topk(min(2 * beams, scores.shape[1]), dim=-1))
    grown: list[list[_Line]] = []
    for lines in alive:
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


def _chances(asks: Sequence[Ask], seed: int) -> list[Random]:
    """A Random for each ask, known by its source and by how often it stood before in the list."""
    before: Counter[Ask] = Counter()
    chances: list[Random] = []
    for ask in asks:
        turns = "\n".join(turn.content for turn in ask.turns)
        chances.append(Random(f"{seed}/{before[ask]}/{turns}/{ask.source}"))
        before[ask] += 1
    return chances
