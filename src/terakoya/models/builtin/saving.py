"""What the built-in models share: the text of a query, and folders of plain data from which nothing can run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya.errors import CorruptError, IncompatibleError
from terakoya.i18n import _
from terakoya.models.protocol import Query

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1


def source_text(query: Query) -> str:
    """What a built-in model reads of `query`: the turns of the conversation on lines of their own, the source last."""
    return "\n".join([*(turn.content for turn in query.turns), query.source]) if query.turns else query.source


def load_weights(module: nn.Module, file: Path) -> None:
    """Copy every weight of a safetensors file into `module`.

    module  a network with the same names and shapes
    file    the safetensors file
    Raises CorruptError where the file cannot be read, or names or shapes differ.
    """
    import torch
    from safetensors.torch import load_file

    parameters = dict(module.named_parameters())
    with weight_errors(file):
        weights = load_file(file)
    require_shapes(weights, {name: tuple(parameter.shape) for name, parameter in parameters.items()}, file)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


@contextmanager
def weight_errors(file: Path) -> Iterator[None]:
    """Raises CorruptError where the safetensors `file`, read inside, is missing or damaged."""
    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError as error:
        raise CorruptError(_("the weights are missing"), where=str(file)) from error
    except (SafetensorError, OSError) as error:
        raise CorruptError(_("the weights cannot be read ({error})", error=error), where=str(file)) from error


def require_shapes(weights: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]], file: Path) -> None:
    """Raise CorruptError where arrays do not have the names and shapes of a model.

    weights   name → array
    expected  name → shape
    file      that the arrays were read from, for the error
    """
    if {name: tuple(weight.shape) for name, weight in weights.items()} != dict(expected):
        raise CorruptError(_("these weights belong to another model"), where=str(file))


def read_description(folder: Path) -> dict[str, Any]:
    """The content of config.json in the `folder` of a built-in model.

    Raises CorruptError where it describes no built-in model, IncompatibleError for another format.
    """
    about = read_json(folder / "config.json")
    if not isinstance(about, dict) or about.get("kind") != "terakoya":
        raise CorruptError(_("this is no built-in model"), where=str(folder / "config.json"))
    found = about.get("format")
    if found != FORMAT:
        raise IncompatibleError(
            _("this model has format {found} and this version reads {format}", found=found, format=FORMAT),
            where=str(folder),
            do=_("Open it with the version of terakoya that made it."),
        )
    return about


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write `value` to `file`, in ASCII."""
    file.write_text(json.dumps(value, ensure_ascii=True, indent=1) + "\n", encoding="utf-8")


def read_json(file: Path) -> Any:
    """The content of `file`. Raises CorruptError where it is missing or no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorruptError(_("a file of the model is missing"), where=str(file)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptError(
            _("a file of the model cannot be read ({error})", error=error),
            where=str(file),
        ) from error
