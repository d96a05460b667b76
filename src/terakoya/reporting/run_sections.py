"""Report sections on what a run was made of: data, machine, settings, training, cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from terakoya.i18n import in_language
from terakoya.records import Finding
from terakoya.reporting import breakdowns
from terakoya.reporting.blocks import (
    Block,
    Bullets,
    Charts,
    Folded,
    Heading,
    Paragraph,
    PropertyList,
    TableBlock,
    column_headers,
    format_value,
)
from terakoya.reporting.record import RunRecord
from terakoya.reporting.translations import known, say

# The keys that matter most for a run, in the order in which they are shown.
_MAIN_KEYS = (
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


def dataset(record: RunRecord, lang: str) -> list[Block]:
    """Sizes, lengths and frequent targets of the data.

    record  the run
    lang    "en" or "ja"
    """
    statistics = record.dataset
    if not statistics:
        return []
    head = ("split", "examples count", "groups", "source length", "target length")
    rows = tuple(
        (
            known(lang, name),
            f"{values['examples']:,}",
            f"{values['groups']:,}",
            _length(values.get("source")),
            _length(values.get("target")),
        )
        for name, values in statistics.get("splits", {}).items()
    )
    blocks: list[Block] = [TableBlock(column_headers(lang, head), rows, frozenset({1, 2, 3, 4}))]
    lines = [say(lang, "split by", method=statistics["method"])] if statistics.get("method") else []
    if statistics.get("drawn"):
        lines.append(say(lang, "drawn"))
    parts = (statistics.get("exam_parts") or {}).values()
    if same := sum(part["same_source"] for part in parts):
        lines.append(say(lang, "exam sources", same=f"{same:,}", items=f"{sum(part['items'] for part in parts):,}"))
    counts = breakdowns.target_counts(record)
    if counts.frequent:
        share = format_value(next(iter(counts.frequent.values())) / counts.total)
        lines.append(say(lang, "distinct", distinct=f"{counts.distinct:,}", total=f"{counts.total:,}", share=share))
    blocks.append(Bullets(tuple(lines)))
    if shares := breakdowns.label_shares(record):
        table = tuple((item.name, format_value(item.data), format_value(item.model)) for item in shares[:10])
        headers = column_headers(lang, ("prediction", "data", "model"))
        blocks += [Charts(("predictions",)), TableBlock(headers, table, frozenset({1, 2}))]
    return blocks


def _length(lengths: Mapping[str, Any] | None) -> str:
    return f"{lengths['mean']:.1f} / {lengths['max']:,}" if lengths else "–"


def environment(record: RunRecord, lang: str) -> list[Block]:
    """Machine, versions, model and times.

    record  the run
    lang    "en" or "ja"
    """
    manifest = record.manifest
    machine, model, git = (manifest.get(key) or {} for key in ("machine", "model", "git"))
    times = manifest.get("times") or {}
    memory = machine.get("memory")
    values = {
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
    fingerprints = {
        f"{say(lang, 'fingerprint')}: {known(lang, k)}": v for k, v in (manifest.get("fingerprints") or {}).items()
    }
    named = {say(lang, key): value for key, value in values.items()} | fingerprints
    rows = tuple((name, str(value)) for name, value in named.items() if value not in (None, ""))
    return [PropertyList(rows)] if rows else []


def _commit(git: Mapping[str, Any], lang: str) -> str | None:
    if not git:
        return None
    return str(git["commit"])[:12] + (f" ({say(lang, 'changed')})" if git.get("changed") else "")


def minutes(times: Mapping[str, Any]) -> float | None:
    """Minutes between start and end; None while there is no end.

    times  of the manifest
    """
    started, ended = times.get("started"), times.get("ended")
    if not started or not ended:
        return None
    return (datetime.fromisoformat(str(ended)) - datetime.fromisoformat(str(started))).total_seconds() / 60


def _minutes_text(times: Mapping[str, Any], lang: str) -> str | None:
    spent = minutes(times)
    return None if spent is None else say(lang, "minutes spent", minutes=f"{spent:.1f}")


def trial(record: RunRecord, lang: str) -> list[Block]:
    """Settings, training results, and findings.

    record  the run
    lang    "en" or "ja"
    """
    blocks: list[Block] = []
    if main_settings := settings(record):
        blocks += [Heading(say(lang, "settings")), PropertyList(main_settings)]
    if record.config:
        whole = "\n".join(f"{key} = {value}" for key, value in flat(record.config))
        blocks.append(Folded(say(lang, "whole config"), whole))
    if results := _results(record, lang):
        blocks += [Heading(say(lang, "results")), Charts(("loss", "dev")), results]
    blocks.append(Heading(say(lang, "causes")))
    if not record.findings:
        return [*blocks, Paragraph(say(lang, "no findings"))]
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
    return [*blocks, TableBlock(column_headers(lang, ("level", "kind", "finding", "where", "do")), rows)]


def _where(finding: Finding, lang: str) -> str:
    rows = finding.locations(5)
    where = in_language(finding.where, lang)
    lines = f"{finding.file}: {rows}" if finding.file else rows
    return f"{where} ({lines})" if rows else where


def settings(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """The settings that matter most, with `auto` resolved.

    record  the run
    """
    resolved = flat(record.manifest.get("resolved") or {}, "train.")
    values = dict(flat(record.config)) | dict(resolved)
    keys = list(_MAIN_KEYS)
    if (record.manifest.get("model") or {}).get("family") == "set":  # it generates nothing, whatever the method
        keys[keys.index("decode.method") :] = ["train.refit", "decode.objective", "decode.share_cap"]
    return tuple((key, str(values[key])) for key in keys if values.get(key) not in (None, ""))


def flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Nested values as ("section.key", value).

    values  nested mappings
    before  put before each key
    """
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += flat(value, f"{before}{key}.") if isinstance(value, Mapping) else [(f"{before}{key}", value)]
    return found


def _results(record: RunRecord, lang: str) -> PropertyList | None:
    if not record.steps:
        return None
    last = record.steps[-1]
    rows = [
        (say(lang, "steps"), f"{last.step:,}"),
        (say(lang, "tokens"), f"{last.tokens:,}"),
        (say(lang, "last loss"), f"{last.plain:.4f}"),
    ]
    main = record.main
    evaluated = [
        (step.dev[main.metric], step.step) for step in record.steps if main and step.dev and main.metric in step.dev
    ]
    if evaluated:
        best, step = max(evaluated, key=lambda pair: (pair[0], -pair[1]))
        rows.append((say(lang, "best dev"), f"{format_value(best)} ({say(lang, 'step')} {step:,})"))
    return PropertyList(tuple(rows))


def cost(record: RunRecord, lang: str) -> list[Block]:
    """Compute time, and what a teacher cost.

    record  the run
    lang    "en" or "ja"
    """
    lines = []
    spent, cores = minutes(record.manifest.get("times") or {}), (record.manifest.get("machine") or {}).get("cores")
    if spent is not None and cores:
        lines.append(say(lang, "compute", minutes=f"{spent:.1f}", cores=cores))
    if not record.cost:
        return [Bullets((*lines, say(lang, "no teacher")))]
    rows = tuple((name, str(value)) for name, value in flat(record.cost))
    return [Bullets(tuple(lines)), PropertyList(rows)]
