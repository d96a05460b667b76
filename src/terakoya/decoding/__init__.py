"""Generating with a trained sequence model: greedy, beam search or sampling, constrained by the codec's grammar.

    generate(model, queries, codec, config.decode, max_tokens=40, seed=0) -> list[DecodedSequence]  # order of `queries`
    read(sequence, codec) -> str | None                                                             # None: unreadable

Queries are sorted by length and decoded in batches, smaller ones where memory runs out; finished rows leave the batch.
`max_tokens` counts the tokens of a sequence without its end token. A sequence that did not end within them, or whose
query the model cannot take, has `finished=False` and reads as unreadable, even where the text generated so far happens
to be a valid encoding. With `decode.constrained` no invalid encoding is ever finished: each step takes legal tokens.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terakoya.decoding.decoded_sequence import DecodedSequence, evaluation_mode, move_to_device, read
    from terakoya.decoding.sequences import generate
    from terakoya.decoding.set_scores import score_sets

__all__ = ["DecodedSequence", "evaluation_mode", "generate", "move_to_device", "read", "score_sets"]

# Imported when they are first used: a built-in model predicts without PyTorch, which takes seconds to import.
_MODULES = {"generate": "sequences", "score_sets": "set_scores"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"terakoya.decoding.{_MODULES.get(name, 'decoded_sequence')}"), name)
    raise AttributeError(f"module 'terakoya.decoding' has no attribute '{name}'")
