"""What a pretrained base knows of labels before any training, beside the features of the built-in set model.

    logit(label) = logit of the ensemble + weight · (log p(label | text) − alpha · log p(label | texts without content))

What the base would say anyway is no evidence (contextual calibration: Zhao et al., 2021, arXiv:2102.09690;
domain-conditional PMI: Holtzman et al., 2021, arXiv:2104.08315); the sum of logits is a product of experts (Hinton,
2002). `weight` and `alpha` are fitted on texts that the ensemble was not trained on (decoding/set_calibration.py). The
mean is taken over several prompts with other examples, for one prompt's examples draw the base to their labels. Scores
of a text are kept on disk.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.models.builtin.base_scoring import BaseScoring, Shots
from terakoya.models.builtin.saving import source_text
from terakoya.models.protocol import Pair, Query
from terakoya.models.user_cache import ScoreCache, cache_folder

if TYPE_CHECKING:
    from terakoya.models.pretrained.model import PretrainedModel
    from terakoya.models.pretrained.prompted_base import PromptedBase

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the prior that calibration tries
UNFITTED = (0.3, 0.75)  # weight and alpha where too few dev rows say better ones
_FORMAT = 1  # of kept scores: another number whenever the same prompt would get other scores


class BaseEvidence:
    """The scores of a base for the labels of a set model, with the weight that they have.

    scoring  names base and prompts
    labels   L labels of the model, in order
    folder   of the model, to which a relative path of the base belongs
    """

    def __init__(self, scoring: BaseScoring, labels: Sequence[str], folder: Path) -> None:
        self.scoring, self.labels, self.folder = scoring, tuple(labels), folder
        self.device = ""  # "" for that of the weights as they were opened
        self.is_weight_fixed = False  # then calibration fits alpha alone
        self._opened: list[PromptedBase] = []
        self._caches: list[ScoreCache] = []

    @property
    def parameters(self) -> tuple[float, float]:
        """Weight and alpha."""
        return self.scoring.weight, self.scoring.alpha

    @parameters.setter
    def parameters(self, fitted: tuple[float, float]) -> None:
        """Set both to `fitted`."""
        self.scoring = replace(self.scoring, weight=fitted[0], alpha=fitted[1])

    @property
    def name(self) -> str:
        """The last part of the base's path, or its Hub name."""
        return Path(self.scoring.base).name if self.scoring.fingerprint else self.scoring.base

    def saved_in(self, folder: Path) -> dict[str, Any]:
        """What the description of the model says of it; the base's path is relative to `folder`, the model's."""
        base = self.scoring.base
        if self.scoring.fingerprint:
            base = Path(os.path.relpath(self.folder / base, folder)).as_posix()
        return replace(self.scoring, base=base).to_json()

    def evidence(self, texts: Sequence[str], alpha: float | None = None) -> Tensor:
        """(texts, L) scores less their share of the prior, around a mean of 0 in each row.

        texts  as the model reads them
        alpha  the share; None for the fitted one
        """
        share = self.scoring.alpha if alpha is None else alpha
        adjusted = self.log_probs(texts) - share * torch.tensor(self.scoring.prior)
        return adjusted - adjusted.mean(dim=1, keepdim=True)

    def evidence_of(self, queries: Sequence[Query], alpha: float | None = None) -> Tensor:
        """(queries, L) what `evidence` is for the texts of `queries`, with this `alpha`."""
        return self.evidence([source_text(query) for query in queries], alpha)

    def log_probs_of(self, queries: Sequence[Query]) -> Tensor:
        """(queries, L) what `log_probs` is for the texts of `queries`."""
        return self.log_probs([source_text(query) for query in queries])

    def missing(self, queries: Sequence[Query]) -> list[Query]:
        """Those of `queries` whose texts the base has not scored yet with every prompt, each text once."""
        by_text = {source_text(query): query for query in queries}
        texts = dict.fromkeys(text for cache in self._kept() for text in cache.missing(list(by_text)))
        return [by_text[text] for text in texts]

    def log_probs(self, texts: Sequence[str]) -> Tensor:
        """(texts, L) log p(label | text) among the labels, the mean over all prompts; kept on disk."""
        found = [
            cache.get(texts, lambda new, number=number: _among(self._base(number).log_probs(new)))  # type: ignore[misc]
            for number, cache in enumerate(self._kept())
        ]
        return torch.stack(found).mean(0)

    def _kept(self) -> list[ScoreCache]:
        if not self._caches:
            self._caches = [
                ScoreCache(cache_folder("scores") / self._key(shots), len(self.labels)) for shots in self.scoring.shots
            ]
        return self._caches

    def _key(self, shots: Shots) -> str:
        """Fingerprint of all that a score depends on but its text."""
        about = self.scoring
        base = about.fingerprint or f"{about.base}@{about.revision}"
        parts = [_FORMAT, base, about.template, shots, self.labels]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()[:24]

    def _base(self, number: int) -> PromptedBase:
        if not self._opened:
            from terakoya.models.pretrained.prompted_base import LabelPrompt, PromptedBase

            model = _open(self.scoring, self.folder, self.device)
            prompts = [LabelPrompt(self.scoring.template, shots) for shots in self.scoring.shots]
            self._opened = [PromptedBase(model, prompt, self.labels) for prompt in prompts]
        return self._opened[number]


def make_evidence(config: ModelConfig, pairs: Sequence[Pair], labels: Sequence[str]) -> BaseEvidence:
    """The evidence of the base that a config names, its examples taken from the training rows.

    config  `base_scores`, an absolute path or a Hub name, with `base_prompt`, `base_shots` and `base_prompts`
    pairs   the training rows
    labels  of the model, in order
    Raises ConfigError, CorruptError or IncompatibleError where the base cannot be used so.
    """
    from terakoya.models.pretrained.checkpoint_files import find_checkpoint, fingerprint_weights
    from terakoya.models.pretrained.prompted_base import NEUTRAL, PLACE

    if config.base_prompt.count(PLACE) != 1:
        raise ConfigError(
            _("the prompt must hold {place} once, where the text stands", place=PLACE),
            where="model.base_prompt",
            do=_("Write it like this: {example}", example=ModelConfig.model_fields["base_prompt"].default),
        )
    local = Path(config.base_scores).is_absolute()
    checkpoint = find_checkpoint(config.base_scores, config.revision)
    fingerprint = fingerprint_weights(Path(config.base_scores)) if local else ""
    shots = _examples(pairs, config.base_shots, config.base_prompts)
    fixed = config.base_weight != "auto"
    weight, alpha = float(config.base_weight) if fixed else UNFITTED[0], UNFITTED[1]
    scoring = BaseScoring(
        config.base_scores, checkpoint.revision, fingerprint, config.base_prompt, shots, (0.0,) * len(labels),
        alpha, weight,
    )  # fmt: skip
    found = BaseEvidence(scoring, labels, Path(config.base_scores).parent)
    prior = found.log_probs(NEUTRAL).mean(0)
    found.scoring, found.is_weight_fixed = replace(scoring, prior=tuple(prior.tolist())), fixed
    return found


def _examples(pairs: Sequence[Pair], count: int, prompts: int) -> tuple[Shots, ...]:
    """The examples of each prompt: rows at even distances, so that every part of the data is shown."""
    rows = list({source_text(pair.query): pair for pair in pairs}.values())
    wanted = min(count * prompts, len(rows)) if count else 0
    chosen = [rows[(2 * index + 1) * len(rows) // (2 * wanted)] for index in range(wanted)]
    shown = [(source_text(pair.query), pair.target) for pair in chosen]
    return tuple(tuple(shown[number::prompts]) for number in range(prompts)) if count else ((),)


def _among(scores: Tensor) -> Tensor:
    """Log-probabilities among the labels alone: how probable it is that a label follows at all says nothing of one."""
    return torch.log_softmax(scores, dim=1)


def _open(scoring: BaseScoring, folder: Path, device: str) -> PretrainedModel:
    from terakoya.models.pretrained.build import build
    from terakoya.models.pretrained.checkpoint_files import find_base

    place = find_base(folder, scoring.base, scoring.fingerprint, scoring.revision)
    wanted = ModelConfig(
        base=str(place.folder) if scoring.fingerprint else scoring.base, revision=scoring.revision,
        head="sequence", vocabulary="full", new_tokens="none",
    )  # fmt: skip
    model: PretrainedModel = build(wanted, [], (), seed=0)  # type: ignore[assignment]
    if model.family != "decoder":
        raise ConfigError(
            _("the base is an encoder-decoder, which was not pretrained to go on from a prompt"),
            where="model.base_scores",
            do=_("Name a causal checkpoint."),
        )
    if device:
        model.module.to(device)
    return model
