"""Small GGUF files, written with the `gguf` package as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}


def write_gguf(
    file: Path,
    folder: Path,
    *,
    quantisation: str = "F32",
    architecture: str = "qwen2",
    without: str = "",
    tokenizer: str = "gpt2",
    template: str = "",
    parts: int = 0,
) -> Path:
    """A Qwen 2 checkpoint as a GGUF file.

    file          to write
    folder        the checkpoint: safetensors and tokenizer.json
    quantisation  of matrices, by its name in the format
    architecture  as the file calls it
    without       name of a tensor that is left out
    tokenizer     kind as the file calls it; "" for none
    template      chat template; "" for none
    parts         number of files that the model is said to be split into; 0 for none
    """
    import gguf
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = gguf.GGMLQuantizationType[quantisation]
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_file_type(gguf.LlamaFileType["ALL_F32" if quantisation == "F32" else f"MOSTLY_{quantisation}"])
    _write_shape(writer, config)
    if tokenizer:
        _write_tokenizer(writer, folder, tokenizer, config)
    if template:
        writer.add_chat_template(template)
    if parts:
        writer.add_uint16("split.count", parts)
    for name, tensor in load_file(folder / "model.safetensors").items():
        ours = _gguf_name(name)
        if ours != without:
            matrix = tensor.ndim > 1
            data = gguf.quantize(tensor.float().numpy(), kind) if matrix else tensor.float().numpy()
            writer.add_tensor(ours, data, raw_dtype=kind if matrix else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _gguf_name(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    if stem in _TOP:
        return f"{_TOP[stem]}.{ending}"
    _model, _layers, number, part = stem.split(".", 3)
    return f"blk.{number}.{_LAYER[part]}.{ending}"


def _write_shape(writer: Any, config: dict[str, Any]) -> None:
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])


def _write_tokenizer(writer: Any, folder: Path, kind: str, config: dict[str, Any]) -> None:
    import gguf

    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {**data["model"]["vocab"], **{token["content"]: token["id"] for token in data["added_tokens"]}}
    tokens = [token for token, _ in sorted(ids.items(), key=lambda item: item[1])]
    special = {token["content"] for token in data["added_tokens"]}
    tokens += [f"[PAD{number}]" for number in range(len(tokens), config["vocab_size"])]
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    writer.add_token_types([control if token in special else normal for token in tokens])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in data["model"]["merges"]]
    writer.add_token_merges(merges)
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
