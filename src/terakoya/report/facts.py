"""What a run was made of: its data, the machine, the settings and the training, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from terakoya.i18n import in_language
from terakoya.records import Finding
from terakoya.report import figures
from terakoya.report.blocks import Block, Bullets, Charts, Facts, Folded, Heading, Table, Text, figure, heads
from terakoya.report.record import Record
from terakoya.report.translations import known, say

# The keys that decide a run most, in the order in which they are shown.
_DECIDING = (
    "task.use",
    "task.data",
    "task.codec",
    "task.notation",
    "split.method",
    "model.base",
    "model.head",
    "model.adaptation",
    "train.steps",
    "train.batch_size",
    "train.learning_rate",
    "train.schedule",
    "train.warmup",
    "train.weight_decay",
    "train.loss",
    "train.select",
    "decode.method",
)


def dataset(record: Record, lang: str) -> list[Block]:
    told = record.dataset
    if not told:
        return []
    head = ("split", "examples count", "groups", "source length", "target length")
    rows = tuple(
        (
            known(lang, name),
            f"{side['examples']:,}",
            f"{side['groups']:,}",
            _length(side.get("source")),
            _length(side.get("target")),
        )
        for name, side in told.get("splits", {}).items()
    )
    blocks: list[Block] = [Table(heads(lang, head), rows, frozenset({1, 2, 3, 4}))]
    lines = [say(lang, "split by", method=told["method"])] if told.get("method") else []
    if told.get("drawn"):
        lines.append(say(lang, "drawn"))
    if answers := told.get("answers"):
        total = told["answers_total"]
        share = figure(answers[0][1] / total)
        lines.append(say(lang, "distinct", distinct=f"{told['answers_distinct']:,}", total=f"{total:,}", share=share))
    blocks.append(Bullets(tuple(lines)))
    if shares := figures.answer_shares(record):
        table = tuple((item.name, figure(item.data), figure(item.model)) for item in shares[:10])
        blocks += [Charts(("answers",)), Table(heads(lang, ("answer", "data", "model")), table, frozenset({1, 2}))]
    return blocks


def _length(told: Mapping[str, Any] | None) -> str:
    return f"{told['mean']:.1f} / {told['max']:,}" if told else "–"


def environment(record: Record, lang: str) -> list[Block]:
    manifest = record.manifest
    machine, model, git = (manifest.get(key) or {} for key in ("machine", "model", "git"))
    times = manifest.get("times") or {}
    memory = machine.get("memory")
    facts = {
        "started": times.get("started"),
        "took": _minutes_text(times, lang),
        "seed": manifest.get("seed", record.config.get("seed")),
        "model": model.get("name"),
        "family": model.get("family"),
        "weights": f"{model['weights']:,}" if model.get("weights") else None,
        "vocabulary": f"{model['vocabulary']:,}" if model.get("vocabulary") else None,
        "processor": f"{machine.get('processor')} × {machine.get('cores')}" if machine.get("cores") else None,
        "memory": f"{memory / 2**30:.1f} GiB" if memory else None,
        "system": f"{machine['system']} {machine.get('release', '')}".strip() if machine.get("system") else None,
        "versions": ", ".join(f"{name} {version}" for name, version in (manifest.get("versions") or {}).items()),
        "commit": _commit(git, lang),
    }
    marks = {
        f"{say(lang, 'fingerprint')}: {known(lang, k)}": v for k, v in (manifest.get("fingerprints") or {}).items()
    }
    told = {say(lang, key): fact for key, fact in facts.items()} | marks
    rows = tuple((name, str(fact)) for name, fact in told.items() if fact not in (None, ""))
    return [Facts(rows)] if rows else []


def _commit(git: Mapping[str, Any], lang: str) -> str | None:
    if not git:
        return None
    return str(git["commit"])[:12] + (f" ({say(lang, 'changed')})" if git.get("changed") else "")


def minutes(times: Mapping[str, Any]) -> float | None:
    """Between the beginning and the end; None while there is no end."""
    begun, ended = times.get("started"), times.get("ended")
    if not begun or not ended:
        return None
    return (datetime.fromisoformat(str(ended)) - datetime.fromisoformat(str(begun))).total_seconds() / 60


def _minutes_text(times: Mapping[str, Any], lang: str) -> str | None:
    spent = minutes(times)
    return None if spent is None else f"{spent:.1f} 分" if lang == "ja" else f"{spent:.1f} min"


def trial(record: Record, lang: str) -> list[Block]:
    blocks: list[Block] = []
    if told := settings(record):
        blocks += [Heading(say(lang, "settings")), Facts(told)]
    if record.config:
        whole = "\n".join(f"{key} = {value}" for key, value in flat(record.config))
        blocks.append(Folded(say(lang, "whole config"), whole))
    if results := _results(record, lang):
        blocks += [Heading(say(lang, "results")), Charts(("loss", "dev")), results]
    blocks.append(Heading(say(lang, "causes")))
    if not record.findings:
        return [*blocks, Text(say(lang, "no findings"))]
    order = {"stop": 0, "warn": 1, "note": 2}
    found = sorted(record.findings, key=lambda item: order[item.level])
    rows = tuple(
        (
            known(lang, item.level),
            item.check,
            in_language(item.what, lang),
            _where(item, lang),
            in_language(item.do, lang),
        )
        for item in found
    )
    return [*blocks, Table(heads(lang, ("level", "kind", "finding", "where", "do")), rows)]


def _where(finding: Finding, lang: str) -> str:
    rows = ", ".join(map(str, finding.rows[:5])) + (" …" if len(finding.rows) > 5 else "")
    where = in_language(finding.where, lang)
    return f"{where} ({rows})" if rows else where


def settings(record: Record) -> tuple[tuple[str, str], ...]:
    """What decides a run most, with `auto` resolved."""
    resolved = flat(record.manifest.get("resolved") or {}, "train.")
    told = dict(flat(record.config)) | dict(resolved)
    keys = list(_DECIDING)
    if (record.manifest.get("model") or {}).get("family") == "set":  # it writes nothing, whatever the method
        keys[keys.index("decode.method") :] = ["train.refit", "decode.objective", "decode.share_cap"]
    return tuple((key, str(told[key])) for key in keys if told.get(key) not in (None, ""))


def flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += flat(value, f"{before}{key}.") if isinstance(value, Mapping) else [(f"{before}{key}", value)]
    return found


def _results(record: Record, lang: str) -> Facts | None:
    if not record.steps:
        return None
    last = record.steps[-1]
    rows = [
        (say(lang, "steps"), f"{last.step:,}"),
        (say(lang, "tokens"), f"{last.tokens:,}"),
        (say(lang, "last loss"), f"{last.plain:.4f}"),
    ]
    main = record.main
    asked = [
        (step.dev[main.metric], step.step) for step in record.steps if main and step.dev and main.metric in step.dev
    ]
    if asked:
        best, step = max(asked, key=lambda pair: (pair[0], -pair[1]))
        rows.append((say(lang, "best dev"), f"{figure(best)} ({say(lang, 'step')} {step:,})"))
    return Facts(tuple(rows))


def cost(record: Record, lang: str) -> list[Block]:
    lines = []
    spent, cores = minutes(record.manifest.get("times") or {}), (record.manifest.get("machine") or {}).get("cores")
    if spent is not None and cores:
        lines.append(say(lang, "compute", minutes=f"{spent:.1f}", cores=cores))
    if not record.cost:
        return [Bullets((*lines, say(lang, "no teacher")))]
    rows = tuple((name, str(value)) for name, value in flat(record.cost))
    return [Bullets(tuple(lines)), Facts(rows)]
