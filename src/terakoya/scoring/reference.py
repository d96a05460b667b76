"""The list of all metrics, codecs and baselines with what each may be compared with: the source of docs/metrics.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from terakoya.i18n import _, in_language
from terakoya.scoring.baselines.standard import ANNOTATORS, BASELINES
from terakoya.scoring.metrics import METRICS, category
from terakoya.scoring.perplexity import FREQUENCIES


@dataclass(frozen=True)
class ReferenceEntry:
    """One metric, codec or baseline, as its page describes it.

    kind        "metric", "codec" or "baseline"
    name        as configs and scores.json have it
    signature   how it is written in the signature of a score; "" for a baseline, which has the signature of its metric
    summary     one sentence in each language
    comparable  what its scores may be compared with, in each language
    """

    kind: str
    name: str
    signature: str
    summary: str
    comparable: str


_PER_ITEM = _("Scores with the same signature on the same exam, with the same codec and the same decoding.")
_LABELS = _("Scores with the same signature on the same exam, with the same set of labels and the same decoding.")
_SAME_CODEC = _("Scores of other models with the same codec; with another codec, predictions have another normal form.")
_SAME_EXAM = _("The model, on the same exam and in the same metric, item by item.")


def reference_entries() -> tuple[ReferenceEntry, ...]:
    """Every metric that a config can name, every codec, and every baseline."""
    return (*_metrics(), *_codecs(), *_baselines())


def reference_page(lang: str = "en") -> str:
    """docs/metrics.md: the entries as Markdown tables.

    lang  "en" (default) or "ja"
    """
    entries = reference_entries()
    parts = [f"# {in_language(_TITLE, lang)}", in_language(_INTRODUCTION, lang)]
    for kind, heading in _HEADINGS.items():
        chosen = [entry for entry in entries if entry.kind == kind]
        parts += [f"## {in_language(heading, lang)}", _table(chosen, lang)]
    return "\n\n".join(parts) + "\n"


def _table(entries: Sequence[ReferenceEntry], lang: str) -> str:
    signed = any(entry.signature for entry in entries)
    head = [in_language(text, lang) for text in (_NAME, *([_SIGNATURE] if signed else []), _SUMMARY, _COMPARABLE)]
    lines = [_row(head), _row(["---"] * len(head))]
    for entry in entries:
        cells = [f"`{entry.name}`", *([f"`{entry.signature}`"] if signed else [])]
        lines.append(_row([*cells, in_language(entry.summary, lang), in_language(entry.comparable, lang)]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _metrics() -> list[ReferenceEntry]:
    on_labels = ("jaccard", "precision", "recall", "f1", "set_exact", "category")
    entries = [
        ReferenceEntry(
            "metric", metric.name, metric.signature, metric.summary, _LABELS if metric.name in on_labels else _PER_ITEM
        )
        for metric in (*METRICS.values(), category({}))
    ]
    return [
        *entries,
        ReferenceEntry(
            "metric",
            "perplexity",
            "perplexity|v:1",
            _("e to the mean negative log-likelihood of a token of the references, by teacher forcing; for texts."),
            _("Models with the same tokenizer, on the same exam."),
        ),
        ReferenceEntry(
            "metric",
            "bits_per_character",
            "bits_per_character|v:1",
            _("Negative log-likelihood of the references in bits, over their characters; for texts."),
            _("Any model on the same exam, whatever its tokenizer."),
        ),
    ]


def _codecs() -> list[ReferenceEntry]:
    summaries = {
        "text": _("Text as it is."),
        "number": _("Whole numbers, in one of several notations of place value."),
        "labels": _("A set of labels, in any order."),
        "quantity": _("A number with its unit."),
    }
    return [ReferenceEntry("codec", name, name, summary, _SAME_CODEC) for name, summary in summaries.items()]


def _baselines() -> list[ReferenceEntry]:
    beside = {ANNOTATORS: _("Read the model's score beside it; `terakoya compare` does not test against it.")}
    entries = [
        ReferenceEntry("baseline", name, "", info.summary, beside.get(name, _SAME_EXAM))
        for name, info in BASELINES.items()
    ]
    frequencies = _("For bits per character only: references under a unigram model of the training characters.")
    return [*entries, ReferenceEntry("baseline", FREQUENCIES, "", frequencies, _SAME_EXAM)]


_TITLE = _("Metrics, codecs and baselines")
_INTRODUCTION = _(
    "Made from `src/terakoya/scoring/reference.py`. A score carries a signature that says how it was made: exam, "
    "metric with its parameters and version, decoding, normal form and labels. `terakoya compare` refuses scores whose "
    "signatures differ. Run folders of older versions have metrics as `jaccard/1`; they are read as `jaccard|v:1`."
)
_HEADINGS = {
    "metric": _("Metrics"),
    "codec": _("Codecs"),
    "baseline": _("Baselines"),
}
_NAME, _SIGNATURE = _("name"), _("signature")
_SUMMARY, _COMPARABLE = _("description"), _("may be compared with")
