"""Greedy and sampled decoding, token by token, for all rows of a batch at once. Shapes: B unfinished rows, V tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from terakoya.decoding.constraints import GrammarConstraint
from terakoya.decoding.decoded_sequence import DecodedSequence
from terakoya.decoding.sampling import GreedySelector, SamplingSelector
from terakoya.models.protocol import Model, Query

_LOGITS_PER_BLOCK = 1 << 18  # that fit into the cache of a CPU, with what is computed from them

_Step = tuple[Tensor, Tensor, Tensor]  # (B,) rows of the batch, (B,) token ids, (B,) token log-probabilities


def generate_batch(
    model: Model,
    queries: Sequence[Query],
    constraints: Sequence[GrammarConstraint] | None,
    limit: int,
    selector: GreedySelector | SamplingSelector,
) -> list[DecodedSequence]:
    """One sequence for each query; one token per step for all unfinished rows.

    model        with a sequence head, in evaluation mode
    queries      the inputs of one batch
    constraints  one per query; None for unconstrained decoding, which then needs no Python per row until the end
    limit        largest number of tokens, the end token included
    selector     how the next token is selected
    Returns the sequences in the order of `queries`.
    """
    state = model.start(queries)
    rows = torch.arange(len(queries))
    prefixes = [""] * len(queries)
    steps: list[_Step] = []
    stuck: set[int] = set()
    for step in range(limit):
        logits = state.logits
        tokens = selector.tokens(logits)
        unfinished = tokens != model.end
        if constraints is not None:
            dead = _replace_illegal(constraints, selector, logits, tokens, prefixes)
            unfinished = tokens != model.end
            unfinished[dead] = False
            stuck.update(rows[dead].tolist())
        log_probs = (logits.gather(1, tokens[:, None])[:, 0] - _logsumexp(logits)).double()
        steps.append((rows, tokens.cpu(), log_probs.cpu()))
        kept = unfinished.nonzero()[:, 0]
        if not len(kept) or step + 1 == limit:
            break
        if constraints is not None:
            token_list, kept_list = tokens.tolist(), kept.tolist()
            prefixes = [prefixes[row] + constraints[row].token_texts[token_list[row]] for row in kept_list]
            constraints = [constraints[row] for row in kept_list]
        selector.keep(kept, tokens)
        if len(kept) < len(tokens):
            state.select(kept)
            rows = rows[kept.cpu()]
        state.advance(tokens[kept])
    return _assemble(model, len(queries), steps, stuck)


def _replace_illegal(
    constraints: Sequence[GrammarConstraint],
    selector: GreedySelector | SamplingSelector,
    logits: Tensor,
    tokens: Tensor,
    prefixes: Sequence[str],
) -> list[int]:
    """Replace illegal tokens in place; returns the rows for which no token is legal (this tokenizer cannot go on)."""
    dead: list[int] = []
    for row, (token, constraint) in enumerate(zip(tokens.tolist(), constraints, strict=True)):
        if constraint.allows(prefixes[row], token):
            continue
        legal = constraint.legal(prefixes[row])
        if legal:
            tokens[row] = selector.among(row, logits[row], torch.tensor(legal, device=logits.device))
        else:
            dead.append(row)
    return dead


def _logsumexp(logits: Tensor) -> Tensor:
    """log Σ exp of each row (B, V); on a CPU a few rows at a time, so that intermediate values stay in cache."""
    rows = max(1, _LOGITS_PER_BLOCK // logits.shape[1])
    if logits.device.type != "cpu" or len(logits) <= rows:
        return logits.logsumexp(dim=-1)
    return torch.cat([block.logsumexp(dim=-1) for block in torch.split(logits, rows)])


def _assemble(model: Model, count: int, steps: Sequence[_Step], stuck: set[int]) -> list[DecodedSequence]:
    """The sequences of all rows from the tokens of all steps."""
    token_ids: list[list[int]] = [[] for _ in range(count)]
    scores = torch.zeros(count, dtype=torch.float64)
    for rows, tokens, log_probs in steps:
        scores[rows] += log_probs
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            token_ids[row].append(token)
    sequences: list[DecodedSequence] = []
    for row, (tokens_of_row, score) in enumerate(zip(token_ids, scores.exp().tolist(), strict=True)):
        if tokens_of_row[-1] == model.end and row not in stuck:
            sequences.append(DecodedSequence(model.text(tokens_of_row[:-1]), score, finished=True))
        else:  # the last token is one too many, or the illegal one of a row that could not go on
            sequences.append(DecodedSequence(model.text(tokens_of_row[:-1]), 0.0, finished=False))
    return sequences
