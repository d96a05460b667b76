"""A trained skill: a model folder with all that is needed to predict. It loads by itself, without the data."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from terakoya import registry
from terakoya.codec.as_data import codec_of_values, codec_values
from terakoya.codec.choose import CODECS as _OWN
from terakoya.codec.choose import choose_codec
from terakoya.config import Config, parse_config, with_overrides, write_config
from terakoya.config.reading import rebase_base
from terakoya.config.trust import is_trusted, read_code
from terakoya.config.used_plugins import missing_plugins, require_plugins, used_plugins
from terakoya.data.table import default_metrics
from terakoya.errors import ConfigError, CorruptError, IncompatibleError
from terakoya.i18n import _
from terakoya.records import Prediction, Turn
from terakoya.runs import seal, verify, write_text
from terakoya.runs.display import Listing
from terakoya.runs.sealing import SEAL
from terakoya.runs.validation import check
from terakoya.scoring.metrics import metric_with_signature
from terakoya.task import Rule, Task

if TYPE_CHECKING:
    from terakoya.decoding.confidence import Confidence
    from terakoya.models.protocol import Model, Query
    from terakoya.scoring.statistics.promise import Promise

FORMAT = 2  # 1: the labels alone beside the config; all else about a task was its code
_MOST_TOKENS = 1_000_000
FILE = "terakoya.json"
MAX_CHARACTERS = 10_000  # of one source; longer ones get no prediction


@dataclass(frozen=True)
class Skill:
    """A trained model ready to predict.

    model       on the device of its config; a built-in one that was opened to predict alone is in numpy
    task        its codec reads what the model generates, its metrics score predictions
    config      that the model was trained with, overrides applied
    max_tokens  largest number of tokens of a generated sequence, the end token not counted
    folder      from which it was read
    rule        of an installed task, which says what predictions it confirms; None where there is none
    converses   whether it was trained on conversations, so that messages before the last one are part of the input
    confidence  calibrates its probabilities; None for one that was not measured on dev
    """

    model: Model
    task: Task
    config: Config
    max_tokens: int
    folder: Path
    rule: Rule | None = None
    converses: bool = False
    confidence: Confidence | None = None

    def __call__(self, text: str) -> str | None:
        """The prediction for one `text`; None where the output was unreadable or was withheld."""
        return self.predict([text])[0].text

    def predict(self, texts: Sequence[str], turns: Sequence[tuple[Turn, ...]] = ()) -> Listing[Prediction]:
        """Predictions with their probabilities, in the order of the texts.

        texts  the sources; one that is empty or too long for the model gets a prediction whose `text` is None
        turns  the conversation before each text, oldest turn first; () where no text has one
        Raises TypeError where `texts` is a single text, ConfigError where `decode.promise` cannot be kept.
        """
        from terakoya.models.protocol import Query

        if isinstance(texts, str):
            raise TypeError("predict takes a list of texts; call the skill itself with a single one")
        known = [index for index, text in enumerate(texts) if 0 < len(text) <= MAX_CHARACTERS]
        found = self._predict([Query(texts[index], turns[index] if turns else ()) for index in known])
        named = [self._verified(self._withheld(prediction)) for prediction in found]
        by_index = dict(zip(known, named, strict=True))
        return Listing(by_index.get(index, Prediction(text, "", None)) for index, text in enumerate(texts))

    def predict_queries(self, queries: Sequence[Query]) -> list[Prediction]:
        """Predictions for `queries`, without what is withheld from users alone: an exam scores those too."""
        return self._predict(queries)

    def _predict(self, queries: Sequence[Query]) -> list[Prediction]:
        from terakoya.models.builtin.numpy_model import NumpyModel, NumpySetModel

        if isinstance(self.model, (NumpyModel, NumpySetModel)):
            from terakoya.decoding.without_torch import predict_without_torch

            return predict_without_torch(
                self.model,
                queries,
                self.task,
                self.config.decode,
                max_tokens=self.max_tokens,
                confidence=self.confidence,
            )
        from terakoya.decoding.predict import predict_queries

        return predict_queries(
            self.model,
            queries,
            self.task,
            self.config.decode,
            max_tokens=self.max_tokens,
            seed=self.config.seed,
            confidence=self.confidence,
        )

    @cached_property
    def promise(self) -> Promise | None:
        """The promise that predictions are made under; None where `decode.promise` is 0.

        Raises ConfigError where it cannot be kept.
        """
        from terakoya.decoding.withholding import promise_of

        return promise_of(self.config.decode, self.confidence)

    def _withheld(self, prediction: Prediction) -> Prediction:
        """The prediction, without text where it is for a source that the model does not know, or is not promised."""
        from terakoya.decoding.withholding import withhold_novel, withhold_unknown, withhold_unpromised

        known = withhold_novel(withhold_unknown(prediction, self.config.decode), self.config.decode)
        return withhold_unpromised(known, self.promise)

    def _verified(self, prediction: Prediction) -> Prediction:
        """The prediction, and whether the task's rule confirms it: False where it abstains, or predicts another."""
        if self.rule is None or prediction.text is None:
            return prediction
        expected = self.rule(prediction.source)
        confirms = expected is not None and self.task.codec.canonical(expected) == prediction.text
        return replace(prediction, verified=confirms)


def write_skill(
    folder: Path, model: Model, task: Task, config: Config, max_tokens: int, confidence: Confidence | None = None
) -> None:
    """Write a model with what `read_skill` needs beside it: data, from which the skill opens without the task's code.

    folder      of the model, made if missing
    model       the trained model
    task        its codec, metrics and label names are written, as far as they are data
    config      of the training; its paths are relative to `folder`
    max_tokens  largest number of tokens of a generated sequence
    confidence  what its probabilities are worth; None where that was not measured
    """
    model.save(folder)
    about = {"format": FORMAT, "config": write_config(config), "max_tokens": max_tokens, "task": _task_values(task)}
    about["plugins"] = used_plugins(config)
    if confidence is not None:
        from terakoya.decoding.confidence import confidence_to_json

        about["confidence"] = confidence_to_json(confidence)
    write_text(folder / FILE, json.dumps(about, ensure_ascii=False, indent=1))


def write_confidence(folder: Path, confidence: Confidence) -> None:
    """Write into a saved model what its probabilities are worth, measured anew, and seal it again.

    folder      of the model
    confidence  as measured
    Between the two writes the folder does not fit its seal; `restore_confidence` makes it whole after a kill there.
    Raises CorruptError for a damaged model.
    """
    from terakoya.decoding.confidence import confidence_to_json

    verify(folder)
    kept = _before_confidence(folder)
    for name, path in kept.items():
        write_text(path, (folder / name).read_text(encoding="utf-8"))
    about = {**_about(folder / FILE), "confidence": confidence_to_json(confidence)}
    write_text(folder / FILE, json.dumps(about, ensure_ascii=False, indent=1))
    seal(folder)
    for path in kept.values():
        path.unlink()


def restore_confidence(folder: Path) -> None:
    """Undo a `write_confidence` that was killed before it had sealed the folder; otherwise nothing is changed.

    folder  of the model
    """
    kept = _before_confidence(folder)
    if all(path.is_file() for path in kept.values()):
        for name, path in kept.items():
            write_text(folder / name, path.read_text(encoding="utf-8"))


def _before_confidence(folder: Path) -> dict[str, Path]:
    """What is rewritten, and the hidden copy of each; the seal does not list hidden files."""
    return {name: folder / f".{name}.before" for name in (FILE, SEAL)}


def _task_values(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "codec": codec_values(task.codec),  # None: a class of the author's own, which is code
        "labels": list(getattr(task.codec, "labels", ())),
        "metrics": [metric.signature for metric in task.metrics.values()],
        "label_names": {label: list(names) for label, names in task.label_names.items()},
        "instruction": task.instruction,
        "verifies": task.reverse is not None,
        "converses": any(example.turns for example in task.examples),
    }


def model_folder(path: Path) -> Path:
    """The model folder of the run `path`, or `path` itself where it is no run. Raises ConfigError without one."""
    if (path / "manifest.json").is_file():
        check(path)
        if not (path / "model" / FILE).is_file():
            raise ConfigError(
                _("this run has no trained model yet"),
                where=str(path),
                do=_("Go on with it: terakoya run {path}", path=path),
            )
        return path / "model"
    if not path.is_dir():
        raise ConfigError(
            _("there is no such run or model folder"),
            where=str(path),
            do=_("`ls runs` shows what there is."),
        )
    return path


def read_skill(
    path: Path,
    overrides: tuple[str, ...] = (),
    *,
    scored: bool = False,
    task: Task | None = None,
    predict_only: bool = False,
) -> Skill:
    """Open a saved skill for prediction. No code in or beside the folder runs, unless the user trusts it.

    path          a run folder or a model folder
    overrides     settings of the config that differ from the saved ones, as "decode.beams=2"
    scored        whether predictions will be scored, so that the task's own metrics are wanted
    task          the skill's task, where the caller has it already
    predict_only  whether the skill only predicts: then a built-in model opens without PyTorch, in a
                  quarter of the CPU time, where its settings allow
    Raises ConfigError without a skill, or where it needs code that is not trusted; CorruptError for a damaged file,
    IncompatibleError for a newer format.
    """
    folder = model_folder(path)
    if not (folder / FILE).is_file():
        raise ConfigError(
            _("this folder holds no skill that Terakoya trained (there is no {file})", file=FILE),
            where=str(folder),
            do=_("Score a model made elsewhere with: terakoya evaluate FOLDER --task EXPERIMENT"),
        )
    verify(folder)
    about = _about(folder / FILE)
    saved = _saved_config(about, folder)
    config = with_overrides(saved, overrides)
    if config.decode.reject and not saved.decode.reject:
        raise ConfigError(
            _("this skill was not trained to reject sources"),
            where="decode.reject",
            do=_("Train it with decode.reject = true in its config, or leave the setting out."),
        )
    restored = task or restore_task(config, about, folder, scored=scored)  # before the model: it may be refused
    model, rule = _load(config, folder, predict_only), registry.find_rule(config)
    converses = bool(about.get("task", {}).get("converses", False)) if about["format"] > 1 else False
    confidence = read_confidence(about, folder / FILE)
    skill = Skill(model, restored, config, about["max_tokens"], folder, rule, converses, confidence)
    if predict_only:
        skill.promise  # noqa: B018 - refused before the first input is read
    return skill


def read_confidence(about: Mapping[str, Any], where: Path) -> Confidence | None:
    """What a saved skill's probabilities are worth; None where that was not measured, as in older folders.

    about  content of the skill's description
    where  its file, for the error
    Raises CorruptError where it cannot be read.
    """
    from terakoya.decoding.confidence import confidence_from_json

    values = about.get("confidence")
    if values is None:
        return None
    try:
        return confidence_from_json(values)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CorruptError(_("this file is truncated or changed"), where=str(where)) from error


def read_task(path: Path) -> Task:
    """The task of the run or model folder `path`; the model is not loaded, and torch is not needed."""
    folder = model_folder(path)
    verify(folder)
    about = _about(folder / FILE)
    return restore_task(_saved_config(about, folder), about, folder)


def _saved_config(about: Mapping[str, Any], folder: Path) -> Config:
    """The config of the training. What only training needs may be missing here: a loss, baselines.

    Raises ConfigError, naming the package, where an installed codec, metric or model is missing.
    """
    used = about.get("plugins", ())
    require_plugins(used, folder, ("codecs", "metrics", "models"))
    without = {"losses": "train.loss=auto", "baselines": "score.baselines=[]"}
    overrides = [text for kind, text in without.items() if missing_plugins(used, (kind,), folder)]
    return parse_config(about["config"], where=str(folder / FILE), overrides=overrides)


def _load(config: Config, folder: Path, predict_only: bool) -> Model:
    from terakoya.models.builtin.sizes import SIZES

    alone = config.model.base in SIZES and not config.model.base_scores
    if predict_only and config.device in ("auto", "cpu") and alone:
        from terakoya.decoding.without_torch import can_decode
        from terakoya.models.builtin.numpy_model import load_without_torch

        model = load_without_torch(folder)
        if can_decode(config.decode, model.head):
            return cast("Model", model)
    from terakoya.decoding import move_to_device

    return move_to_device(registry.find_model_loader(config.model.base)(folder), config.device)


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        saved_format = int(about["format"])
        max_tokens, config = about["max_tokens"], about["config"]
        whole = type(max_tokens) is int and 0 <= max_tokens <= _MOST_TOKENS and isinstance(config, str)
        if not whole or saved_format < 1 or (saved_format > 1 and not isinstance(about["task"], dict)):
            raise ValueError(max_tokens)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CorruptError(
            _("this file is truncated or changed"),
            where=str(path),
        ) from error
    if saved_format > FORMAT:
        raise IncompatibleError(
            _(
                "made by a newer Terakoya (format {saved_format}; this one reads {format})",
                saved_format=saved_format,
                format=FORMAT,
            ),
            where=str(path),
            do=_("Upgrade Terakoya."),
        )
    return {**about, "format": saved_format}


# ── the task of a saved skill ───────────────────────────────────────────────────────────────────────────────


def restore_task(config: Config, about: Mapping[str, Any], folder: Path, *, scored: bool = False) -> Task:
    """The task of a saved skill, without its data: how predictions are read, scored and withheld.

    config  of the training
    about   content of the skill's description
    folder  of the model, from which a task file is looked for
    scored  whether the metrics of the task's own are wanted, where its code may run
    Raises ConfigError where code is needed that is not trusted: a codec of the author's own, or `decode.verify`.
    """
    if about["format"] == 1:
        return _restore_format_1(config, about, folder)
    saved = about["task"]
    if saved.get("codec") is None and config.task.codec in (*_OWN, ""):
        require_plugins(about.get("plugins", ()), folder, ("tasks",))
        return _task_of_code(config, folder, _("the codec of this skill is a program, in its task file"))
    if config.decode.verify and saved.get("verifies"):
        return _task_of_code(config, folder, _("the rule that verifies predictions is a program, in its task file"))
    task = _task_of_data(config, saved, folder)
    missing = [name for name in _saved_metrics(saved) if name not in {one.signature for one in task.metrics.values()}]
    return _with_own_metrics(task, missing, config, folder) if scored and missing else task


def _task_of_data(config: Config, saved: Mapping[str, Any], folder: Path) -> Task:
    try:
        if saved["codec"] is None:  # that of an installed package, by the name that the config has
            codec = choose_codec(config.task.codec, list(map(str, saved["labels"])))
        else:
            codec = codec_of_values(saved["codec"])
        names = {str(label): tuple(map(str, words)) for label, words in dict(saved["label_names"]).items()}
        name, instruction = str(saved["name"]), str(saved["instruction"])
    except CorruptError as error:
        error.where = str(folder / FILE)
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptError(_("this file is truncated or changed"), where=str(folder / FILE)) from error
    found = [metric_with_signature(one) for one in _saved_metrics(saved)]
    metrics = {metric.name: metric for metric in found if metric is not None}
    fallback = default_metrics(config.task, codec)
    return Task(name, codec=codec, metrics=metrics or fallback, instruction=instruction, label_names=names)


def _saved_metrics(saved: Mapping[str, Any]) -> list[str]:
    metrics = saved.get("metrics")
    return [str(one) for one in metrics] if isinstance(metrics, list) else []


def _with_own_metrics(task: Task, missing: list[str], config: Config, folder: Path) -> Task:
    """The task with the metrics that are code, where that code may run; a warning says what is left out."""
    if not config.task.use:  # a table has no metrics of its own: these are of another version
        return task
    if not config.task.use.endswith(".py"):
        return registry.find_task(config, folder, own=False)
    file = folder / config.task.use
    if file.is_file() and is_trusted(read_code(file)):
        return registry.find_task(config, folder, own=False)
    message = _(
        "these metrics are programs in {file} and are left out: {names}; add --trust {file} if you trust it",
        file=os.path.relpath(file),
        names=", ".join(missing),
    )
    warnings.warn(registry.TaskCodeWarning(message), stacklevel=2)
    return task


def _task_of_code(config: Config, folder: Path, why: str) -> Task:
    """The task by its code: that of an installed package, or a file that the user trusts."""
    if not config.task.use.endswith(".py"):
        return registry.find_task(config, folder, own=False)
    file = folder / config.task.use
    if not is_trusted(read_code(file)):
        raise registry.untrusted(file, why)
    return registry.find_task(config, folder, own=False)


def _restore_format_1(config: Config, about: Mapping[str, Any], folder: Path) -> Task:
    """Folders of the first format hold the labels alone; all else about a task was its code."""
    if config.task.use:
        return _task_of_code(config, folder, _("this older model folder needs the program in its task file"))
    settings = config.task
    # The labels stand there in canonical form, one by one, so no separator is needed to read them.
    try:
        labels, most = [str(label) for label in about["labels"]], int(about.get("most", 0))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(_("this file is truncated or changed"), where=str(folder / FILE)) from error
    codec = choose_codec(settings.codec, labels, notation=settings.notation, most=most)
    return Task(name=config.name, codec=codec, metrics=default_metrics(settings, codec))


def rebase_paths(config: Config, here: Path, there: Path) -> Config:
    """The same config for another folder.

    config  with paths relative to `here`
    here    the folder of the config
    there   the folder to which the paths of the result are relative
    """

    def rebase(text: str) -> str:
        if not text or text.startswith("hub:"):
            return text
        return "|".join(Path(os.path.relpath(here / part, there)).as_posix() for part in text.split("|"))

    task = config.task
    use = rebase(task.use) if task.use.endswith(".py") else task.use
    paths = {name: rebase(getattr(task, name)) for name in ("data", "dev", "exam", "corrections")} | {"use": use}
    named = {key: getattr(config.model, key) for key in ("base", "base_scores")}
    moved = {key: rebase_base(base, here, there) for key, base in named.items() if base}
    model = config.model.model_copy(update=moved)
    return config.model_copy(update={"task": task.model_copy(update=paths), "model": model})
