"""A built-in skill as one description and one block of weights: all that an engine needs which is not ours."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya.decoding.sets import resolve_objective
from terakoya.decoding.without_torch import can_decode
from terakoya.exporters.page.codec_data import codec_data, codec_obstacle
from terakoya.exporters.skill_files import base_scores_obstacle
from terakoya.i18n import _
from terakoya.models.builtin.numpy_model import NumpySetModel, load_without_torch
from terakoya.models.builtin.sizes import SIZES
from terakoya.saved_model import Skill

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from terakoya.models.builtin.numpy_model import NumpyModel

    Weights = Mapping[str, NDArray[np.float32]]


def builtin_obstacle(skill: Skill) -> str | None:
    """Why a `skill` cannot be computed without PyTorch and without code of its author; None where it can."""
    decode, head = skill.config.decode, skill.model.head
    if skill.config.model.base not in SIZES:
        return _("only built-in models go this way; a pretrained one goes to gguf or ct2")
    if obstacle := base_scores_obstacle(skill):
        return obstacle
    if not can_decode(decode, head):
        return _("sequences are decoded greedily here, and this skill decodes by '{method}'", method=decode.method)
    if decode.verify and skill.task.reverse is not None:
        return _("decode.verify checks predictions by a program of the task, and an export carries data alone")
    return None


def page_obstacle(skill: Skill) -> str | None:
    """Why a `skill` cannot become a page; None where it can."""
    return builtin_obstacle(skill) or codec_obstacle(
        skill.task.codec, constrained=skill.config.decode.constrained, head=skill.model.head
    )


def describe_skill(skill: Skill) -> tuple[dict[str, Any], bytes]:
    """The description of a skill for engine.js, and its weights: little-endian float32, one tensor after the other.

    skill  for which `page_obstacle` is None
    """
    model = load_without_torch(skill.folder)
    weights: Weights = model.weights if isinstance(model, NumpySetModel) else model.network.weights
    tensors, block = _tensors(weights)
    about = {"head": model.head, "tensors": tensors, **_withholding(skill)}
    about |= _of_set(model, skill) if isinstance(model, NumpySetModel) else _of_sequence(model, skill)
    return about, block


def _tensors(weights: Weights) -> tuple[list[dict[str, Any]], bytes]:
    listed, blocks, at = [], [], 0
    for name, weight in sorted(weights.items()):
        block = weight.astype("<f4").tobytes()
        listed.append({"name": name, "shape": list(weight.shape), "at": at})
        blocks.append(block)
        at += len(block)
    return listed, b"".join(blocks)


def _of_sequence(model: NumpyModel, skill: Skill) -> dict[str, Any]:
    shape = model.shape
    names = ("width", "encoder", "decoder", "heads", "max_source", "outputs")
    return {
        "shape": {name: getattr(shape, name) for name in names},
        "characters": model.characters.to_json(),
        "constrained": skill.config.decode.constrained,
        "limit": min(skill.max_tokens + 1, model.max_target_length),
        "codec": codec_data(skill.task.codec),
    }


def _of_set(model: NumpySetModel, skill: Skill) -> dict[str, Any]:
    about = model.about
    penalties = [{"label": one.label, "weight": one.weight, "cap": one.cap} for one in about.penalties]
    return {
        "labels": list(about.labels),
        "vocabulary": {**about.features.to_json(), "folds": _case_folds()},
        "members": about.members,
        "mixing_weight": about.mixing_weight,
        "inverse_temperature": about.inverse_temperature,
        "penalties": penalties,
        "objective": resolve_objective(skill.config.decode),
        "tau": skill.config.decode.logit_adjustment,
        "log_prior": [float(one) for one in model.log_prior],
    }


def _case_folds() -> dict[str, str]:
    """Character → its case-folded form, for every character that has another: JavaScript only knows lower case."""
    return {char: char.casefold() for char in map(chr, range(sys.maxunicode + 1)) if char.casefold() != char}


def _withholding(skill: Skill) -> dict[str, Any]:
    decode, confidence, promise = skill.config.decode, skill.confidence, skill.promise
    about: dict[str, Any] = {
        "reject": decode.reject,
        "abstain_below": decode.abstain_below,
        "withhold_unknown": decode.unknown == "withhold",
        "withhold_novel": decode.novel == "withhold",
        "promise": promise.threshold if promise else None,
        "confidence": None,
    }
    if confidence is not None:
        finite = confidence.limit < float("inf")
        about["confidence"] = {
            "slope": confidence.calibrate.slope,
            "intercept": confidence.calibrate.intercept,
            "limit": confidence.limit if finite else None,
            "counts": dict(sorted(confidence.profile.counts.items())) if finite else {},
        }
    return about


def source_file(name: str) -> str:
    """The text of a file beside this module.

    name  of the file
    """
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
