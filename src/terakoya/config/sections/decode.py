"""Section [decode]: how predictions are decoded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from terakoya.config.sections.section import Section
from terakoya.i18n import _


class DecodeConfig(Section):
    """How predictions are decoded."""

    engine: Literal["own", "ct2"] = Field(
        default="own",
        description=_(
            "What generates the predictions of a pretrained skill in exams and `terakoya predict`: Terakoya (own), or "
            "CTranslate2 (ct2). That must first predict dev equally, else Terakoya predicts and a finding says why. It "
            "halved the processor time of single predictions; batches over a trimmed vocabulary cost less with own. "
            "Training and serving always have Terakoya's own decoding."
        ),
    )
    method: Literal["greedy", "beam", "sample", "expected-metric"] = Field(
        default="greedy",
        description=_(
            "Decoding of sequence models: greedy search, beam search, sampling, or expected-metric (minimum Bayes risk "
            "over samples; Kumar and Byrne, 2004). Set heads always maximise `decode.objective`."
        ),
    )
    beams: int = Field(default=4, ge=1, description=_('Beam width of the method "beam".'))
    samples: int = Field(
        default=16,
        ge=1,
        description=_('Samples per query of the method "expected-metric".'),
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        description=_("Softmax temperature of sampling; below 1 sharpens the distribution."),
    )
    top_k: int = Field(
        default=0,
        ge=0,
        description=_("Sampling considers only the k most probable tokens. 0: all."),
    )
    top_p: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description=_(
            "Sampling considers only the most probable tokens with this total probability (nucleus sampling). 1: all."
        ),
    )
    repetition_penalty: float = Field(
        default=1.0,
        gt=0,
        description=_("Factor that lowers the scores of tokens already generated (Keskar et al., 2019). 1: none."),
    )
    constrained: bool = Field(
        default=True,
        description=_("Generate only outputs that the codec's grammar permits."),
    )
    objective: Literal["auto", "probability", "jaccard", "f1"] = Field(
        default="auto",
        description=_(
            "What expected-metric decoding and set heads maximise: the probability of an exact match, the expected "
            "Jaccard index, or the expected F1. auto: Jaccard for label sets, else probability."
        ),
    )
    logit_adjustment: float = Field(
        default=0.0,
        ge=0,
        description=_("Strength tau with which the label prior is subtracted when a set head decodes. 0: off."),
    )
    share_cap: float = Field(
        default=1.4,
        ge=0,
        description=_(
            "Set heads: largest share of a frequent label among predictions, as a multiple of its share in training. "
            "The default costs score (Jaccard 0.036 [0.027, 0.045] on the shipped emoji sets): it keeps frequent "
            "labels from crowding out the others. 0: off."
        ),
    )
    max_tokens: int = Field(
        default=0,
        ge=0,
        description=_("Largest number of generated tokens. 0: from the longest target."),
    )
    batch_size: int = Field(
        default=64,
        ge=1,
        description=_("Queries decoded at once; halved where memory runs out, with the same predictions."),
    )
    abstain_below: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=_("Calibrated probability below which a prediction is withheld. 0: never."),
    )
    promise: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description=_(
            "Share of the returned predictions that is promised to be right, such as 0.98: as many as that allows "
            "are returned, all others withheld. The threshold is tested on dev (exact bound, 95%). 0: no promise."
        ),
    )
    novel: Literal["withhold", "predict"] = Field(
        default="withhold",
        description=_(
            "What is done with a source unlike those of training, such as one in another language: withhold its "
            "prediction, or predict. An exam is scored with all predictions, and counts such items."
        ),
    )
    reject: bool = Field(
        default=False,
        description=_(
            "Whether a sequence model is trained to reject ill-formed sources: `train.reject_share` of its rows are "
            "corrupted sources with an empty target, and what it rejects is withheld. For notations in which every "
            "character counts; in free text a source with a character less is still a good one."
        ),
    )
    unknown: Literal["withhold", "predict"] = Field(
        default="withhold",
        description=_(
            "What is done with a source that holds characters the model does not know: withhold its prediction, or "
            "predict from the rest. An exam is scored from the rest, and counts such items."
        ),
    )
    verify: bool = Field(
        default=False,
        description=_("Withhold a prediction from which the task's reverse rule does not reproduce the source."),
    )
