"""Answers written token by token, all rows of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from terakoya.decoding.answer import Answer
from terakoya.decoding.constraints import Language
from terakoya.decoding.sampling import Greedy, Sampler
from terakoya.models.protocol import Model, Query

_AT_ONCE = 1 << 18  # logits


def write(
    model: Model, asks: Sequence[Query], held: Sequence[Language] | None, limit: int, chooser: Greedy | Sampler
) -> list[Answer]:
    """One token a turn for all rows that are left. Unconstrained rows cost no Python of their own until the end.

    held  the language that each ask's answer is held to
    """
    state = model.start(asks)
    rows = torch.arange(len(asks))
    prefixes = [""] * len(asks)
    turns: list[tuple[Tensor, Tensor, Tensor]] = []
    stuck: set[int] = set()
    for turn in range(limit):
        logits = state.logits
        tokens = chooser.tokens(logits)
        going = tokens != model.end
        if held is not None:
            dead = _hold(held, chooser, logits, tokens, prefixes)
            going = tokens != model.end
            going[dead] = False
            stuck.update(rows[dead].tolist())
        gained = (logits.gather(1, tokens[:, None])[:, 0] - _logsumexp(logits)).double()
        turns.append((rows, tokens.cpu(), gained.cpu()))
        kept = going.nonzero()[:, 0]
        if not len(kept) or turn + 1 == limit:
            break
        if held is not None:
            listed, left = tokens.tolist(), kept.tolist()
            prefixes = [prefixes[row] + held[row].pieces[listed[row]] for row in left]
            held = [held[row] for row in left]
        chooser.keep(kept, tokens)
        if len(kept) < len(tokens):
            state.select(kept)
            rows = rows[kept.cpu()]
        state.advance(tokens[kept])
    return _told(model, len(asks), turns, stuck)


def _hold(
    held: Sequence[Language], chooser: Greedy | Sampler, logits: Tensor, tokens: Tensor, prefixes: Sequence[str]
) -> list[int]:
    """Replace illegal tokens in place; gives the rows for which no token is legal (this tokenizer cannot go on)."""
    dead: list[int] = []
    for row, (token, language) in enumerate(zip(tokens.tolist(), held, strict=True)):
        if language.allows(prefixes[row], token):
            continue
        legal = language.legal(prefixes[row])
        if legal:
            tokens[row] = chooser.among(row, logits[row], torch.tensor(legal, device=logits.device))
        else:
            dead.append(row)
    return dead


def _logsumexp(logits: Tensor) -> Tensor:
    """log Σ exp of each row (B, V); on a processor a few rows at a time, so that what comes between stays in cache."""
    rows = max(1, _AT_ONCE // logits.shape[1])
    if logits.device.type != "cpu" or len(logits) <= rows:
        return logits.logsumexp(dim=-1)
    return torch.cat([part.logsumexp(dim=-1) for part in torch.split(logits, rows)])


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
