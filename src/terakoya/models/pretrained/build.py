"""Pretrained models, by Hub name or folder: any causal or encoder-decoder checkpoint in safetensors.

    model = build(config.model, pairs, labels, seed=7)      # loaded, new tokens added, trimmed, LoRA injected
    model = load(folder)                                    # what `save` wrote, or any checkpoint made elsewhere

Whatever is peculiar to transformers and peft ends in this folder, in reading order: `checkpoint_files` (what may be
opened), `loading` (weights and tokenizer), `tokenizer`, `chat_template` and `prompt` (text ↔ token ids), `new_tokens`,
`vocabulary` and `vocabulary_trimming` (embedding rows), `lora` (adapters), `fused` (layers with fewer kernels),
`causal_batches` and `seq2seq_batches` (training), `kv_cache` (decoding), `model` and `set_model` (the model itself),
`saving` (the folder that is left).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from terakoya.config import ModelConfig
from terakoya.config.reading import is_path
from terakoya.errors import ConfigError, IncompatibleError, need
from terakoya.errors.files import require_plain_folder
from terakoya.i18n import _
from terakoya.models.pretrained import lora, new_tokens, saving, vocabulary_trimming
from terakoya.models.pretrained.audit_tokenizer import reader
from terakoya.models.pretrained.checkpoint_errors import corrupt
from terakoya.models.pretrained.checkpoint_files import (
    PretrainedCheckpoint,
    find_base,
    find_checkpoint,
    read_json,
    validate_checkpoint,
)
from terakoya.models.pretrained.fused.patching import patch_layers
from terakoya.models.pretrained.fused.rms_norm import patch_norms
from terakoya.models.pretrained.loading import LoadedCheckpoint, load_checkpoint, load_tokenizer
from terakoya.models.pretrained.metadata import PretrainedMetadata, metadata_of_values
from terakoya.models.pretrained.model import PretrainedModel, model_class
from terakoya.models.pretrained.prompt import Prompt, make_prompt
from terakoya.models.pretrained.set_model import PretrainedSetModel, build_set, is_set, load_set
from terakoya.models.pretrained.tokenizer import PromptTokenizer
from terakoya.models.pretrained.vocabulary import VocabularyTables
from terakoya.models.protocol import Pair
from terakoya.records import Finding

__all__ = ["build", "load", "reader"]


def build(
    config: ModelConfig,
    pairs: Iterable[Pair],
    labels: tuple[str, ...] = (),
    *,
    seed: int,
    instruction: str = "",
    label_names: Mapping[str, Sequence[str]] | None = None,
) -> PretrainedModel | PretrainedSetModel:
    """A checkpoint prepared for training: tokens added, vocabulary trimmed, adapters injected, as the config says.

    config       names the checkpoint; `head = "auto"` gives a set head where there are labels
    pairs        the training data: its tokens are added and kept
    labels       of a task whose targets are labels; under a sequence head one that exists only as bytes gets a token
    seed         of new rows, adapters and the set head
    instruction  text before every source, unless the config has its own
    label_names  words from which a label is initialised, where better ones than its Unicode name are known
    Raises ConfigError, CorruptError or IncompatibleError where the checkpoint cannot be used so.
    """
    pairs, names = list(pairs), label_names or {}
    has_set_head = config.head == "set" or (config.head == "auto" and bool(labels))
    if has_set_head and not labels:
        raise _no_labels()
    checkpoint = find_checkpoint(config.base, config.revision)
    loaded = load_checkpoint(checkpoint, config.dtype)
    tokenizer = _tokenizer(loaded)
    metadata = PretrainedMetadata(
        base=config.base,
        revision=checkpoint.revision,
        folder=str(checkpoint.folder),
        template=config.template,
        instruction=config.instruction or instruction,
        max_source=config.max_source,
        max_target=config.max_target,
        findings=loaded.findings,
        merge=config.merge,
        forward=_forward(config.forward),
        gguf=checkpoint.gguf,
    )
    if config.new_tokens == "needed" and not has_set_head:
        metadata = replace(metadata, new_tokens=_add_tokens(loaded, tokenizer, pairs, labels, config, names, seed))
    prompt = _prompt(tokenizer, loaded, metadata.template, metadata.instruction, checkpoint.name)
    # A set head writes no tokens: only those of the prompts are needed.
    texts = [Pair(pair.query, "") for pair in pairs] if has_set_head else pairs
    trimmed = config.vocabulary == "trimmed"
    if config.vocabulary == "auto":
        trimmed, finding = vocabulary_trimming.choose_vocabulary(loaded, prompt, texts)
        metadata = replace(metadata, findings=(*metadata.findings, *([finding] if finding else [])))
    if trimmed:
        kept = vocabulary_trimming.needed_ids(loaded, prompt, texts, metadata.new_tokens)
        metadata = replace(metadata, kept_ids=kept)
    if config.adaptation == "lora":
        metadata = replace(metadata, lora=lora.peft_settings(config))
    metadata = replace(metadata, findings=(*metadata.findings, *_unknown_token_findings(tokenizer, pairs)))
    model = _assemble(loaded, checkpoint, prompt, metadata, seed)
    if metadata.lora is None:
        _copy_from_file(loaded.module)
    if not has_set_head:
        return model
    return build_set(model, pairs, labels, seed, {} if config.label_init == "random" else names)


def load(folder: Path, *, instruction: str = "", template: str = "auto") -> PretrainedModel | PretrainedSetModel:
    """The model in a folder that `save` wrote, or any checkpoint made elsewhere.

    folder       with config, weights and tokenizer, or with an adapter
    instruction  text before every source, for a checkpoint made elsewhere
    template     "auto", "chat" or "plain", for a checkpoint made elsewhere
    Raises CorruptError or IncompatibleError where it cannot be opened.
    """
    model = _load(folder, instruction, template)
    return load_set(model, folder) if is_set(folder) else model


def _load(folder: Path, instruction: str, template: str) -> PretrainedModel:
    metadata_file = folder / saving.METADATA_FILE
    if not metadata_file.is_file():
        checkpoint = PretrainedCheckpoint(str(folder), folder, "", validate_checkpoint(folder))
        loaded = load_checkpoint(checkpoint)
        metadata = PretrainedMetadata(
            str(folder.resolve()),
            folder=str(folder),
            template=template,
            instruction=instruction,
            findings=loaded.findings,
        )
        prompt = _prompt(_tokenizer(loaded), loaded, template, instruction, checkpoint.name)
        return _assemble(loaded, checkpoint, prompt, metadata, 0)
    values = read_json(metadata_file, str(folder))
    if values.pop("format", None) != saving.FORMAT:
        raise IncompatibleError(
            _("another version of terakoya wrote this model"),
            where=str(folder),
            do=_("Open it with the version of terakoya that made it."),
        )
    try:
        metadata = metadata_of_values(values, str(folder))
    except (KeyError, ValueError) as error:
        raise corrupt(
            _("{file} has no valid value of {name}", file=saving.METADATA_FILE, name=str(error.args[0])), str(folder)
        ) from error
    here = str((folder / metadata.base).resolve()) if is_path(metadata.base) else metadata.base
    metadata = replace(metadata, base=here, forward=_forward(metadata.forward))
    if values.get("adapter"):
        return _load_adapter(folder, replace(metadata, base=values["base"]))
    checkpoint = PretrainedCheckpoint(metadata.base, folder, metadata.revision, validate_checkpoint(folder))
    loaded = load_checkpoint(checkpoint)
    prompt = _prompt(_tokenizer(loaded), loaded, metadata.template, metadata.instruction, str(folder))
    return _assemble(loaded, checkpoint, prompt, replace(metadata, lora=None, findings=loaded.findings), 0)


def _load_adapter(folder: Path, metadata: PretrainedMetadata) -> PretrainedModel:
    """Base and adapter together; the tokenizer (with its new tokens) is the adapter's."""
    base = find_base(folder, metadata.base, metadata.base_fingerprint, metadata.revision)
    loaded = load_checkpoint(base)
    require_plain_folder(folder)
    transformers = need("transformers", extra="hub")
    hf_tokenizer = load_tokenizer(transformers, PretrainedCheckpoint(str(folder), folder, "", {}))
    loaded = replace(loaded, tokenizer=hf_tokenizer)
    _resize_embeddings(loaded.module, hf_tokenizer)
    prompt = _prompt(_tokenizer(loaded), loaded, metadata.template, metadata.instruction, str(folder))
    whole = str(Path(base.name).resolve()) if Path(base.name).exists() else base.name
    model = _assemble(loaded, base, prompt, replace(metadata, base=whole, folder=str(base.folder)), 0)
    saving.load_adapter(model, folder)
    return model


def _forward(value: str) -> str:
    """ "library" or "fused"; configs and saved folders of the first format have another name for the latter."""
    return "library" if value == "library" else "fused"


def _no_labels() -> ConfigError:
    return ConfigError(
        _("a set head scores labels, and this task has none"),
        where="model.head",
        do=_("Set task.codec = 'labels', or model.head = 'sequence'."),
    )


def _prompt(tokenizer: PromptTokenizer, loaded: LoadedCheckpoint, kind: str, instruction: str, name: str) -> Prompt:
    """The checkpoint's prompt; a fault of its template is reported with the checkpoint's name."""
    try:
        return make_prompt(tokenizer, causal=loaded.causal, kind=kind, instruction=instruction)
    except IncompatibleError as error:
        error.where = error.where or name
        raise


def _assemble(
    loaded: LoadedCheckpoint,
    checkpoint: PretrainedCheckpoint,
    prompt: Prompt,
    metadata: PretrainedMetadata,
    seed: int,
) -> PretrainedModel:
    """Trim and adapt the loaded module as the metadata says, and wrap it in the class of its family."""
    embeddings: Any = loaded.module.get_input_embeddings
    if max(metadata.kept_ids or (0,)) >= embeddings().weight.shape[0]:
        raise corrupt(_("its list of kept tokens names one that the model does not have"), checkpoint.name)
    fused = metadata.forward != "library"
    if fused:
        patch_norms(loaded.module)
    vocabulary = VocabularyTables(loaded.module, metadata.kept_ids)
    if metadata.kept_ids is not None:
        vocabulary_trimming.map_unkept_rows(vocabulary, loaded.module, checkpoint.folder)
    if metadata.lora is not None:
        lora.inject(loaded.module, metadata.lora, seed)
        lora.train_new_rows(vocabulary, prompt.tokenizer, metadata)
    if fused:
        patch_layers(loaded.module)
    _configure_generation(loaded.module, prompt, loaded.causal)
    return model_class(loaded.causal)(loaded.module, prompt, vocabulary, metadata)


def _copy_from_file(module: torch.nn.Module) -> None:
    """Copy weights to be trained out of the mapped file. The first step would do so anyway, page by page, and whatever
    else of the file was touched (a table of 262,144 rows) would stay in memory as long as one weight lies in it."""
    for weight in module.parameters():
        weight.data = weight.data.clone()


def _tokenizer(loaded: LoadedCheckpoint) -> PromptTokenizer:
    settings: Any = loaded.module.generation_config
    return PromptTokenizer(loaded.tokenizer, end_ids=end_ids(settings), after_prompt=loaded.causal)


def end_ids(settings: Any) -> list[int]:
    """Ids that end a text by a generation config's `settings`, which hold one, several or none."""
    ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    return [end for end in ends if end is not None]


def _add_tokens(
    loaded: LoadedCheckpoint,
    tokenizer: PromptTokenizer,
    pairs: Sequence[Pair],
    labels: Sequence[str],
    config: ModelConfig,
    names: Mapping[str, Sequence[str]],
    seed: int,
) -> tuple[str, ...]:
    """Add the tokens that the data needs and initialise their rows."""
    targets = {pair.target for pair in pairs}
    added = new_tokens.needed_tokens(targets, labels, tokenizer.can_encode, tokenizer.is_byte_encoded)
    if not added:
        return ()
    descriptions = [tokenizer.encode_description(new_tokens.token_description(token, names)) for token in added]
    tokenizer.add_tokens(added)
    _resize_embeddings(loaded.module, loaded.tokenizer)
    ids = [tokenizer.added_tokens[token] for token in added]
    if ids != list(range(ids[0], ids[0] + len(ids))):
        raise IncompatibleError(
            _("the tokenizer did not give new tokens consecutive ids"),
            where=config.base,
            do=_("Set model.new_tokens = 'none', or take another checkpoint."),
        )
    new_tokens.initialise_rows(loaded.module, ids[0], descriptions, config.new_token_init, seed)
    return tuple(added)


def _resize_embeddings(module: Any, hf_tokenizer: Any) -> None:
    wanted = max(hf_tokenizer.get_vocab().values()) + 1
    if wanted > module.get_input_embeddings().weight.shape[0]:
        module.resize_token_embeddings(wanted, mean_resizing=False)


def _configure_generation(module: Any, prompt: Prompt, causal: bool) -> None:
    """Make plain `generate` greedy, with our start and end tokens."""
    settings = module.generation_config
    settings.eos_token_id = list(dict.fromkeys([prompt.end, *end_ids(settings)]))
    settings.do_sample = False
    for name in ("temperature", "top_k", "top_p", "min_p", "typical_p"):
        setattr(settings, name, None)
    if not causal and prompt.tokenizer.target_prefix:
        settings.forced_bos_token_id = prompt.tokenizer.target_prefix[0]


def _texts(pair: Pair) -> list[str]:
    return [pair.query.source, *(turn.content for turn in pair.query.turns)]


def _unknown_token_findings(tokenizer: PromptTokenizer, pairs: Sequence[Pair]) -> list[Finding]:
    affected = [pair for pair in pairs if any(map(tokenizer.has_unknown, _texts(pair)))]
    if not affected:
        return []
    count, total = len(affected), len(pairs)
    return [
        Finding(
            "unknown-tokens",
            "warn",
            _("{count} of {total} sources hold characters that the tokenizer does not know", count=count, total=total),
            ", ".join(pair.key or pair.query.source[:20] for pair in affected[:3]),
            _("The model cannot see them: take a base whose tokenizer falls back on bytes, or respell the sources."),
            values={"rows": float(count), "share": count / total},
        )
    ]
