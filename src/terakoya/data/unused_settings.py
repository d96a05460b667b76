"""Settings of `[task]`, `[split]` and `[score]` that are set and decide nothing.

    found = data_settings_findings(config, task, parameters)

A setting that is silently ignored makes two runs look different that are the same. What was switched off and is not
there is as it was requested, and no finding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from terakoya.config import Config, SplitConfig
from terakoya.i18n import Message, _
from terakoya.records import Finding
from terakoya.task import Task

Reasons = Iterator[tuple[str, Message]]  # key of a setting, and why it has no effect

_OF_TABLES = ("dev", "exam", "corrections", "source", "target", "group", "split", "encoding")
_OF_METHODS: dict[str, tuple[str, ...]] = {
    "hash": ("method", "dev", "exam", "salt"),
    "exact": ("method", "dev", "exam", "dev_items", "exam_items", "salt"),
    "stratified": ("method", "dev", "exam", "stratify", "salt"),
    "tail": ("method", "dev", "exam", "dev_items", "exam_items"),
    "column": ("method",),
    "folds": ("folds", "fold", "salt"),
    "files": (),
    "own": (),
}


def no_effect_findings(config: Config, reasons: Iterable[tuple[str, Message]]) -> list[Finding]:
    """A finding of level stop for every setting that differs from its default and has no effect.

    config   as the run uses it
    reasons  key of a setting and why it has no effect, each key at most once in the result
    """
    found: dict[str, Finding] = {}
    for key, why in reasons:
        section, name = key.split(".")
        value = getattr(getattr(config, section), name)
        if key in found or value == getattr(getattr(type(config)(), section), name):
            continue
        found[key] = Finding(
            "no-effect",
            "stop",
            _("{key} = {value!r} does nothing: {why}", key=key, value=value, why=why),
            where=key,
            do=_("Leave {key} out.", key=key),
        )
    return list(found.values())


def data_settings_findings(config: Config, task: Task, parameters: Collection[str]) -> list[Finding]:
    """Settings of the data that differ from their defaults and decide nothing.

    config      as the user wrote it
    task        made from it
    parameters  names of what the function of `task.use` can be given; nothing for a table
    """
    return no_effect_findings(
        config, (*_task_reasons(config, task, parameters), *_split_reasons(config, task, parameters))
    )


def _task_reasons(config: Config, task: Task, parameters: Collection[str]) -> Reasons:
    wanted = config.task
    if not wanted.augment:
        yield "task.augment_method", _("task.augment is 0, so no rows are made")
    if wanted.use:
        why = _("the examples are those of the task '{name}', not of a table", name=wanted.use)
        yield from ((f"task.{key}", why) for key in _OF_TABLES)
        if "notation" not in parameters and wanted.codec != "number":
            yield "task.notation", _("the task '{name}' has no notation to choose", name=wanted.use)
        if "items" not in parameters:
            yield "score.exam_items", _("the task '{name}' has an exam of its own size", name=wanted.use)
    else:
        yield "task.options", _("options are those of a task (task.use), and this is a table")
        yield "score.exam_items", _("the exam of a table is cut by the section [split]")
        if all(_is_columnar(file) for file in (wanted.data, wanted.dev, wanted.exam) if file):
            yield "task.encoding", _("these files say themselves how their text is encoded")
    if task.draw is not None:
        yield "score.curve_minutes", _("the training rows are drawn by rule: there is no learning curve over rows")
    if not task.codec.name.startswith("labels"):
        yield "task.separator", _("the targets are no labels")


def _is_columnar(file: str) -> bool:
    return file.startswith("hub:") or file.lower().endswith(".parquet")


def _split_reasons(config: Config, task: Task, parameters: Collection[str]) -> Reasons:
    method = _method_used(config, task, parameters)
    if method == "own":
        why = _("the task '{name}' brings its own split", name=config.task.use)
    elif method == "files":
        why = _("dev and exam are files of their own (task.dev, task.exam)")
    elif method == "folds":
        why = _("the folds decide the split (split.folds)")
        yield "task.split", why
    else:
        why = _("the method is '{method}'", method=method)
        if method == "column" != config.split.method:
            yield "split.method", _("the column '{column}' decides the split (task.split)", column=config.task.split)
    used = _OF_METHODS[method]
    yield from ((f"split.{key}", why) for key in SplitConfig.model_fields if key not in used)
    for name in ("dev", "exam"):
        if f"{name}_items" in used and getattr(config.split, f"{name}_items"):
            yield f"split.{name}", _("split.{name}_items says the size", name=name)
        if config.task.use == "" and getattr(config.task, name):
            why_file = _("this split is a file of its own (task.{name})", name=name)
            yield f"split.{name}", why_file
            yield f"split.{name}_items", why_file


def _method_used(config: Config, task: Task, parameters: Collection[str]) -> str:
    """What decides the split: a method of `[split]`, or one of "own", "files" and "folds"."""
    wanted = config.task
    if wanted.use and task.split is not None and "split" not in parameters:
        return "own"
    if wanted.data and wanted.dev and wanted.exam:
        return "files"
    if config.split.folds:
        return "folds"
    return "column" if wanted.data and wanted.split else config.split.method
