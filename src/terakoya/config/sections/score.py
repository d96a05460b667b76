"""Section [score]: how the exam is scored."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from terakoya.config.installed_name import InstalledName
from terakoya.config.sections.section import Section
from terakoya.errors.third_party import entry_points
from terakoya.i18n import _


class ScoreConfig(Section):
    """How the exam is scored."""

    smallest_gain: float = Field(
        default=0.02,
        ge=0,
        description=_("Smallest gain over the best baseline, in units of the metric, that counts as worthwhile."),
    )
    good_enough: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=_(
            "Mean score on the exam, in units of the metric, that is good enough for what the model is wanted for; "
            "the record then says first whether it is reached. 0: none is set."
        ),
    )
    curve_minutes: float = Field(
        default=3.0,
        ge=0,
        description=_(
            "Longest expected time, in minutes, of a learning curve that a run trains by itself, before the exam, "
            "where it scores much higher on its training rows than on dev. Three times its own training is expected; "
            "where that is longer, the record names the command. 0: never by itself."
        ),
    )
    exam_items: int = Field(
        default=0,
        ge=0,
        description=_("Size of the exam of a task that generates it by rule. 0: the task's own."),
    )
    resamples: int = Field(
        default=2000,
        ge=100,
        description=_("Bootstrap resamples of the confidence intervals."),
    )
    baselines: tuple[Annotated[str, InstalledName(entry_points.BASELINES, ())], ...] = Field(
        default=(),
        description=_("Baselines of installed packages, beside the standard ones. []: none."),
    )
    untrained_base: bool = Field(
        default=True,
        description=_(
            "With a pretrained base, the base as it was before training takes the exam too, as a baseline. false: it "
            "does not."
        ),
    )
    untrained_shots: int = Field(
        default=16,
        ge=0,
        description=_(
            "Largest number of training examples in the prompt of the untrained base; 0, 2, 4, 8 … are tried on dev. "
            "0: zero-shot only. Encoder-decoders always predict zero-shot."
        ),
    )
    untrained_minutes: float = Field(
        default=10.0,
        gt=0,
        description=_(
            "Time budget of the untrained base in minutes: no larger number of examples is tried where dev and exam "
            "would take longer, and it is left out where even zero-shot would."
        ),
    )
