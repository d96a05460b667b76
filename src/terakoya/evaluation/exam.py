"""The exam is opened: the predictions of the model and of every baseline are scored, and the verdict is reached."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from terakoya.config import Config
from terakoya.data.split import group_of
from terakoya.decoding import predict
from terakoya.decoding.confidence import Confidence
from terakoya.decoding.predict import query_of
from terakoya.evaluation.confidence_on_exam import confidence_on_exam
from terakoya.evaluation.perplexity import PerplexityResult, score_perplexity
from terakoya.evaluation.resume import PredictFunction, discard_partial, predict_resumable
from terakoya.evaluation.untrained_base import UntrainedResult
from terakoya.i18n import _, in_every_language
from terakoya.models.protocol import Model, Query
from terakoya.records import Example, Finding, Prediction, Score, Signature, fingerprint, set_fingerprint
from terakoya.runs import Run, seal_of, versions
from terakoya.runs.lifecycle import record_finding
from terakoya.saved_model import Skill
from terakoya.scoring.annotator_agreement import annotator_scores
from terakoya.scoring.baselines.nearest_neighbour import NearestRow, nearest_rows
from terakoya.scoring.baselines.standard import (
    HYBRID,
    UNTRAINED,
    Baseline,
    FitBaseline,
    evenly_spaced,
    installed_baselines,
    make_baselines,
)
from terakoya.scoring.metrics import Metric
from terakoya.scoring.score_predictions import (
    MAIN,
    ScoredPredictions,
    aggregate_scores,
    make_signature,
    prediction_lines,
    score_predictions,
)
from terakoya.scoring.statistics.good_enough import ExamSummary, summary_message
from terakoya.scoring.statistics.verdict import Verdict, verdict, verdict_message
from terakoya.task import Task

ModelFactory = Callable[..., Model]

ResumablePredict = Callable[[Sequence[Query], PredictFunction], list[Prediction]]

BASELINE_ROWS = 20_000  # training rows that baselines are made from
DEV_ITEMS = 2_000  # of dev, that choose the verdict's baseline among them


@dataclass(frozen=True)
class ExamResult:
    """What an exam came to.

    systems     the scored predictions of the model, then of each baseline
    verdict     None where there is nothing to compare the model with
    exam        its items
    head        the model's: sets and sequences are decoded in different ways
    perplexity  where outputs are text
    untrained   what the untrained base predicted; None where there is none
    nearest     the most similar training row of each item; () without training rows
    confidence  of the model; None where it was not measured
    """

    systems: tuple[ScoredPredictions, ...]
    verdict: Verdict | None
    exam: tuple[Example, ...]
    head: str = "sequence"
    perplexity: PerplexityResult | None = None
    untrained: UntrainedResult | None = None
    nearest: tuple[NearestRow | None, ...] = ()
    confidence: Confidence | None = None

    @property
    def best_baseline(self) -> ScoredPredictions | None:
        """The best baseline's predictions, where outputs are text: people want to read both."""
        name = self.verdict.best if self.verdict and self.perplexity else ""
        return next((scored for scored in self.systems[1:] if scored.system == name), None)


UNKNOWN_SHARE = 0.01  # of the exam's items, from which on unknown characters are a warning


def examine(
    model: Model,
    task: Task,
    config: Config,
    exam: Sequence[Example],
    *,
    max_tokens: int,
    train: Sequence[Example] = (),
    dev: Sequence[Example] = (),
    resumable: ResumablePredict | None = None,
    predictor: Skill | None = None,
    untrained: Callable[[], UntrainedResult | None] | None = None,
    confidence: Confidence | None = None,
    other_seeds: Sequence[Sequence[float]] = (),
    openings: int = 1,
) -> ExamResult:
    """Predict and score every item of the exam, with the model and with the baselines.

    model       trained
    task        brings codec, metrics, rule and baselines
    config      decoding, seed, resamples, smallest gain
    exam        the items
    max_tokens  longest prediction
    train       training examples, for baselines; () makes none
    dev         dev examples, for baselines that choose something
    resumable   keeps predictions while they are made, and reads back those kept before (`resumable_predictor`)
    predictor   predicts in place of `model`, as equal as it was shown to be; None: the model
    untrained   predictions of the untrained base, where there is one (`untrained_base.predict_untrained_base`)
    confidence  of the model; its promise is reported on the exam, and what it withholds is scored all the same
    other_seeds  scores of the main subset's items for each further seed of the same recipe
    openings    settings that this exam was opened with, these included: the verdict is corrected for them
    """

    def predict_chunk(queries: Sequence[Query]) -> list[Prediction]:
        if predictor is not None:
            return predictor.predict_queries(queries)
        return predict.predict_queries(
            model, queries, task, config.decode, max_tokens=max_tokens, seed=config.seed, confidence=confidence
        )

    queries = [query_of(example) for example in exam]
    predictions = predict_chunk(queries) if resumable is None else resumable(queries, predict_chunk)
    systems = [score_predictions("model", exam, predictions, task.codec, task.metrics, group_of=group_of)]
    more = {**task.baselines, **installed_baselines(config.score.baselines)}
    baselines = _baselines(task, train, dev, more, refit=config.train.refit is True)
    systems += [_score_baseline(baseline, task, exam) for baseline in baselines]
    before = untrained() if untrained is not None else None
    if before is not None and before.predictions:
        systems.append(
            score_predictions(UNTRAINED, exam, before.predictions, task.codec, task.metrics, group_of=group_of)
        )
    systems += _score_hybrid(task, exam, predictions)
    texts = task.codec.name == "text" and model.head != "set"
    perplexity = score_perplexity(model, task, exam, train) if texts else None
    dev_scores = _dev_scores(baselines, task, dev, refit=config.train.refit is True)
    if dev_scores is not None and before is not None and before.predictions:
        dev_scores[UNTRAINED] = before.dev_score
    reached = _verdict(systems, task, config, dev_scores, other_seeds, openings, trained=bool(train))
    nearest = _nearest(task, train, exam)
    return ExamResult(tuple(systems), reached, tuple(exam), model.head, perplexity, before, nearest, confidence)


def write_exam(run: Run, result: ExamResult, task: Task, config: Config, *, where: str = "") -> None:
    """Write predictions.jsonl and scores.json.

    run     the run folder
    result  of the exam
    task    names the deciding metric and kinds of error
    config  seed and resamples of the intervals
    where   folder inside the run, "" the run itself
    """
    run.rewrite(f"{where}predictions.jsonl")
    lines = prediction_lines(
        result.systems[0], task.metric, task.error_kind, result.best_baseline, nearest=result.nearest
    )
    for line in lines:
        run.append(f"{where}predictions.jsonl", line)
    signature_of = _signature_of(result.exam, task, config, result.head)
    intervals = {"seed": config.seed, "resamples": config.score.resamples}
    scores = [
        score
        for scored in result.systems
        for score in aggregate_scores(scored, task.metrics, signature_of, **intervals)
    ]
    if task.annotators:
        scores += annotator_scores(
            result.exam, task.annotators, task.codec, task.metrics, signature_of, group_of=group_of, **intervals
        )
    values = {"verdict": _verdict_values(result.verdict)}
    if summary := exam_summary(result.systems[0], scores, task.metric, config.score.good_enough):
        values["summary"] = {**asdict(summary), "words": in_every_language(summary_message(summary))}
    if unknown := unknown_finding(result):
        values["unknown_characters"] = dict(unknown.values)
        if not where:
            record_finding(run, unknown)
    if measured := confidence_on_exam(result.systems[0].subset(MAIN), task.metric, result.confidence, config.decode):
        values["confidence"] = measured.to_dict()
        if not where:
            for finding in measured.findings():
                record_finding(run, finding)
    if before := result.untrained:
        values["untrained_base"] = dict(before.choice)
        if before.finding and not where:
            record_finding(run, before.finding)
    if result.perplexity:
        scores += result.perplexity.scores(result.exam)
        values["perplexity"] = result.perplexity.to_dict()
    run.write_json(f"{where}scores.json", {"scores": scores, **values})
    discard_partial(run, where=where)


def exam_summary(
    model: ScoredPredictions, scores: Sequence[Score], metric: str, good_enough: float
) -> ExamSummary | None:
    """The model's exam in plain numbers; None where its main subset is empty.

    model        its scored predictions
    scores       of all systems
    metric       name of the deciding one
    good_enough  the mean score that is good enough; 0: none is set
    """
    values = model.subset(MAIN).item_scores(metric)
    own = (score for score in scores if score.who == model.system and score.metric == metric and score.subset == MAIN)
    found = next(own, None) if values else None
    if found is None:
        return None
    right = sum(value >= 1 for value in values)
    partly = sum(0 < value < 1 for value in values)
    return ExamSummary(right, len(values), found.value, found.low, found.high, good_enough, partly)


def settings_fingerprint(config: Config) -> str:
    """Fingerprint of the settings that tell two openings of an exam apart: seed, language, machine and engine do not.

    config  resolved; of paths only the last part counts, because they are relative to different folders
    """
    left_out: Any = {"seed": True, "lang": True, "device": True, "train": {"seeds"}, "decode": {"engine"}}
    left_out["score"] = {"curve_minutes"}
    values = config.model_dump(mode="json", exclude=left_out)
    values["train"].pop("threads", None)
    values["task"] |= {key: Path(values["task"][key]).name for key in ("data", "dev", "exam", "use")}
    # Runs before there was this setting were opened without it: no corrections are no other setting.
    if corrections := Path(values["task"].pop("corrections")).name:
        values["task"]["corrections"] = corrections
    values["model"]["base"] = Path(values["model"]["base"]).name
    return fingerprint(json.dumps(values, sort_keys=True, default=str))


def unknown_finding(result: ExamResult) -> Finding | None:
    """How many items hold characters that the model does not know, and which characters; None where none does.

    result  of the exam
    """
    found = [(item.example, item.prediction.unknown) for item in result.systems[0].items if item.prediction.unknown]
    if not found:
        return None
    count, items = len(found), len(result.exam)
    characters = "".join(dict.fromkeys("".join(unknown for _example, unknown in found)))[:40]
    return Finding(
        "unknown-characters",
        "warn" if count >= UNKNOWN_SHARE * items else "note",
        _(
            "{count} of {items} exam items hold characters that the model does not know ({characters}); it predicted "
            "from the rest",
            count=count,
            items=items,
            characters=characters,
        ),
        where="exam",
        do=_("Bring training rows with these characters. `terakoya predict` withholds such predictions."),
        rows=tuple(example.row for example, _unknown in found if example.row)[:20],
        values={"items": float(count)},
    )


def resumable_predictor(run: Run, skill: Skill, exam: Sequence[Example], *, where: str = "") -> ResumablePredict:
    """What `examine` takes as `resumable`: predictions of this skill on this exam, kept in the run's folder.

    run    the run folder
    skill  the trained model; predictions of another one are not read back
    exam   the items
    where  folder inside the run
    """
    decode = predict.describe_decoding(skill.config.decode, head=skill.model.head)
    environment = (str(versions()), str(skill.config.seed), str(skill.max_tokens))
    key = fingerprint(set_fingerprint(exam), decode, seal_of(skill.folder), *environment)

    def resumable(queries: Sequence[Query], predict_chunk: PredictFunction) -> list[Prediction]:
        return predict_resumable(run, key, queries, predict_chunk, where=where)

    return resumable


def _signature_of(exam: Sequence[Example], task: Task, config: Config, head: str) -> Callable[[Metric], Signature]:
    decoding = predict.describe_decoding(config.decode, head=head)
    labels = getattr(task.codec, "labels", ())

    def signature_of(metric: Metric) -> Signature:
        return make_signature(exam, metric, decoding=decoding, codec=task.codec, labels=labels)

    return signature_of


def _baselines(
    task: Task, train: Sequence[Example], dev: Sequence[Example], more: Mapping[str, FitBaseline], *, refit: bool
) -> list[Baseline]:
    if not train:
        return []
    made = make_baselines(
        train[:BASELINE_ROWS],
        dev,
        metric=task.metrics[task.metric],
        canonical=task.codec.canonical,
        labels=task.codec.name.startswith("labels"),
        rule=task.rule,
        names=task.label_names,
        more=more,
        refit=refit,
    )
    return list(made.values())


def _nearest(task: Task, train: Sequence[Example], exam: Sequence[Example]) -> tuple[NearestRow | None, ...]:
    """The most similar training row of each item, its target in the form in which predictions are compared."""
    if not train:
        return ()
    found = nearest_rows(train[:BASELINE_ROWS])([example.source for example in exam])
    return tuple(row and replace(row, target=task.codec.canonical(row.target)) for row in found)


def _score_baseline(baseline: Baseline, task: Task, exam: Sequence[Example]) -> ScoredPredictions:
    texts = baseline.predict([example.source for example in exam])
    predictions = [Prediction(example.source, text or "", text) for example, text in zip(exam, texts, strict=True)]
    return score_predictions(baseline.name, exam, predictions, task.codec, task.metrics, group_of=group_of)


def _dev_scores(
    baselines: Sequence[Baseline], task: Task, dev: Sequence[Example], *, refit: bool
) -> dict[str, float] | None:
    """Each baseline's mean score on dev, which chooses the verdict's baseline; None where dev is among the training
    rows or empty, so that the exam has to choose."""
    items = evenly_spaced([item for item in dev if not task.is_memorised(item) and item.subset == MAIN], DEV_ITEMS)
    if refit or not items:
        return None
    scored = {one.name: _score_baseline(one, task, items).item_scores(task.metric) for one in baselines}
    return {name: sum(values) / len(values) for name, values in scored.items()}


def _score_hybrid(task: Task, exam: Sequence[Example], predictions: Sequence[Prediction]) -> list[ScoredPredictions]:
    """The rule, and the model where the rule abstains; only where it abstains on some items and not on all."""
    if task.rule is None:
        return []
    outputs = [task.rule(example.source) for example in exam]
    if all(output is not None for output in outputs) or all(output is None for output in outputs):
        return []
    merged = [
        prediction if output is None else Prediction(prediction.source, output, task.codec.canonical(output))
        for output, prediction in zip(outputs, predictions, strict=True)
    ]
    return [score_predictions(HYBRID, exam, merged, task.codec, task.metrics, group_of=group_of)]


def _verdict(
    systems: Sequence[ScoredPredictions],
    task: Task,
    config: Config,
    dev: Mapping[str, float] | None,
    other_seeds: Sequence[Sequence[float]],
    openings: int,
    *,
    trained: bool,
) -> Verdict | None:
    """Over the main subset, in the task's first metric. The hybrid is no baseline: it contains the model."""
    model = systems[0].subset(MAIN)
    baselines = {scored.system: scored.subset(MAIN) for scored in systems[1:] if scored.system != HYBRID}
    exempt = {"rule"} if task.rule_exempt else set()
    if not model.items or not set(baselines) - exempt:
        return None
    return verdict(
        [model.item_scores(task.metric), *other_seeds],
        {name: scored.item_scores(task.metric) for name, scored in baselines.items()},
        exempt=exempt,
        smallest_gain=config.score.smallest_gain,
        seed=config.seed,
        resamples=config.score.resamples,
        dev=dev,
        groups=model.groups,
        openings=openings,
        trained=trained,
    )


def _verdict_values(reached: Verdict | None) -> dict[str, Any]:
    if reached is None:
        message = _("No verdict: there is nothing to compare the model with.")
        return {"state": "no verdict", "words": in_every_language(message)}
    return {**asdict(reached), "words": in_every_language(verdict_message(reached))}
