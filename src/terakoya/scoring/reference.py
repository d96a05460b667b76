"""The list of all metrics, codecs and baselines with what each may be compared with: the source of docs/metrics.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from terakoya.i18n import both, in_language
from terakoya.scoring.baselines.standard import BASELINES
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


_PER_ITEM = both(
    "Scores with the same signature on the same exam, with the same codec and the same decoding.",
    "同じ試験・同じコーデック・同じデコードで、シグネチャが等しいスコア。",
)
_LABELS = both(
    "Scores with the same signature on the same exam, with the same set of labels and the same decoding.",
    "同じ試験・同じラベルの集合・同じデコードで、シグネチャが等しいスコア。",
)
_SAME_CODEC = both(
    "Scores of other models with the same codec; with another codec, predictions have another normal form.",
    "同じコーデックを使うモデルのスコア。コーデックが異なると予測の正規形も異なる。",
)
_SAME_EXAM = both(
    "The model, on the same exam and in the same metric, item by item.",
    "同じ試験・同じ指標でのモデルのスコア（問題ごとに対応させて比べる）。",
)


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
            both(
                "e to the mean negative log-likelihood of a token of the references, by teacher forcing; for texts.",
                "参照文のトークンあたりの平均負の対数尤度の指数（teacher forcing）。テキストのタスク用。",
            ),
            both(
                "Models with the same tokenizer, on the same exam.", "同じ試験での、トークナイザが同じモデルのスコア。"
            ),
        ),
        ReferenceEntry(
            "metric",
            "bits_per_character",
            "bits_per_character|v:1",
            both(
                "Negative log-likelihood of the references in bits, over their characters; for texts.",
                "参照文の負の対数尤度（ビット）を文字数で割った値。テキストのタスク用。",
            ),
            both(
                "Any model on the same exam, whatever its tokenizer.",
                "同じ試験でのあらゆるモデルのスコア（トークナイザによらない）。",
            ),
        ),
    ]


def _codecs() -> list[ReferenceEntry]:
    summaries = {
        "text": both("Text as it is.", "テキストをそのまま使う。"),
        "number": both(
            "Whole numbers, in one of several notations of place value.", "整数。桁の書き方（表記）を選べる。"
        ),
        "labels": both("A set of labels, in any order.", "ラベルの集合（順序によらない）。"),
        "quantity": both("A number with its unit.", "単位の付いた数量。"),
    }
    return [ReferenceEntry("codec", name, name, summary, _SAME_CODEC) for name, summary in summaries.items()]


def _baselines() -> list[ReferenceEntry]:
    entries = [ReferenceEntry("baseline", name, "", info.summary, _SAME_EXAM) for name, info in BASELINES.items()]
    frequencies = both(
        "For bits per character only: references under a unigram model of the training characters.",
        "1文字あたりのビット数のみ。学習データの文字ユニグラムモデルで参照文を評価する。",
    )
    return [*entries, ReferenceEntry("baseline", FREQUENCIES, "", frequencies, _SAME_EXAM)]


_TITLE = both("Metrics, codecs and baselines", "指標・コーデック・ベースライン")
_INTRODUCTION = both(
    "Made from `src/terakoya/scoring/reference.py`. A score carries a signature that says how it was made: exam, "
    "metric with its parameters and version, decoding, normal form and labels. `terakoya compare` refuses scores whose "
    "signatures differ. Run folders of older versions have metrics as `jaccard/1`; they are read as `jaccard|v:1`.",
    "`src/terakoya/scoring/reference.py` から作成。スコアには、作り方を示すシグネチャが付く："
    "試験、指標（パラメータと版を含む）、デコード、正規形、ラベル。"
    "`terakoya compare` はシグネチャの異なるスコアを比べない。"
    "旧版の実行フォルダにある `jaccard/1` は `jaccard|v:1` として読む。",
)
_HEADINGS = {
    "metric": both("Metrics", "指標"),
    "codec": both("Codecs", "コーデック"),
    "baseline": both("Baselines", "ベースライン"),
}
_NAME, _SIGNATURE = both("name", "名前"), both("signature", "シグネチャ")
_SUMMARY, _COMPARABLE = both("description", "説明"), both("may be compared with", "比べられるもの")
