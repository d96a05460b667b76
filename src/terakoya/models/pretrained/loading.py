"""A checkpoint loaded: weights and tokenizer, with the libraries' warnings kept as findings."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from terakoya.errors import ConfigError, need
from terakoya.i18n import _
from terakoya.models.pretrained.checkpoint_errors import (
    COPY_TOKENIZER,
    NEWER_LIBRARY,
    corrupt,
    incompatible,
    short_error,
)
from terakoya.models.pretrained.checkpoint_files import PretrainedCheckpoint, weights_only
from terakoya.models.pretrained.tokenizer_probe import probe_tokenizer
from terakoya.records import Finding

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt",
)  # fmt: skip


@dataclass(frozen=True)
class LoadedCheckpoint:
    """What a checkpoint holds.

    module     the model of transformers
    tokenizer  of transformers
    causal     whether it is a causal model; else it is an encoder-decoder
    findings   what the libraries warned about
    """

    module: nn.Module
    tokenizer: Any
    causal: bool
    findings: tuple[Finding, ...]


def load_checkpoint(checkpoint: PretrainedCheckpoint, dtype: str = "auto") -> LoadedCheckpoint:
    """Weights and tokenizer of a validated checkpoint; no code of it is run.

    checkpoint  of `find_checkpoint`
    dtype       "float32", "bfloat16" or "float16" of the weights; "auto" and "mixed" are float32
    Raises ConfigError, CorruptError or IncompatibleError where it cannot be loaded so.
    """
    transformers = need("transformers", extra="hub")
    check_dtype(dtype)
    transformers.utils.logging.disable_progress_bar()
    with capture_warnings() as messages:
        config = _load_config(transformers, checkpoint)
        tokenizer = load_tokenizer(transformers, checkpoint)
        module, causal = _load_module(transformers, checkpoint, config, dtype)
    _check_embeddings(tokenizer, module, checkpoint)
    findings = [*checkpoint.findings, *_library_findings(messages, checkpoint.name), *_code_findings(checkpoint)]
    return LoadedCheckpoint(module, tokenizer, causal, tuple(findings))


@contextmanager
def capture_warnings() -> Iterator[list[str]]:
    """Inside, warnings of transformers and tokenizers go into the list that is yielded instead of being printed."""
    messages: list[str] = []
    logger = logging.getLogger("transformers")

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [Collector(logging.WARNING)], False
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield messages
            messages += [str(one.message) for one in caught if not issubclass(one.category, DeprecationWarning)]
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def _load_config(transformers: Any, checkpoint: PretrainedCheckpoint) -> Any:
    architecture = checkpoint.config["model_type"]
    if architecture not in transformers.CONFIG_MAPPING:
        own_code = _(" It brings code of its own, which is never run.") if "auto_map" in checkpoint.config else ""
        version = transformers.__version__
        raise incompatible(
            _(
                "its architecture '{architecture}' is not known to transformers {version}.{own_code}",
                architecture=architecture,
                version=version,
                own_code=own_code,
            ),
            checkpoint.name,
            _("Take another checkpoint, or a newer transformers."),
        )
    try:
        return transformers.AutoConfig.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # a config is untrusted data: any field may break any line of the library
        reason = short_error(error)
        raise corrupt(
            _("its config cannot be used ({reason})", reason=reason), checkpoint.name, NEWER_LIBRARY
        ) from error


def load_tokenizer(transformers: Any, checkpoint: PretrainedCheckpoint) -> Any:
    """The tokenizer of a validated checkpoint; no code of it is run.

    transformers  the library
    checkpoint    of `find_checkpoint`
    Raises CorruptError where there is none, or it cannot be opened.
    """
    if not any((checkpoint.folder / name).is_file() for name in _TOKENIZER_FILES):
        raise corrupt(_("it has no tokenizer"), checkpoint.name, COPY_TOKENIZER)
    probe_tokenizer(checkpoint.folder, checkpoint.name)
    try:
        return transformers.AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )
    except BaseException as error:  # the native library panics with an exception of its own, which is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = short_error(error)
        raise corrupt(
            _("its tokenizer cannot be opened ({reason})", reason=reason),
            checkpoint.name,
            COPY_TOKENIZER,
        ) from error


def _load_module(
    transformers: Any, checkpoint: PretrainedCheckpoint, config: Any, dtype: str
) -> tuple[nn.Module, bool]:
    """The model, and whether it is causal."""
    seq2seq = bool(getattr(config, "is_encoder_decoder", False))
    auto_class = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    try:
        with weights_only(checkpoint.folder) as folder:
            module, report = auto_class.from_pretrained(
                folder,
                config=config,
                dtype=_DTYPES.get(dtype, torch.float32),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                attn_implementation="sdpa",
                output_loading_info=True,
            )
        module.name_or_path = module.config._name_or_path = str(checkpoint.folder)
    except Exception as error:
        architecture, reason = checkpoint.config["model_type"], short_error(error)
        if isinstance(error, ValueError) and "Unrecognized configuration class" in str(error):
            raise incompatible(
                _("an architecture '{architecture}' generates no text", architecture=architecture),
                checkpoint.name,
                _("Take a causal or an encoder-decoder language model."),
            ) from error
        raise corrupt(
            _("its weights cannot be opened ({reason})", reason=reason),
            checkpoint.name,
            NEWER_LIBRARY,
        ) from error
    _check_complete(sorted(report["missing_keys"]), checkpoint)
    _check_finite(module, checkpoint)
    return module, not seq2seq


def _check_complete(missing: list[str], checkpoint: PretrainedCheckpoint) -> None:
    """transformers initialises missing weights at random."""
    if missing:
        count, first = len(missing), missing[0]
        raise corrupt(
            _("{count} of its weights are missing ({first})", count=count, first=first),
            checkpoint.name,
        )


def _check_finite(module: nn.Module, checkpoint: PretrainedCheckpoint) -> None:
    """A training that ended in NaN leaves files that are sound, and a model that predicts anything."""
    for name, weight in module.named_parameters():
        if weight.numel() and not all(map(math.isfinite, map(float, torch.aminmax(weight.detach())))):
            raise corrupt(
                _("not all its weights are finite ({name})", name=name),
                checkpoint.name,
                _("Take it from its source, or a checkpoint from before its training went wrong."),
            )


def _check_embeddings(tokenizer: Any, module: Any, checkpoint: PretrainedCheckpoint) -> None:
    """Every id of the tokenizer has an embedding."""
    rows = module.get_input_embeddings().weight.shape[0]
    tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
    if tokens > rows:
        raise incompatible(
            _("its tokenizer knows {tokens} tokens and its embeddings {rows}", tokens=tokens, rows=rows),
            checkpoint.name,
            _("Tokenizer and weights belong to different models: copy the right tokenizer beside the weights."),
        )


def _library_findings(messages: list[str], name: str) -> Iterator[Finding]:
    """What the libraries warned about, each message once."""
    for message in dict.fromkeys(messages):
        line = " ".join(message.split())
        shown = line[:400]
        warning = _("the library warns: {shown}", shown=shown)  # in the library's own words
        if "incorrect regex" in line:
            yield _pattern_finding(name)
        elif any(word in line.lower() for word in ("tokeniz", "special token", "truncat")):
            yield Finding(
                "tokenizer",
                "warn",
                warning,
                name,
                _("Look at the tokens: terakoya doctor EXPERIMENT --show-tokens."),
            )
        else:
            yield Finding(
                "checkpoint",
                "note",
                warning,
                name,
                _("Look at the first loss: it should not be above that of a uniform prediction."),
            )


def _pattern_finding(name: str) -> Finding:
    return Finding(
        "tokenizer",
        "warn",
        _("the tokenizer splits text by a pattern that is known to be wrong"),
        name,
        _(
            "Take the newest revision of the checkpoint. A model trained with this one keeps its tokenizer and its "
            "predictions, but differs from one trained with the corrected pattern."
        ),
    )


def _code_findings(checkpoint: PretrainedCheckpoint) -> Iterator[Finding]:
    if "auto_map" in checkpoint.config:
        yield Finding(
            "checkpoint",
            "note",
            _("it brings code of its own, which was not run"),
            checkpoint.name,
            _("Nothing: the architecture is known to transformers itself."),
        )


def check_dtype(dtype: str) -> None:
    """Refuse a dtype that cannot be trained here.

    dtype  of the weights
    Raises ConfigError for "float16" without a GPU.
    """
    if dtype == "float16" and not torch.cuda.is_available():
        raise ConfigError(
            _("float16 needs a GPU"),
            where="model.dtype",
            do=_("Set model.dtype = 'auto' or 'bfloat16'."),
        )
