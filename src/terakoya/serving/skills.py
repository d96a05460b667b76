"""The skills that are served, by the names that clients call models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, DataError
from terakoya.i18n import _
from terakoya.models.protocol import Pair, Query
from terakoya.records import Prediction
from terakoya.saved_model import Skill, model_folder, read_skill


@dataclass(frozen=True)
class Output:
    """A prediction with what a response says of it.

    prediction  of the skill
    fits        whether the model could read the whole input; without it the prediction is empty
    prompt      tokens of the input; the characters of a built-in model are its tokens
    generated   tokens of the output
    """

    prediction: Prediction
    fits: bool
    prompt: int
    generated: int


@dataclass(frozen=True)
class ServedSkill:
    """A skill under its name.

    name     that requests give as `model`
    skill    that predicts
    created  when its model was written, in seconds since 1970
    """

    name: str
    skill: Skill
    created: int

    def predict(self, queries: Sequence[Query]) -> list[Output]:
        """The predictions for `queries`, in their order, as `Skill.predict` makes them."""
        predictions = self.skill.predict([query.source for query in queries], [query.turns for query in queries])
        return [self._output(query, one) for query, one in zip(queries, predictions, strict=True)]

    def _output(self, query: Query, prediction: Prediction) -> Output:
        model = self.skill.model
        if prediction.text is None and not prediction.raw and not model.fits(query):
            return Output(prediction, False, 0, 0)
        prompt, generated = _token_counts(model, query, prediction.raw)
        return Output(prediction, True, prompt, generated)


def _token_counts(model: Any, query: Query, raw: str) -> tuple[int, int]:
    if model.head == "set":
        return len(query.source), len(raw.split())
    if not hasattr(model, "module"):  # in numpy: a token is a character
        return int(model.length(query)), len(raw)
    prompt = int(model.length(Pair(query, "")))
    try:
        return prompt, int(model.length(Pair(query, raw))) - prompt
    except DataError:  # an output that no target could be, such as one of control tokens
        return prompt, len(raw)


def open_skills(runs: Sequence[Path], overrides: Sequence[str] = ()) -> dict[str, ServedSkill]:
    """Open skills for prediction, each under a name of its own.

    runs       run folders or model folders
    overrides  KEY=VALUE settings of decoding, for all of them
    Returns them by name: the experiment's, or that of the run folder where two are of one experiment. Raises
    ConfigError where a folder is named twice or a setting has no effect here, and what `read_skill` raises.
    """
    if any(one.partition("=")[0].strip() == "decode.engine" for one in overrides):
        raise ConfigError(
            _("a server predicts with Terakoya's own decoding, whatever decode.engine says"),
            where="decode.engine",
            do=_("Leave decode.engine out of what you serve; `terakoya predict` goes by it."),
        )
    opened = [(run, read_skill(run, tuple(overrides), predict_only=True)) for run in runs]
    experiments = [skill.config.name for _run, skill in opened]
    served: dict[str, ServedSkill] = {}
    for run, skill in opened:
        own = skill.config.name
        name = own if own and experiments.count(own) == 1 else run.resolve().name
        if name in served:
            raise ConfigError(
                _("two of the skills have the name '{name}'", name=name),
                where=str(run),
                do=_("Name each run once; two model folders of one name need different folders."),
            )
        written = (model_folder(run) / "terakoya.json").stat().st_mtime
        served[name] = ServedSkill(name, skill, int(written))
    return served
