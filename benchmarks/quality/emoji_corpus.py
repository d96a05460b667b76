"""Our own Japanese corpus, skewed as the emoji log's v1 and balanced as its v2, on an exam of 408 hand-written
sentences.

    python -m benchmarks.quality.emoji_corpus [run] [table] [--seeds 5] [--arms ARM …]

run     trains on each data set as sets with the shipped settings, and on v1 as in the log (a sequence, the checkpoint
        of least dev loss); every training seed is a run of its own under benchmarks/work/emoji_corpus, and finished
        runs are not repeated
table   writes benchmarks/results/emoji_corpus.md and .json from those run folders

The exam was written before any of this was trained, and accepts several sets for most sentences: a prediction scores as
the best of them. Intervals are over the exam's sentences, the seeds of a sentence averaged first.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.emoji_sets import bootstrap_interval
from benchmarks.reporting import WORK as WORK_FOLDERS
from benchmarks.reporting import machine_summary, markdown_table, write_results
from benchmarks.trained_fixtures import finished_runs, train_once
from terakoya.records import subset_of
from terakoya.runs import read_json, read_lines

WORK = WORK_FOLDERS / "emoji_corpus"
EXAM = ('task.options.exam="emoji-ja"', 'task.options.labels="lexicon"')
# Arm → (shipped experiment, settings).
ARMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "v1, as in the log": ("emoji-v1-as-logged", ('task.options.exam="emoji-ja"',)),
    # As large as for v2, and calibrated on dev alone as there: out-of-fold predictions of 780 labels are slow.
    "v1, as sets": ("emoji-v1-cured", (*EXAM, 'model.base="small"', "train.crossfit=false")),
    "v2, as sets": ("emoji-v2", EXAM),
}
BASELINES = ("constant", "nearest neighbour", "name lexicon", "word table")
LEAKS = ("leak", "near-leak")
GAPS = ("exam-hole", "unanswerable-labels")


def arm_folder(arm: str) -> Path:
    """The work folder of an arm."""
    return WORK / arm.replace(", ", "-").replace(" ", "-")


def main_predictions(run: Path) -> list[dict[str, Any]]:
    """The prediction lines of the main subset of a run's exam."""
    return [line for line in read_lines(run / "predictions.jsonl") if subset_of(line) == ""]


def prediction_statistics(run: Path, lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Over the whole exam: share of ✨ among labels, share of the most frequent set, distinct sets, empty "
    "predictions."""
    sets = Counter(line["prediction"] or "" for line in lines)
    labels = Counter(label for line in lines for label in (line["prediction"] or "").split())
    repeated = sum(len(set(one.split())) < len(one.split()) for one in sets.elements())
    return {
        "sparkles": labels["✨"] / max(1, labels.total()),
        "top_set": sets.most_common(1)[0][1] / len(lines),
        "distinct": len(sets),
        "empty": sets[""],
        "repeated": repeated,
    }


def arm_row(arm: str, runs: Sequence[Path]) -> tuple[str, ...]:
    """One line of the page: an arm with the mean over its seeds."""
    found = [main_predictions(run) for run in runs]
    items = np.mean([[line["verdict"] for line in lines] for lines in found], axis=0)
    low, high = bootstrap_interval(items.tolist())
    each = " ".join(f"{np.mean([line['verdict'] for line in lines]):.3f}" for lines in found)
    seen = [prediction_statistics(run, lines) for run, lines in zip(runs, found, strict=True)]
    mean = {key: float(np.mean([one[key] for one in seen])) for key in seen[0]}
    return (
        arm, str(len(items)), f"{items.mean():.3f} [{low:.3f}, {high:.3f}]", each, f"{mean['sparkles']:.3f}",
        f"{mean['top_set']:.3f}", f"{mean['distinct']:.0f}", f"{mean['empty']:.0f}", f"{mean['repeated']:.0f}",
    )  # fmt: skip


def make_baselines(arm: str, run: Path) -> list[tuple[str, ...]]:
    """The baselines that the run itself scored on the same sentences."""
    scores = read_json(run / "scores.json")["scores"]
    metric = next(one["metric"] for one in scores if one["who"] == "model" and subset_of(one) == "")
    return [
        (
            f"{one['who']} ({arm.split(',')[0]})",
            str(one["n"]),
            f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]",
        )
        + ("",) * 6
        for one in scores
        if one["who"] in BASELINES and subset_of(one) == "" and one["metric"] == metric
    ]


def verdict_rows(arm: str, runs: Sequence[Path]) -> list[tuple[str, ...]]:
    """Each seed's own verdict: paired with the best baseline, sentence by sentence."""
    found = [read_json(run / "scores.json")["verdict"] for run in runs]
    return [
        (arm, one["best"], f"{one['gain']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]", one["state"]) for one in found
    ]


def tag_rows(runs: Sequence[Path], tag: str) -> list[tuple[str, ...]]:
    """One line for each value of `tag`, best first."""
    values: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for line in main_predictions(run):
            values[line["tags"][tag]].append(line["verdict"])
    rows: list[tuple[str, ...]] = []
    for name, found in sorted(values.items(), key=lambda pair: -float(np.mean(pair[1]))):
        n = len(found) // len(runs)
        items = np.mean(np.asarray(found).reshape(len(runs), n), axis=0)
        low, high = bootstrap_interval(items.tolist())
        rows.append((name, str(n), f"{items.mean():.3f} [{low:.3f}, {high:.3f}]"))
    return rows


def overlap(run: Path) -> str:
    """What the audit found about the exam against the training data."""
    found = list(read_lines(run / "findings.jsonl"))
    shown = [f"- {one['check']}: {one['what']}" for one in found if one["check"] in LEAKS + GAPS]
    if not any(one["check"] in LEAKS for one in found):
        shown.insert(0, "- no sentence of the exam, nor a near duplicate of one, is in the training data")
    return "\n".join(shown)


def page() -> tuple[str, dict[str, Any]]:
    """The Markdown page and its values, from the finished runs."""
    text = (
        f"# Our own corpus, on hand-written sentences\n\n{machine_summary(('torch',))}. Jaccard (the best of "
        "the accepted sets) "
        "with a 95% interval over sentences.\n\n"
    )
    rows: list[tuple[str, ...]] = []
    values: dict[str, Any] = {"machine": machine_summary(("torch",))}
    for arm in ARMS:
        runs = [run for run, _ in finished_runs(arm_folder(arm))]
        if not runs:
            continue
        rows.append(arm_row(arm, runs))
        values[arm] = [{"run": run.name, **prediction_statistics(run, main_predictions(run))} for run in runs]
    for arm in ("v1, as sets", "v2, as sets"):
        for run, _ in list(finished_runs(arm_folder(arm)))[:1]:
            rows += make_baselines(arm, run)
    head = ("what", "n", "Jaccard", "every seed", "share of ✨", "top set", "distinct", "empty", "repeats")
    text += markdown_table(head, rows)
    text += "\n## Every seed against its best baseline, paired\n\n"
    text += markdown_table(
        ("what", "best baseline", "gain", "verdict"),
        [line for arm in ARMS for line in verdict_rows(arm, [run for run, _ in finished_runs(arm_folder(arm))])],
    )
    for arm in ("v1, as sets", "v2, as sets"):
        runs = [run for run, _ in finished_runs(arm_folder(arm))]
        if runs:
            text += f"\n## The exam against the data of {arm.split(',')[0]}, as audited\n\n{overlap(runs[0])}\n"
    for tag in ("topic", "style"):
        runs = [run for run, _ in finished_runs(arm_folder("v2, as sets"))]
        if runs:
            text += f"\n## v2, by {tag}\n\n{markdown_table((tag, 'n', 'Jaccard'), tag_rows(runs, tag))}"
    return text, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["run", "table"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    args = parser.parse_args()
    if "run" in args.what:
        for seed in range(args.seeds):
            for arm in args.arms:
                experiment, settings = ARMS[arm]
                train_once(arm_folder(arm), experiment, (*settings, f"seed={seed}"))
    if "table" in args.what:
        print(write_results("emoji_corpus", *page()).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
