"""A trained skill, for numpy and safetensors alone. Copied into every export of the target "runtime".

skill = load("exports/runtime/skill")
skill("三万八千")                     # "38000"; None where there is no prediction
skill.predict(["三万八千", "二"])      # with probabilities
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.codec.as_data import codec_of_values
from terakoya.codec.base import Codec
from terakoya.decoding.confidence import Confidence, confidence_from_json
from terakoya.decoding.withholding import withhold_novel, withhold_unknown, withhold_unpromised
from terakoya.decoding.without_torch import predict_without_torch
from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.models.builtin.numpy_model import NumpyModel, NumpySetModel, load_without_torch
from terakoya.models.protocol import Query
from terakoya.records import Prediction
from terakoya.scoring.statistics.promise import Promise

VERSION = "1"
MAX_CHARACTERS = 10_000  # of one source; longer ones get no prediction


class _Settings:
    """Settings of decoding, by name."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


@dataclass(frozen=True)
class _TaskPart:
    """What decoding needs of a task: its codec."""

    codec: Codec
    reverse: None = None


@dataclass(frozen=True)
class RuntimeSkill:
    """A skill that predicts; it neither trains nor scores.

    model       in numpy
    codec       reads what the model generates
    decode      settings of decoding
    max_tokens  largest number of tokens of a sequence
    confidence  calibrates probabilities; None leaves them as the model has them
    promise     that predictions are made under; None: nothing was promised
    """

    model: NumpyModel | NumpySetModel
    codec: Codec
    decode: Any
    max_tokens: int
    confidence: Confidence | None = None
    promise: Promise | None = None

    def __call__(self, text: str) -> str | None:
        """The prediction for one `text`; None where the output was unreadable or was withheld."""
        return self.predict([text])[0].text

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Predictions with their probabilities, in the order of the texts.

        texts  the sources; one that is empty or too long for the model gets a prediction whose `text` is None
        """
        task: Any = _TaskPart(self.codec)
        known = [index for index, text in enumerate(texts) if 0 < len(text) <= MAX_CHARACTERS]
        found = predict_without_torch(
            self.model,
            [Query(texts[index]) for index in known],
            task,
            self.decode,
            max_tokens=self.max_tokens,
            confidence=self.confidence,
        )
        by_index = dict(zip(known, map(self._withheld, found), strict=True))
        return [by_index.get(index, Prediction(text, "", None)) for index, text in enumerate(texts)]

    def _withheld(self, prediction: Prediction) -> Prediction:
        known = withhold_novel(withhold_unknown(prediction, self.decode), self.decode)
        return withhold_unpromised(known, self.promise)


def load(folder: str | Path) -> RuntimeSkill:
    """Open an exported skill.

    folder  `skill` of the export
    Raises CorruptError where a file is not the one that was exported.
    """
    path = Path(folder)
    about = json.loads((path / "skill.json").read_text(encoding="utf-8"))
    for name, digest in about["files"].items():
        if hashlib.sha256((path / name).read_bytes()).hexdigest() != digest:
            raise CorruptError(_("this file is not the one that was exported"), where=str(path / name))
    confidence = about["confidence"] and confidence_from_json(about["confidence"])
    threshold = about["promise"]
    return RuntimeSkill(
        load_without_torch(path),
        codec_of_values(about["codec"]),
        _Settings(about["decode"]),
        about["max_tokens"],
        confidence or None,
        None if threshold is None else Promise(0.0, threshold, 0, 0, 0),  # it is kept by its threshold alone
    )
