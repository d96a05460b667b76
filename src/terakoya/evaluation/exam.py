"""The exam is opened: the model and every baseline hand in a sheet, and the verdict is spoken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from terakoya.config import Config
from terakoya.decoding import predict
from terakoya.decoding.predict import query_of
from terakoya.evaluation.perplexity import Foreseen, foreseen
from terakoya.evaluation.resume import Answering, answered, clear
from terakoya.models.protocol import Model, Query
from terakoya.records import Example, Prediction, Signature, fingerprint, set_fingerprint
from terakoya.runs import Run, seal_of, versions
from terakoya.saved_model import Skill
from terakoya.scoring.baselines.standard import Baseline, baselines
from terakoya.scoring.judging import ScoredPredictions, judged, lines, scores, signature
from terakoya.scoring.metrics import Metric
from terakoya.scoring.statistics.verdict import Verdict, verdict
from terakoya.task import Task

Maker = Callable[..., Model]

Keep = Callable[[Sequence[Query], Answering], list[Prediction]]

BASELINE_ROWS = 20_000  # training rows that baselines are made from


@dataclass(frozen=True)
class ExamResult:
    """The judged sheets, the model's first; and the verdict, None where there is nothing to judge by."""

    sheets: tuple[ScoredPredictions, ...]
    verdict: Verdict | None
    exam: tuple[Example, ...]
    head: str = "sequence"  # of the model: sets and sequences are asked for in different ways
    foreseen: Foreseen | None = None  # where answers are text

    @property
    def beside(self) -> ScoredPredictions | None:
        """The best baseline, where answers are text: people want to read both."""
        name = self.verdict.best if self.verdict and self.foreseen else ""
        return next((sheet for sheet in self.sheets[1:] if sheet.who == name), None)


def examine(
    model: Model,
    task: Task,
    config: Config,
    exam: Sequence[Example],
    *,
    max_tokens: int,
    train: Sequence[Example] = (),
    dev: Sequence[Example] = (),
    keep: Keep | None = None,
) -> ExamResult:
    """Ask the model every question of the exam, and let the baselines answer beside it.

    `keep` has the answers kept while they are given, and given again where they were kept before.
    """

    def answer(asks: Sequence[Query]) -> list[Prediction]:
        return predict.predictions(model, asks, task, config.decode, max_tokens=max_tokens, seed=config.seed)

    asks = [query_of(example) for example in exam]
    found = answer(asks) if keep is None else keep(asks, answer)
    sheets = [judged("model", exam, found, task.codec, task.metrics)]
    rivals = _baselines(task, train, dev, refit=config.train.refit is True)
    sheets += [_handed_in(baseline, task, exam) for baseline in rivals]
    sheets += _hybrid(task, exam, found)
    texts = task.codec.name == "text" and model.head != "set"
    told = foreseen(model, task, exam, train) if texts else None
    return ExamResult(tuple(sheets), _verdict(sheets, task, config), tuple(exam), model.head, told)


def write_exam(run: Run, examined: ExamResult, task: Task, config: Config, *, where: str = "") -> None:
    """predictions.jsonl and scores.json, in the run's folder or the folder `where` inside it."""
    run.restart(f"{where}predictions.jsonl")
    for line in lines(examined.sheets[0], task.metric, task.error_kind, examined.beside):
        run.append(f"{where}predictions.jsonl", line)
    told = [
        score
        for sheet in examined.sheets
        for score in scores(
            sheet,
            task.metrics,
            _signer(examined.exam, task, config, examined.head),
            seed=config.seed,
            resamples=config.score.resamples,
        )
    ]
    values = {"verdict": _verdict_values(examined.verdict)}
    if examined.foreseen:
        told += examined.foreseen.scores(examined.exam)
        values["foreseen"] = examined.foreseen.facts()
    run.write_json(f"{where}scores.json", {"scores": told, **values})
    clear(run, where=where)


def kept_in(run: Run, skill: Skill, exam: Sequence[Example], *, where: str = "") -> Keep:
    """Answers of this skill to this exam, kept in the run's folder, or in the folder `where` inside it."""
    decode = predict.described(skill.config.decode, head=skill.model.head)
    world = (str(versions()), str(skill.config.seed), str(skill.max_tokens))
    made = fingerprint(set_fingerprint(exam), decode, seal_of(skill.folder), *world)

    def keep(asks: Sequence[Query], answer: Answering) -> list[Prediction]:
        return answered(run, made, asks, answer, where=where)

    return keep


def _signer(exam: Sequence[Example], task: Task, config: Config, head: str) -> Any:
    decoding = predict.described(config.decode, head=head)
    labels = getattr(task.codec, "labels", ())

    def made(metric: Metric) -> Signature:
        return signature(exam, metric, decoding=decoding, codec=task.codec, labels=labels)

    return made


def _baselines(task: Task, train: Sequence[Example], dev: Sequence[Example], *, refit: bool) -> list[Baseline]:
    if not train:
        return []
    made = baselines(
        train[:BASELINE_ROWS],
        dev,
        metric=task.metrics[task.metric],
        canonical=task.codec.canonical,
        labels=task.codec.name.startswith("labels"),
        rule=task.rule,
        names=task.label_names,
        more=task.baselines,
        refit=refit,
    )
    return list(made.values())


def _handed_in(baseline: Baseline, task: Task, exam: Sequence[Example]) -> ScoredPredictions:
    answers = baseline.many([example.source for example in exam])
    found = [Prediction(example.source, answer or "", answer) for example, answer in zip(exam, answers, strict=True)]
    return judged(baseline.name, exam, found, task.codec, task.metrics)


def _hybrid(task: Task, exam: Sequence[Example], found: Sequence[Prediction]) -> list[ScoredPredictions]:
    """Rules where they are sure, the model where they abstain; only where the rules do abstain somewhere."""
    if task.rule is None:
        return []
    ruled = [task.rule(example.source) for example in exam]
    if all(answer is not None for answer in ruled) or all(answer is None for answer in ruled):
        return []
    merged = [
        answer if rule is None else Prediction(answer.source, rule, task.codec.canonical(rule))
        for rule, answer in zip(ruled, found, strict=True)
    ]
    return [judged("hybrid", exam, merged, task.codec, task.metrics)]


def _verdict(sheets: Sequence[ScoredPredictions], task: Task, config: Config) -> Verdict | None:
    """Over the main part of the exam, in the task's first metric. The hybrid is no baseline: it holds the model."""
    model, rivals = sheets[0].part(""), {sheet.who: sheet.part("") for sheet in sheets[1:] if sheet.who != "hybrid"}
    exempt = {"rule"} if task.rule_exempt else set()
    if not model.items or not set(rivals) - exempt:
        return None
    return verdict(
        model.values(task.metric),
        {who: sheet.values(task.metric) for who, sheet in rivals.items()},
        exempt=exempt,
        smallest_gain=config.score.smallest_gain,
        seed=config.seed,
        resamples=config.score.resamples,
    )


def _verdict_values(spoken: Verdict | None) -> dict[str, Any]:
    if spoken is None:
        words = {"en": "No verdict: there is nothing to judge by.", "ja": "判定なし: 比べるものがない。"}
        return {"state": "no verdict", "words": words}
    return {**asdict(spoken), "words": {lang: spoken.words(lang) for lang in ("en", "ja")}}
