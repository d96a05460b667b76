"""`terakoya ladder`: rules, tables, models of every size and a teacher on one exam, within a budget of minutes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from terakoya import registry
from terakoya.config import Config, with_overrides
from terakoya.errors import ConfigError, TerakoyaError
from terakoya.errors.third_party.entry_points import MODELS
from terakoya.i18n import _, in_every_language
from terakoya.pipeline.curve import keep_in_run, subject_dataset
from terakoya.pipeline.dataset import Dataset
from terakoya.pipeline.run import RUNS, train
from terakoya.runs import Index, write_json
from terakoya.runs.folder import now
from terakoya.runs.progress import Listener, SilentListener
from terakoya.runs.validation import new_folder

if TYPE_CHECKING:
    from terakoya.evaluation.ladder import Contender, Ladder, PredictExamples, Rung
    from terakoya.records import Example, Prediction
    from terakoya.saved_model import Skill

LADDER_FILE = "ladder.json"  # in the run folder, or in the ladder's own
SIZES = ("tiny", "small", "base")
_TEACHER_SHOTS = 8
_FOR_TRAINING = 0.8  # of the budget; the rest is for predictions
_LEAST_MINUTES = 0.05  # below which no training begins


@dataclass
class _Trainings:
    """The models of a ladder, each trained within its share of what is left of the budget."""

    dataset: Dataset
    run: Path | None
    folder: Path
    minutes: float
    listener: Listener
    started: float = field(default_factory=perf_counter)
    left_out: list[Rung] = field(default_factory=list)

    def contenders(self, sizes: Sequence[str]) -> Iterator[Contender]:
        """The run itself, the built-in sizes, and the pretrained base of the config, untrained and trained."""
        own = self.dataset.config.model.base
        pretrained = own not in registry.names(MODELS)
        bases = [*(size for size in sizes if size != own or self.run is None), *([own] if pretrained else [])]
        if self.run is not None:
            yield self._of_run(self.run, own)
            bases = [base for base in bases if base != own]
        for at, base in enumerate(bases):
            path = self._trained(base, len(bases) - at)
            if path is not None:
                yield self._of_run(path, base)
                if base == own and pretrained:
                    yield from self._untrained(path)
        if self.run is not None and pretrained:
            yield from self._untrained(self.run)

    def _left(self) -> float:
        return _FOR_TRAINING * self.minutes - (perf_counter() - self.started) / 60

    def _trained(self, base: str, models: int) -> Path | None:
        from terakoya.evaluation.ladder import Rung

        share = self._left() / models
        if share < _LEAST_MINUTES:
            note = _("no time was left of {minutes:g} minutes: raise --minutes", minutes=self.minutes)
            self.left_out.append(Rung(_short(base), note=note))
            return None
        wanted = self.dataset.config.train.minutes
        limit = min(share, wanted) if wanted else share
        settings = [f"model.base={base}", f"train.minutes={limit:.4f}", "train.refit=false", "train.seeds=1"]
        config = with_overrides(self.dataset.config, settings)
        self.listener.stage("ladder", _("{base}: at most {minutes:.1f} minutes", base=base, minutes=limit))
        try:
            return train(_rebased(config, self.dataset.folder), run_dir=self.folder).folder
        except TerakoyaError as error:
            self.left_out.append(Rung(_short(base), note=error.what))
            return None

    def _skill(self, path: Path) -> Skill:
        from terakoya.saved_model import read_skill

        return read_skill(path, task=self.dataset.task)

    def _of_run(self, path: Path, base: str) -> Contender:
        from terakoya.evaluation.ladder import Contender
        from terakoya.runs import Run

        skill, manifest = self._skill(path), Run.open(path).manifest
        seconds = float((manifest.get("training") or {}).get("seconds") or 0)
        name = _("{base}, trained", base=_short(base))
        return Contender(name, _predictor(skill), int(skill.model.info.weights), seconds / 60)

    def _untrained(self, path: Path) -> Iterator[Contender]:
        """The base as it was before training, with examples in its prompt; their number is chosen on dev."""
        from terakoya.decoding.predict import query_of
        from terakoya.evaluation.few_shot import FewShotExaminee
        from terakoya.evaluation.ladder import Contender, Rung
        from terakoya.evaluation.untrained_base import open_untrained

        skill, split = self._skill(path), self.dataset.split
        base = _short(skill.config.model.base)
        try:
            model = open_untrained(skill)
            examinee = FewShotExaminee(model, self.dataset.task, skill.config, split)
            choice = examinee.choose(perf_counter)
        except TerakoyaError as error:
            self.left_out.append(Rung(_("{base}, untrained", base=base), note=error.what))
            return
        if "shots" not in choice:
            note = _("it would take longer than score.untrained_minutes allows")
            self.left_out.append(Rung(_("{base}, untrained", base=base), note=note))
            return
        name = _("{base}, untrained, {shots} examples in the prompt", base=base, shots=choice["shots"])

        def predict(items: Sequence[Example]) -> list[Prediction]:
            return examinee.predict(choice, [query_of(item) for item in items])

        yield Contender(name, predict, int(model.info.weights))


def _short(base: str) -> str:
    """A base without the folders that it lies in."""
    return Path(base).name or base


def _predictor(skill: Skill) -> PredictExamples:
    from terakoya.decoding.predict import predict_queries, query_of

    decode = skill.config.decode.model_copy(update={"abstain_below": 0.0, "verify": False, "promise": 0.0})

    def predict(items: Sequence[Example]) -> list[Prediction]:
        queries = [query_of(item) for item in items]
        return predict_queries(
            skill.model, queries, skill.task, decode, max_tokens=skill.max_tokens, seed=skill.config.seed
        )

    return predict


def _rebased(config: Config, folder: Path) -> Config:
    """The config with its paths as they are from here, so that it can be used as a `Config`."""
    from terakoya.saved_model import rebase_paths

    return rebase_paths(config, folder, Path.cwd())


def ladder(
    subject: str | Config,
    *,
    overrides: Sequence[str] = (),
    minutes: float = 30.0,
    sizes: Sequence[str] = SIZES,
    price_per_hour: float = 0.05,
    teacher: bool = False,
    run_dir: Path = RUNS,
    listener: Listener | None = None,
) -> Ladder:
    """Do you need a model? Every rung on one exam, and the cheapest that is not worse.

    subject         an experiment, or a run folder: then it is kept in RUN/ladder.json, and its record shows it
    overrides       KEY=VALUE settings
    minutes         budget of all trainings and predictions
    sizes           built-in models to train
    price_per_hour  of this machine, by which predictions that cost only time are priced
    teacher         True: the teacher of [teacher] takes dev and exam too, which is paid within its limits
    run_dir         where the ladder's folder with its trained models is made ("runs")
    listener        informed of each stage; None ignores it
    Raises ConfigError where there is no dev split or exam, or the budget is not positive.
    """
    from terakoya.evaluation.ladder import baseline_contenders, climb, ladder_messages

    dataset, run = subject_dataset(subject, overrides)
    _require(dataset, minutes, sizes)
    receiver, split = listener or SilentListener(), dataset.split
    parent = run.parent if run is not None else run_dir
    folder = new_folder(parent, f"ladder-{dataset.config.name}-{now():%Y%m%d-%H%M%S}")
    trainings = _Trainings(dataset, run, folder, minutes, receiver)
    contenders = [*baseline_contenders(dataset.task, split, dataset.config), *trainings.contenders(sizes)]
    contenders += _teacher(dataset, folder, teacher, trainings.left_out)
    receiver.stage(
        "exam", _("{items} items, opened once for {count} rungs", items=len(split.exam), count=len(contenders))
    )
    found = climb(
        contenders,
        dataset.task,
        split,
        dataset.config,
        open_exam=lambda: Index(parent).open_exam(split.exam_fingerprint, folder.name, once=True),
        price_per_hour=price_per_hour,
        left_out=trainings.left_out,
        started=trainings.started,
        budget=minutes,
    )
    values = {**found.to_dict(), "words": [in_every_language(one) for one in ladder_messages(found)]}
    write_json(folder / LADDER_FILE, values)
    if run is not None:
        keep_in_run(run, LADDER_FILE, values)
    return found


def _teacher(dataset: Dataset, folder: Path, wanted: bool, left_out: list[Rung]) -> Iterator[Contender]:
    """The teacher, or each of several, where one is configured and may be paid."""
    from terakoya.generation.configured import exam_configs

    for name, config in exam_configs(dataset.config):
        place = folder / (f"teacher-{name}" if name else "teacher")
        yield from _one_teacher(dataset, config, place, wanted, left_out)


def _one_teacher(
    dataset: Dataset, config: Config, folder: Path, wanted: bool, left_out: list[Rung]
) -> Iterator[Contender]:
    from terakoya.errors import DataError
    from terakoya.evaluation.ladder import Contender, Rung
    from terakoya.generation.few_shot_teacher import FewShotTeacher
    from terakoya.records import Prediction
    from terakoya.scoring.baselines.standard import evenly_spaced

    task, settings = dataset.task, config.teacher
    if settings.kind != "api" or not settings.model:
        return
    name = _("teacher {model}, {shots} examples in the prompt", model=settings.model, shots=_TEACHER_SHOTS)
    if not wanted:
        left_out.append(Rung(name, note=_("its requests are paid: add --teacher")))
        return
    shots = [(row.source, row.target) for row in evenly_spaced(dataset.split.train, _TEACHER_SHOTS)]
    try:
        made = FewShotTeacher(config, folder, shots, task.instruction)
    except TerakoyaError as error:
        left_out.append(Rung(name, note=error.what))
        return

    def read(text: str | None) -> str | None:
        try:
            return None if text is None else task.codec.canonical(text)
        except DataError:
            return None

    def predict(items: Sequence[Example]) -> list[Prediction]:
        texts = made.predict([item.source for item in items])
        return [Prediction(item.source, text or "", read(text)) for item, text in zip(items, texts, strict=True)]

    yield Contender(name, predict, paid=lambda: made.spent)


def _require(dataset: Dataset, minutes: float, sizes: Sequence[str]) -> None:
    if minutes <= 0:
        raise ConfigError(_("the budget must be positive"), where="--minutes", do=_("Say --minutes 30, for example."))
    if not dataset.split.dev or not dataset.split.exam:
        raise ConfigError(
            _("a ladder chooses on dev and is judged by the exam, and one of them is empty"),
            where="split",
            do=_("Hold out both: --set split.dev=0.1 --set split.exam=0.2"),
        )
    known = registry.names(MODELS)
    if unknown := next((size for size in sizes if size not in known), ""):
        raise ConfigError(
            _("there is no built-in model '{name}'", name=unknown),
            where="--sizes",
            do=_("Say some of: {names}", names=", ".join(known)),
        )
