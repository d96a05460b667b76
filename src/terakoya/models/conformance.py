"""Whether a third party's model keeps to the protocol: its members, then one small batch with its shapes.

What is wrong is named with the model's file and line before training starts, and not found in the middle of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from terakoya.errors import DataError
from terakoya.errors.third_party import broken_contract, plugin_faults
from terakoya.i18n import _
from terakoya.models.protocol import Batch, Model, ModelInfo, Outputs, Pair

_ROWS = 2  # of the batch that is tried
_MEMBERS = (
    "module", "head", "end", "max_target_length", "labels", "info", "collate", "length", "fits", "outputs", "start",
    "set_scores", "text", "token_texts", "show_tokens", "save", "parameters_to_train",
)  # fmt: skip


_TYPES: Mapping[str, type] = {"module": nn.Module, "info": ModelInfo, "end": int, "max_target_length": int}


def is_our_model(model: Any) -> bool:
    """Whether the class of a `model` is one of this package."""
    return type(model).__module__.startswith("terakoya.")


def check_model(model: Any, what: str, maker: Any, pairs: Sequence[Pair] = ()) -> Model:
    """The model itself, if it has every member of the protocol and a small batch gives the right shapes.

    model  what `build` or `load` of a plug-in returned
    what   what it is, in words
    maker  that function, named where it returned no object of a class
    pairs  training rows, of which the first that fit are tried; () tries none
    Raises PluginError, naming file and line. Random generators, mode and gradients are left as they were.
    """
    if is_our_model(model):  # tested once and for all
        return model  # type: ignore[no-any-return]
    missing = [name for name in _MEMBERS if not hasattr(model, name)]
    if missing:
        kind, members = type(model).__name__, ", ".join(missing)
        raise broken_contract(
            model,
            _("{what} is of type {kind}, which has no {members}", what=what, kind=kind, members=members),
            maker=maker,
        )
    for name, wanted in _TYPES.items():
        if not isinstance(getattr(model, name), wanted):
            raise _wrong(model, what, name, wanted.__name__, getattr(model, name))
    if model.head not in ("sequence", "set"):
        raise _wrong(model, what, "head", '"sequence" | "set"', model.head)
    rows = _rows_that_fit(model, pairs)
    if rows:
        _try_batch(model, what, rows)
    return model  # type: ignore[no-any-return]


def _rows_that_fit(model: Model, pairs: Sequence[Pair]) -> list[Pair]:
    """A row that a model refuses is a matter for the audit, which names all of them."""
    found: list[Pair] = []
    for pair in pairs[: 10 * _ROWS]:
        try:
            model.collate([pair])
        except DataError:
            continue
        found.append(pair)
        if len(found) == _ROWS:
            break
    return found


def _try_batch(model: Model, what: str, rows: Sequence[Pair]) -> None:
    training = model.module.training
    model.module.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), plugin_faults(model, what):
            _check_outputs(model, what, rows)
            if model.head == "sequence":
                _check_decoding(model, what, rows)
    finally:
        model.module.train(training)


def _check_outputs(model: Model, what: str, rows: Sequence[Pair]) -> None:
    batch = model.collate(rows)
    if not isinstance(batch, Batch):
        raise _wrong(model.collate, what, "collate", "Batch", batch)
    outputs = model.outputs(batch)
    if not isinstance(outputs, Outputs):
        raise _wrong(model.outputs, what, "outputs", "Outputs", outputs)
    wide = len(model.labels) if model.head == "set" else len(model.token_texts())
    long = len(rows) if model.head == "set" else batch.targets
    _check_shape(model.outputs, what, "outputs().logits", outputs.logits, (long, wide))
    _check_shape(model.outputs, what, "outputs().targets", outputs.targets, (long, wide)[: 1 + (model.head == "set")])


def _check_decoding(model: Model, what: str, rows: Sequence[Pair]) -> None:
    """One step of a search that keeps one row of several: what beam search and greedy decoding do."""
    tokens, wide = len(rows), len(model.token_texts())
    state = model.start([pair.query for pair in rows])
    _check_shape(model.start, what, "start().logits", state.logits, (tokens, wide))
    state.advance(torch.zeros(tokens, dtype=torch.long))
    _check_shape(state.advance, what, "advance(), then logits", state.logits, (tokens, wide))
    state.select(torch.tensor([tokens - 1]))
    _check_shape(state.select, what, "select([B - 1]), then logits", state.logits, (1, wide))


def _check_shape(thing: Any, what: str, name: str, value: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise broken_contract(
            thing,
            _(
                "{what}: {name} must be a tensor of shape {shape}, and is {given}",
                what=what,
                name=name,
                shape=str(shape),
                given=str(given),
            ),
        )


def _wrong(thing: Any, what: str, name: str, kind: str, given: Any) -> Exception:
    found = type(given).__name__
    return broken_contract(
        thing, _("{what}: {name} must be {kind}, and is {found}", what=what, name=name, kind=kind, found=found)
    )
