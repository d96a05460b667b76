"""What the config alone shows, for a base that cannot be had: a fault found before gigabytes are fetched."""

from __future__ import annotations

from collections.abc import Iterator

from terakoya.codec.labels import LabelsCodec
from terakoya.config import Config, ModelConfig
from terakoya.i18n import _, joined
from terakoya.models.protocol import ModelInfo
from terakoya.records import Finding, Split
from terakoya.task import Task
from terakoya.training.defaults import resolve
from terakoya.training.preflight.schedule import rate_findings, schedule_findings
from terakoya.training.prepare import TrainingSetup


def config_findings(task: Task, split: Split, config: Config) -> list[Finding]:
    """Schedule, rate and precision against the data and the base's name, the gravest first.

    task    what is to be learnt
    split   train, dev and exam
    config  as the user wrote it; names a pretrained base
    """
    info = _info_by_name(config.model)
    train = resolve(config.train, info, len(split.train), streaming=task.draw is not None)
    setup = TrainingSetup(task, split, config.model_copy(update={"train": train}))
    found = [*schedule_findings(setup), *rate_findings(setup, info), *_precision_findings(task, config.model)]
    return sorted(found, key=lambda finding: ("stop", "warn", "note").index(finding.level))


def _info_by_name(model: ModelConfig) -> ModelInfo:
    """As much as defaults and known rates depend on: kind of adaptation, and whether it is a T5."""
    family = "encoder-decoder" if _is_t5(model) else "decoder"
    return ModelInfo(model.base, family, weights=100, trainable=1 if model.adaptation == "lora" else 100, vocabulary=0)


def _is_t5(model: ModelConfig) -> bool:
    return "t5" in model.base.rpartition("/")[2].lower()


def _precision_findings(task: Task, model: ModelConfig) -> Iterator[Finding]:
    if model.dtype != "float16":
        return
    reasons = []
    if _is_t5(model):
        reasons.append(_("T5 was trained in bfloat16, and its activations leave the range of float16"))
    if isinstance(task.codec, LabelsCodec) and model.new_tokens == "needed":
        reasons.append(_("the gradients of new embeddings, which labels may need, overflow in float16"))
    yield Finding(
        "half-precision",
        "stop" if reasons else "warn",
        joined("; ", reasons) or _("weights held in float16 lose small updates"),
        where="model.dtype",
        do=_("Set model.dtype = '{better}'.", better="float32"),
    )
