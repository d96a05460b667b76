"""Weights and settings of a causal checkpoint under llama.cpp's names: Gemma 3, Qwen 2, Qwen 3 and Llama.

The package `gguf` has the names; what a family changes in the numbers themselves is written here, after llama.cpp's
convert_hf_to_gguf.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from terakoya.i18n import _

QUANTISATIONS = {"f32": "F32", "f16": "F16", "q8_0": "Q8_0", "q4_0": "Q4_0"}
DEFAULT = "q8_0"
_BLOCK = 32  # weights of a row that share a scale; other rows stay in 16 bits


@dataclass(frozen=True)
class Family:
    """How one architecture is written.

    name       in GGUF, and of the member of gguf.MODEL_ARCH in capitals
    shift      added to the weights of norms, which Gemma multiplies by one more
    permuted   whether queries and keys are rearranged for llama.cpp's order of rotary halves
    """

    name: str
    shift: float = 0.0
    permuted: bool = False


FAMILIES: Mapping[str, Family] = {
    "gemma3_text": Family("gemma3", shift=1.0),
    "qwen2": Family("qwen2"),
    "qwen3": Family("qwen3"),
    "llama": Family("llama", permuted=True),
}


def config_obstacle(config: Any) -> str | None:
    """Why llama.cpp cannot compute a model with this transformers `config`; None where it can."""
    if config.model_type not in FAMILIES:
        return _(
            "the architecture '{architecture}' is not among those that are written here ({known}); llama.cpp's own "
            "converter may know it: --converter llama.cpp",
            architecture=config.model_type,
            known=", ".join(FAMILIES),
        )
    if config.model_type != "gemma3_text":
        kind = _rope(config).get("rope_type", "default")
        return None if kind == "default" else _("rotary positions of the kind '{kind}' are not written", kind=kind)
    local = (config.rope_parameters or {}).get("sliding_attention", {})
    pattern = [kind == "full_attention" for kind in config.layer_types]
    fixed = (
        local.get("rope_theta", 10_000.0) == 10_000.0
        and pattern == [(index + 1) % 6 == 0 for index in range(len(pattern))]
        and config.query_pre_attn_scalar == config.head_dim
    )
    return None if fixed else _("llama.cpp has fixed settings for Gemma 3, and this checkpoint has others")


def write_settings(writer: Any, config: Any, name: str) -> None:
    """Write the settings of the architecture.

    writer  a gguf.GGUFWriter
    config  of transformers
    name    of the model
    """
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_freq_base(float(_rope(config).get("rope_theta", 10_000.0)))
    if config.model_type == "gemma3_text":
        writer.add_sliding_window(config.sliding_window)
    if config.model_type == "llama":
        writer.add_rope_dimension_count(width)
        writer.add_vocab_size(config.vocab_size)


def write_tensors(writer: Any, weights: Mapping[str, Any], config: Any, quantisation: str) -> None:
    """Write all weights.

    writer        a gguf.GGUFWriter
    weights       by the names of transformers: tensors of torch, in any float format
    config        of transformers
    quantisation  a key of QUANTISATIONS; vectors stay in 32 bits
    """
    import gguf

    for name, weight in _renamed(weights, config):
        kind = gguf.GGMLQuantizationType[_kind_of(weight, quantisation)]
        if kind.name == "F32":
            data = weight
        elif kind.name == "F16":
            data = weight.astype(np.float16)
        else:
            data = gguf.quants.quantize(weight, kind)
        writer.add_tensor(name, data, raw_dtype=kind)


def _kind_of(weight: Any, quantisation: str) -> str:
    if weight.ndim < 2:
        return "F32"
    kind = QUANTISATIONS[quantisation]
    return kind if kind.startswith("F") or weight.shape[-1] % _BLOCK == 0 else "F16"


def _renamed(weights: Mapping[str, Any], config: Any) -> Iterator[tuple[str, Any]]:
    import gguf

    family = FAMILIES[config.model_type]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[family.name.upper()], config.num_hidden_layers)
    for name, tensor in weights.items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ValueError(name)
        weight = np.ascontiguousarray(tensor.float().cpu().numpy())
        if family.shift and name.endswith("norm.weight"):
            weight = weight + np.float32(family.shift)
        if family.permuted and ".q_proj." in name:
            weight = _permuted(weight, config.num_attention_heads)
        if family.permuted and ".k_proj." in name:
            weight = _permuted(weight, config.num_key_value_heads)
        yield found, weight


def _permuted(weight: Any, heads: int) -> Any:
    """Rows of each head from two halves to pairs."""
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, half, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def _rope(config: Any) -> Mapping[str, Any]:
    found = getattr(config, "rope_parameters", None) or {}
    full: Mapping[str, Any] = found.get("full_attention", found)
    return full
