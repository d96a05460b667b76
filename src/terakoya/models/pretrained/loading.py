"""A checkpoint opened: weights and tokenizer, with what the libraries warned about kept as findings."""

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

from terakoya.errors import ConfigError, CorruptError, IncompatibleError, need
from terakoya.i18n import both, japanese
from terakoya.models.pretrained.checkpoint_files import Checkpoint
from terakoya.records import Finding

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Opened:
    """What a checkpoint holds. `causal` tells the two families apart, and nothing outside these files asks."""

    module: nn.Module
    tokenizer: Any
    causal: bool
    findings: tuple[Finding, ...]


def opened(checkpoint: Checkpoint, dtype: str = "auto") -> Opened:
    """Weights (in float32 unless asked otherwise) and tokenizer of a vetted checkpoint; nothing of it can run."""
    transformers = need("transformers", extra="hub")
    check_device_dtype(dtype)
    transformers.utils.logging.disable_progress_bar()
    with heard() as said:
        config = _config(transformers, checkpoint)
        tokenizer = open_tokenizer(transformers, checkpoint)
        module, causal = _module(transformers, checkpoint, config, dtype)
    _check_fit(tokenizer, module, checkpoint)
    findings = [*_findings(said, checkpoint.name), *_code_findings(checkpoint)]
    return Opened(module, tokenizer, causal, tuple(findings))


@contextmanager
def heard() -> Iterator[list[str]]:
    """What transformers and tokenizers say in here, kept in place of being printed."""
    said: list[str] = []
    logger = logging.getLogger("transformers")

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    ear, handlers, level, up = Ear(logging.WARNING), logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [ear], False
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield said
            said += [str(one.message) for one in caught if not issubclass(one.category, DeprecationWarning)]
    finally:
        logger.handlers, logger.propagate = handlers, up
        logger.setLevel(level)


def _config(transformers: Any, checkpoint: Checkpoint) -> Any:
    kind = checkpoint.config["model_type"]
    if kind not in transformers.CONFIG_MAPPING:
        own = (
            both(" It brings code of its own, which is never run.", "独自のコードが付いているが、決して実行しない。")
            if "auto_map" in checkpoint.config
            else ""
        )
        raise IncompatibleError(
            both(
                f"its architecture '{kind}' is not known to transformers {transformers.__version__}.{own}",
                f"アーキテクチャ '{kind}' を transformers {transformers.__version__} は知らない。{japanese(own)}",
            ),
            where=checkpoint.name,
            do=both(
                "Take another checkpoint, or a newer transformers.",
                "別のチェックポイントか、新しい transformers を使うこと。",
            ),
        )
    try:
        return transformers.AutoConfig.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # a config is foreign data: any field may break any line of the library
        raise CorruptError(
            both(f"its config makes no sense ({_short(error)})", f"設定が意味をなさない（{_short(error)}）"),
            where=checkpoint.name,
            do=both(
                "Download it again, or take a newer transformers.",
                "ダウンロードし直すか、新しい transformers を使うこと。",
            ),
        ) from error


def open_tokenizer(transformers: Any, checkpoint: Checkpoint) -> Any:
    """The tokenizer of a vetted checkpoint; none of its code runs."""
    names = ("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt")
    if not any((checkpoint.folder / name).is_file() for name in names):
        raise CorruptError(
            both("it has no tokenizer", "トークナイザがない"),
            where=checkpoint.name,
            do=both(
                "Copy the tokenizer files of its base model beside it.",
                "元のモデルのトークナイザのファイルを隣にコピーすること。",
            ),
        )
    try:
        return transformers.AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise CorruptError(
            both(f"its tokenizer cannot be opened ({_short(error)})", f"トークナイザを開けない（{_short(error)}）"),
            where=checkpoint.name,
            do=both(
                "Copy the tokenizer files of its base model beside it.",
                "元のモデルのトークナイザのファイルを隣にコピーすること。",
            ),
        ) from error


def _module(transformers: Any, checkpoint: Checkpoint, config: Any, dtype: str) -> tuple[nn.Module, bool]:
    seq2seq = bool(getattr(config, "is_encoder_decoder", False))
    maker = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    try:
        module, told = maker.from_pretrained(
            checkpoint.folder,
            config=config,
            dtype=_DTYPES.get(dtype, torch.float32),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except ValueError as error:
        if "Unrecognized configuration class" in str(error):
            raise IncompatibleError(
                both(
                    f"an architecture '{checkpoint.config['model_type']}' writes no text",
                    f"アーキテクチャ '{checkpoint.config['model_type']}' は文を書かない",
                ),
                where=checkpoint.name,
                do=both(
                    "Take a causal or an encoder-decoder language model.",
                    "causal か encoder-decoder の言語モデルを使うこと。",
                ),
            ) from error
        raise CorruptError(
            both(f"its weights cannot be opened ({_short(error)})", f"重みを開けない（{_short(error)}）"),
            where=checkpoint.name,
            do=both(
                "Download it again, or take a newer transformers.",
                "ダウンロードし直すか、新しい transformers を使うこと。",
            ),
        ) from error
    except Exception as error:
        raise CorruptError(
            both(f"its weights cannot be opened ({_short(error)})", f"重みを開けない（{_short(error)}）"),
            where=checkpoint.name,
            do=both(
                "Download it again, or take a newer transformers.",
                "ダウンロードし直すか、新しい transformers を使うこと。",
            ),
        ) from error
    missing = sorted(told["missing_keys"])
    if missing:
        raise CorruptError(
            both(
                f"{len(missing)} of its weights are missing ({missing[0]})",
                f"重みのうち{len(missing)}個がない（{missing[0]}）",
            ),
            where=checkpoint.name,
            do=both("Download it again.", "ダウンロードし直すこと。"),
        )
    _check_finite(module, checkpoint)
    return module, not seq2seq


def _check_finite(module: nn.Module, checkpoint: Checkpoint) -> None:
    """A training that ended in NaN leaves files that are sound, and a model that answers anything."""
    for name, weight in module.named_parameters():
        if weight.numel() and not all(map(math.isfinite, map(float, torch.aminmax(weight.detach())))):
            raise CorruptError(
                both(f"not all its weights are finite ({name})", f"有限でない重みがある（{name}）"),
                where=checkpoint.name,
                do=both(
                    "Take it from its source, or a checkpoint from before its training went wrong.",
                    "元の配布元のものか、学習が壊れる前のチェックポイントを使うこと。",
                ),
            )


def _check_fit(tokenizer: Any, module: Any, checkpoint: Checkpoint) -> None:
    rows = module.get_input_embeddings().weight.shape[0]
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        raise IncompatibleError(
            both(
                f"its tokenizer knows {highest + 1} tokens and its embeddings {rows}",
                f"トークナイザのトークンは{highest + 1}個、埋め込みは{rows}個である",
            ),
            where=checkpoint.name,
            do=both(
                "Tokenizer and weights belong to different models: copy the right tokenizer beside the weights.",
                "トークナイザと重みが別のモデルのものである：正しいトークナイザを重みの隣にコピーすること。",
            ),
        )


def _findings(said: list[str], name: str) -> Iterator[Finding]:
    for text in dict.fromkeys(said):
        line = " ".join(text.split())
        if "incorrect regex" in line:
            yield Finding(
                "tokenizer",
                "warn",
                both(
                    "the tokenizer splits text by a pattern that is known to be wrong",
                    "トークナイザの文の分け方に、誤りだと知られているものがある",
                ),
                name,
                both(
                    "Take the newest revision of the checkpoint; a model taught with this one keeps its tokenizer and "
                    "answers alike, but differs from one taught with the mended pattern.",
                    "チェックポイントの最新のリビジョンを使うこと。"
                    "今のもので学習したモデルはそのトークナイザを持ち続け、答えも変わらないが、"
                    "直した分け方で学習したものとは異なる。",
                ),
            )
        elif any(word in line.lower() for word in ("tokeniz", "special token", "truncat")):
            yield Finding(
                "tokenizer",
                "warn",
                _warned(line),
                name,
                both(
                    "Look at the tokens: terakoya doctor --show-tokens.",
                    "トークンを見ること：terakoya doctor --show-tokens。",
                ),
            )
        else:
            yield Finding(
                "checkpoint",
                "note",
                _warned(line),
                name,
                both(
                    "Look at the first loss: it should not be above an even guess.",
                    "最初の損失を見ること：均等な当て推量より大きくないはずである。",
                ),
            )


def _warned(line: str) -> str:
    """What a library says, in its own words."""
    return both(line[:400], f"ライブラリの警告：{line[:400]}")


def _code_findings(checkpoint: Checkpoint) -> Iterator[Finding]:
    if "auto_map" in checkpoint.config:
        yield Finding(
            "checkpoint",
            "note",
            both("it brings code of its own, which was not run", "独自のコードが付いているが、実行していない"),
            checkpoint.name,
            both(
                "Nothing: the architecture is known to transformers itself.",
                "何もしなくてよい：そのアーキテクチャは transformers 自身が知っている。",
            ),
        )


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def check_device_dtype(dtype: str) -> None:
    """Half precision does not train on a processor; say so rather than ignore the wish."""
    if dtype == "float16" and not torch.cuda.is_available():
        raise ConfigError(
            both("float16 needs a GPU", "float16 には GPU が必要である"),
            where="model.dtype",
            do=both("Set model.dtype = 'auto' or 'bfloat16'.", "model.dtype = 'auto' か 'bfloat16' とすること。"),
        )
