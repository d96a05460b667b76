"""Greedy decoding under a grammar with CTranslate2, which has no grammars of its own.

It generates freely; where a token leaves the grammar (or is none that training knew), the best legal one is taken from
the logits of that step, and generation goes on from there. Probabilities are those over the tokens that the skill may
generate, as the trained model has them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from terakoya.decoding.constraints import GrammarConstraint
from terakoya.exporters.engine_skill import Generated
from terakoya.exporters.skill_files import need_runtime
from terakoya.models.pretrained.prompt_files import Prompts
from terakoya.models.protocol import Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS, _LOGITS = 64, 1 << 21  # of one call, at most: the logits of every step are kept, a megabyte for 262,144 tokens


@dataclass
class _Row:
    """A sequence that is being generated."""

    prompt: list[int]
    constraint: GrammarConstraint | None
    raw: str = ""
    tokens: list[int] = field(default_factory=list)
    score: float = 0.0
    finished: bool = False
    stuck: bool = False


class Ct2Engine:
    """A converted model.

    folder   that CTranslate2's converter wrote
    prompts  of the skill
    threads  of one call
    """

    def __init__(self, folder: Path, prompts: Prompts, threads: int = 1) -> None:
        ctranslate2 = need_runtime("ctranslate2", extra="ct2")
        self.prompts = prompts
        make = ctranslate2.Generator if prompts.causal else ctranslate2.Translator
        self.model = make(str(folder), device="cpu", inter_threads=1, intra_threads=threads)
        tokenizer = prompts.prompt.tokenizer
        self.names = [tokenizer.backend.id_to_token(number) for number in range(tokenizer.size)]
        self._ids = {name: number for number, name in enumerate(self.names)}
        kept = prompts.kept_ids
        self._is_kept = np.full(tokenizer.size, kept is None)
        if kept is not None:
            self._is_kept[[one for one in kept if one < tokenizer.size]] = True
        # Token ids in the order of the logits: that of the artifact's vocabulary, which may have kept tokens first.
        self._order = np.array([self._ids.get(name, -1) for name in _vocabulary(folder)])
        self._place = np.full(tokenizer.size, -1)
        self._place[self._order[self._order >= 0]] = np.flatnonzero(self._order >= 0)
        self._may = (self._order >= 0) & self._is_kept[self._order]
        self._counted = self._may if kept is not None else np.full(len(self._order), True)  # in a probability
        self._prefix = self._shared_prefix()
        outputs = len(self._order if kept is None or not prompts.causal else kept)
        self._rows = max(1, min(_ROWS, _LOGITS // outputs))

    def generate(
        self, queries: Sequence[Query], constraints: Sequence[GrammarConstraint] | None, limit: int
    ) -> list[Generated]:
        """One text for each of `queries`, greedily.

        queries      that fit
        constraints  one per query; None without a grammar
        limit        largest number of tokens, the end included
        """
        bound: Sequence[GrammarConstraint | None] = constraints or [None] * len(queries)
        rows = [_Row(self.prompts.prompt_ids(query), one) for query, one in zip(queries, bound, strict=True)]
        waiting = rows
        while waiting:
            for batch in _batches(waiting, self._rows):
                self._extend(batch, limit)
            waiting = [row for row in waiting if not row.finished and not row.stuck and len(row.tokens) < limit]
        return [
            Generated(row.raw if row.finished or row.stuck else self._without_last(row),
                      float(np.exp(row.score)) if row.finished else None)
            for row in rows
        ]  # fmt: skip

    def close(self) -> None:
        """Release the weights."""
        self.model.unload_model()

    def _without_last(self, row: _Row) -> str:
        return self.prompts.text(row.tokens[:-1])  # the last token is one too many, as in the trained skill's decoding

    def _extend(self, batch: Sequence[_Row], limit: int) -> None:
        """Generate for rows whose prefixes have one length, until each has ended or had to leave the free path."""
        for row, (tokens, logits) in zip(batch, self._generate(batch, limit), strict=True):
            row.stuck = not tokens  # nothing was generated: another call would generate nothing either
            for free, scores in zip(tokens, logits, strict=True):
                token = self._legal(row, free, scores)
                if token is None:
                    row.stuck = True
                    break
                row.score += self._log_probability(token, scores)
                if token == self.prompts.end:
                    row.finished = True
                    break
                row.tokens.append(token)
                row.raw = self.prompts.text(row.tokens)
                if token != free:
                    break

    def _legal(self, row: _Row, token: int, scores: NDArray[np.float32]) -> int | None:
        """The token itself where the grammar allows it, else the best legal one; None where there is none."""
        if row.constraint is None:
            return token if self._may_follow(token) else self._best(scores)
        if self._may_follow(token) and row.constraint.allows(row.raw, token):
            return token
        legal = [one for one in row.constraint.legal(row.raw) if self._may_follow(one)]
        return legal[int(scores[self._place[legal]].argmax())] if legal else None

    def _may_follow(self, token: int) -> bool:
        return 0 <= token < len(self._is_kept) and bool(self._is_kept[token])

    def _best(self, scores: NDArray[np.float32]) -> int:
        return int(self._order[int(np.where(self._may[: len(scores)], scores, -np.inf).argmax())])

    def _log_probability(self, token: int, scores: NDArray[np.float32]) -> float:
        kept = scores[self._counted[: len(scores)]].astype(np.float64)
        top = kept.max()
        return float(scores[self._place[token]] - top - np.log(np.exp(kept - top).sum()))

    def _shared_prefix(self) -> list[int]:
        """What every prompt begins with: template and instruction, whose state is computed once."""
        first, second = (self.prompts.prompt_ids(Query(text)) for text in ("一", "a"))
        shared = next((at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other), 0)
        return first[:shared]

    def _starts_shared(self, row: _Row) -> bool:
        return len(row.prompt) > len(self._prefix) > 0 and row.prompt[: len(self._prefix)] == self._prefix

    def _generate(self, batch: Sequence[_Row], limit: int) -> list[tuple[list[int], list[NDArray[np.float32]]]]:
        """Free continuations of each row: token ids, and the logits from which each was taken."""
        steps = limit - len(batch[0].tokens)
        if self.prompts.causal:
            cut = len(self._prefix) if all(map(self._starts_shared, batch)) else 0
            found = self.model.generate_batch(
                [[self.names[one] for one in (*row.prompt[cut:], *row.tokens)] for row in batch],
                max_length=steps, include_prompt_in_result=False, return_logits_vocab=True, return_end_token=True,
                end_token=[self.names[self.prompts.end]],
                static_prompt=[self.names[one] for one in self._prefix] if cut else None,
            )  # fmt: skip
            return [(self._order[one.sequences_ids[0]].tolist(), _arrays(one.logits[0])) for one in found]
        start = self.prompts.prompt.tokenizer.target_prefix
        given = len(start) + len(batch[0].tokens)
        found = self.model.translate_batch(
            [[self.names[one] for one in row.prompt] for row in batch],
            target_prefix=[[self.names[one] for one in (*start, *row.tokens)] for row in batch] if given else None,
            beam_size=1, min_decoding_length=0, max_decoding_length=given + steps, return_logits_vocab=True,
            return_end_token=True, end_token=[self.names[self.prompts.end]],
        )  # fmt: skip
        return [
            ([self._ids[name] for name in one.hypotheses[0][given:]], _arrays(one.logits[0][given:])) for one in found
        ]


def _arrays(steps: Iterable[Any]) -> list[NDArray[np.float32]]:
    return [np.array(step, dtype=np.float32) for step in steps]


def _vocabulary(folder: Path) -> list[str]:
    """The tokens of a converted model, in the order of its embeddings."""
    file = next(file for name in ("vocabulary.json", "shared_vocabulary.json") if (file := folder / name).is_file())
    found: list[str] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _batches(rows: Sequence[_Row], most: int) -> Iterable[list[_Row]]:
    by_length: dict[tuple[int, int], list[_Row]] = defaultdict(list)
    for row in rows:
        by_length[len(row.prompt), len(row.tokens)].append(row)
    for group in by_length.values():  # of one length: nothing is padded, and no logits are those of a prompt
        for first in range(0, len(group), most):
            yield group[first : first + most]
