"""A trained causal model as one GGUF file, by our own writer or by a converter that the user names."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, need
from terakoya.exporters.gguf.pinned import command_of
from terakoya.exporters.gguf.vocabulary import GgufVocabulary, read_vocabulary
from terakoya.exporters.gguf.weights import FAMILIES, QUANTISATIONS, write_settings, write_tensors
from terakoya.i18n import _

_CONVERTER_SECONDS = 3600


def write_gguf(model: Any, file: Path, name: str, quantisation: str) -> None:
    """Write a model with LoRA merged and the full vocabulary.

    model         a pretrained causal model
    file          that is written
    name          of the skill, which llama.cpp shows
    quantisation  a key of weights.QUANTISATIONS
    Raises IncompatibleError for a tokenizer that llama.cpp does not have, ConfigError without the package `gguf`.
    """
    gguf = need("gguf", extra="hub")
    from terakoya.models.pretrained.saving import merged_weights

    config = model.core.config.get_text_config()
    tokenizer, rows = model.tokenizer, model.vocabulary.id_map.rows
    vocabulary = read_vocabulary(tokenizer.backend.to_str(), rows, tokenizer.control_tokens, tokenizer.unknown_id)
    writer = gguf.GGUFWriter(file, FAMILIES[config.model_type].name)
    try:
        write_settings(writer, config, name)
        writer.add_file_type(gguf.LlamaFileType[_file_type(quantisation)])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        _write_vocabulary(writer, vocabulary, model)
        write_tensors(writer, merged_weights(model), config, quantisation)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _write_vocabulary(writer: Any, vocabulary: GgufVocabulary, model: Any) -> None:
    tokenizer, prompt = model.tokenizer.hf_tokenizer, model.prompt
    writer.add_tokenizer_model(vocabulary.kind)
    writer.add_tokenizer_pre(vocabulary.split)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.types))
    if vocabulary.scores:
        writer.add_token_scores(list(vocabulary.scores))
        writer.add_add_space_prefix(False)
    if vocabulary.merges:
        writer.add_token_merges(list(vocabulary.merges))
    # The token that ends a target ends the text: of a chat template that of a message.
    writer.add_eos_token_id(prompt.end)
    for identifier, add in (
        (tokenizer.bos_token_id, writer.add_bos_token_id),
        (tokenizer.unk_token_id, writer.add_unk_token_id),
        (tokenizer.pad_token_id, writer.add_pad_token_id),
    ):
        if identifier is not None:
            add(identifier)
    writer.add_add_bos_token(adds_bos(model))
    writer.add_add_eos_token(False)
    if prompt.template:
        writer.add_chat_template(prompt.template)


def adds_bos(model: Any) -> bool:
    """Whether every prompt of a `model` begins with the tokenizer's begin-of-text token, which llama.cpp then adds."""
    from terakoya.models.protocol import Query

    bos = model.tokenizer.hf_tokenizer.bos_token_id
    return bos is not None and model.prompt.prompt_ids(Query("一"))[:1] == [bos]


def run_converter(converter: Path, model: Any, file: Path, quantisation: str) -> None:
    """Write a GGUF file with another converter, called as llama.cpp's convert_hf_to_gguf.py is.

    converter     a Python file or a program that takes FOLDER --outfile FILE --outtype TYPE; or what pinned.py knows
    model         a pretrained causal model
    file          that is written
    quantisation  passed on
    Raises ConfigError with its last words where it fails.
    """
    called = command_of(converter)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        command = [*called, str(Path(folder) / "model"), "--outfile", str(file), "--outtype", quantisation]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CONVERTER_SECONDS, check=False)
    if done.returncode or not file.is_file():
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ConfigError(
            _("the converter ended with {code}: {words}", code=done.returncode, words=" ".join(lines[-1:])[:300]),
            where=str(converter),
            do=_("Leave --converter out: Gemma 3, Qwen 2, Qwen 3 and Llama are converted without one."),
        )


def _file_type(quantisation: str) -> str:
    kind = QUANTISATIONS[quantisation]
    return "ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"
