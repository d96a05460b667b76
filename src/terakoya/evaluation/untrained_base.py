"""The untrained base as a baseline: what the pretrained checkpoint predicts before anything was trained.

    result = predict_untrained_base(run, skill, split) # an UntrainedResult; None where the model was made from nothing
    result.predictions                                 # one for each exam item, kept in untrained-base.jsonl

Choice and predictions are kept in the run's folder as they are made, so an interrupted exam predicts nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any

import numpy as np

from terakoya import registry
from terakoya.decoding import move_to_device
from terakoya.decoding.label_choice import choose_on_dev, make_label_decoder
from terakoya.decoding.predict import query_of
from terakoya.errors import TerakoyaError
from terakoya.errors.third_party.entry_points import MODELS
from terakoya.evaluation.few_shot import FewShotExaminee
from terakoya.evaluation.resume import predict_resumable
from terakoya.i18n import _
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.protocol import Query
from terakoya.records import Finding, Prediction, Split, fingerprint, set_fingerprint
from terakoya.runs import Run, versions
from terakoya.saved_model import Skill
from terakoya.scoring.score_predictions import canonical_targets
from terakoya.training.prepare import supported_precision

CHOICE_FILE, FILE = "untrained-base.json", "untrained-base.jsonl"
_CHUNK = 32  # queries
_CHECK = "untrained-base"


@dataclass(frozen=True)
class UntrainedResult:
    """What the untrained base predicted.

    predictions  one for each exam item, in order; () where it was left out
    choice       what was chosen on dev: shots, mean dev score by number of shots, and why no more were tried
    finding      why it was left out; None where it was not
    """

    predictions: tuple[Prediction, ...] = ()
    choice: Mapping[str, Any] = field(default_factory=dict)
    finding: Finding | None = None

    @property
    def dev_score(self) -> float:
        """Its mean score on dev with the chosen number of examples."""
        return float(self.choice["dev"][str(self.choice["shots"])])


def predict_untrained_base(
    run: Run, skill: Skill, split: Split, *, where: str = "", clock: Callable[[], float] = monotonic
) -> UntrainedResult | None:
    """The untrained base takes the exam; what it predicted before is read back.

    run    keeps choice and predictions
    skill  trained from the base that its config names
    split  train for the examples of the prompt, dev to choose their number, exam
    where  folder inside the run, "" the run itself
    clock  seconds, for the time budget
    Returns None where there is no such baseline: `score.untrained_base` is off, the model was made from nothing, or
    there are no training rows. The base of `model.base_scores` predicts by the scores that it gave the model.
    """
    config = skill.config
    if not config.score.untrained_base or not split.train:
        return None
    if getattr(skill.model, "evidence", None) is not None:
        return predict_by_base_scores(skill, split)
    if config.model.base in registry.names(MODELS):
        return None
    base, key = _Base(skill, split), _key(skill, split)
    kept = next((place for place in (where, "") if _kept(run, place).get("key") == key), None)
    if kept is None:
        try:
            choice = base.examinee().choose(clock)
        except TerakoyaError as error:
            return UntrainedResult(finding=_left_out(error))
        if "shots" not in choice:
            return UntrainedResult(choice=choice, finding=_over_budget(choice, len(split.exam)))
        run.write_json(f"{where}{CHOICE_FILE}", {"key": key, "choice": choice})
        kept = where
    choice = _kept(run, kept)["choice"]

    def predict(queries: Sequence[Query]) -> list[Prediction]:
        return base.examinee().predict(choice, queries)

    queries = [query_of(example) for example in split.exam]
    found = predict_resumable(run, fingerprint(key, str(choice)), queries, predict, where=kept, file=FILE, chunk=_CHUNK)
    return UntrainedResult(tuple(found), choice)


def predict_by_base_scores(skill: Skill, split: Split) -> UntrainedResult | None:
    """The sets that the scores of `model.base_scores` alone give, made of them as label_choice.py says.

    skill  a set model with a base; the scores of every text are kept
    split  train for the sizes of sets, dev to choose the decoding, exam
    Returns None without dev.
    """
    base, codec, metric = skill.model.evidence, skill.task.codec, skill.task.metrics[skill.task.metric]  # type: ignore[attr-defined]
    dev = [item for item in split.dev if skill.model.fits(query_of(item))]
    if not dev:
        return None
    sizes = [len(codec.parse(row.target)) for row in split.train]  # type: ignore[attr-defined]
    objective: Any = "f1" if skill.task.metric == "f1" else "jaccard"
    decoder = make_label_decoder(skill.model.labels, np.array([base.scoring.prior]), sizes, objective)
    targets = [canonical_targets(codec, (item.target, *item.accepted)) for item in dev]
    scores = base.log_probs_of([query_of(item) for item in dev]).double().numpy()
    choice, value = choose_on_dev(decoder, scores, lambda text, at: metric.score(text, targets[at]))
    exam = [query_of(item) for item in split.exam]
    fitting = [query for query in exam if skill.model.fits(query)]
    found = iter(decoder.sets(base.log_probs_of(fitting).double().numpy(), choice) if fitting else [])
    sets = [next(found) if skill.model.fits(query) else None for query in exam]
    shots = skill.config.model.base_shots
    predictions = [Prediction(query.source, text or "", text) for query, text in zip(exam, sets, strict=True)]
    return UntrainedResult(
        tuple(predictions),
        {"shots": shots, "dev": {str(shots): value}, "decoding": asdict(choice), "base": base.name},
    )


class _Base:
    """The base of a skill, opened when it is first needed: an exam whose predictions are all kept does not need it."""

    def __init__(self, skill: Skill, split: Split) -> None:
        self.skill, self.split = skill, split
        self._examinee: FewShotExaminee | None = None

    def examinee(self) -> FewShotExaminee:
        if self._examinee is None:
            self._examinee = FewShotExaminee(open_untrained(self.skill), self.skill.task, self.skill.config, self.split)
        return self._examinee


def open_untrained(skill: Skill) -> PretrainedModel:
    """The base of a skill as it was before training: no added tokens, no adapters, its whole vocabulary.

    skill  trained from a pretrained base
    Raises a TerakoyaError where the base cannot be opened any more.
    """
    untouched = {"adaptation": "full", "new_tokens": "none", "vocabulary": "full", "head": "sequence"}
    unbounded = {"max_source": 0, "max_target": 0}
    model = supported_precision(skill.config.model).model_copy(update=untouched | unbounded)
    make = registry.find_model_maker(model.base, skill.folder)
    base = make(model, [], (), seed=skill.config.seed, instruction=skill.task.instruction)
    opened: PretrainedModel = move_to_device(base, skill.config.device)  # type: ignore[assignment]
    return opened


def _key(skill: Skill, split: Split) -> str:
    """All that the predictions depend on, the time budget apart."""
    config = skill.config
    parts = [set_fingerprint(part) for part in (split.train, split.dev, split.exam)]
    settings = (config.model.base, config.model.revision, config.model.template, config.model.instruction)
    metric = skill.task.metrics[skill.task.metric].signature
    decode = (config.decode.constrained, config.decode.verify, config.decode.max_tokens, config.decode.unknown)
    shots = str(config.score.untrained_shots)
    return fingerprint(*parts, *settings, skill.task.codec.name, metric, str(decode), shots, str(versions()))


def _kept(run: Run, where: str) -> Mapping[str, Any]:
    name = f"{where}{CHOICE_FILE}"
    return run.read_json(name) if run.has(name) else {}


def _left_out(error: TerakoyaError) -> Finding:
    return Finding(
        _CHECK,
        "warn",
        _("the untrained base is no baseline here, for it could not be opened: {what}", what=error.what),
        where=error.where,
        do=error.do or _("Bring its checkpoint back, or set score.untrained_base = false."),
    )


def _over_budget(choice: Mapping[str, Any], items: int) -> Finding:
    minutes, budget = float(choice["minutes_needed"]), float(choice["minutes"])
    return Finding(
        _CHECK,
        "warn",
        _(
            "the untrained base is no baseline here: {items} exam items would take it {minutes:.1f} minutes, and "
            "score.untrained_minutes is {budget:g}",
            items=items,
            minutes=minutes,
            budget=budget,
        ),
        where="exam",
        do=_("Raise score.untrained_minutes, or set score.untrained_base = false."),
        values={"minutes": minutes},
    )
