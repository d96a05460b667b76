"""What the built-in models share: reading a source, and folders of numbers and text from which nothing can run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from terakoya.errors import CorruptError
from terakoya.i18n import both
from terakoya.models.protocol import Query


def source_text(ask: Query) -> str:
    """What a built-in model reads: the turns of a conversation on lines of their own, the source last."""
    return "\n".join([*(turn.content for turn in ask.turns), ask.source]) if ask.turns else ask.source


def fill(module: nn.Module, file: Path) -> None:
    """Every weight from the file; raises CorruptError where names or shapes differ."""
    wanted = dict(module.named_parameters())
    try:
        weights = load_file(file)
    except FileNotFoundError as error:
        raise CorruptError(both("the weights are missing", "重みがない"), where=str(file)) from error
    except (SafetensorError, OSError) as error:
        raise CorruptError(
            both(f"the weights cannot be read ({error})", f"重みを読めない（{error}）"), where=str(file)
        ) from error
    if {name: weight.shape for name, weight in weights.items()} != {name: w.shape for name, w in wanted.items()}:
        raise CorruptError(
            both("these weights belong to another model", "この重みは別のモデルのものである"), where=str(file)
        )
    with torch.no_grad():
        for name, weight in wanted.items():
            weight.copy_(weights[name])


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=True, indent=1) + "\n", encoding="utf-8")


def read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorruptError(
            both("a file of the model is missing", "モデルのファイルが一つない"), where=str(file)
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptError(
            both(f"a file of the model cannot be read ({error})", f"モデルのファイルを読めない（{error}）"),
            where=str(file),
        ) from error
