"""Wrong rows found by a trained model's own doubt (`terakoya audit DATA --with RUN`), and false alarms on clean data.

    python -m benchmarks.faults.wrong_rows [--seeds 3]

Targets of a share of the rows are exchanged among them. The model is trained on clean rows of the same table, or on
the very rows that are audited, errors included; these once more with folds (`--folds 4`). Writes
benchmarks/results/wrong_rows.json and the table between the comments in docs/audit.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.reporting import RESULTS, ROOT, markdown_table
from terakoya.data.formats import read_rows, write_rows
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.tasks.numerals.spelling import kanji

BEGIN, END = "<!-- wrong-rows: begin -->", "<!-- wrong-rows: end -->"
NOISE = (0.0, 0.02, 0.05, 0.10)
FOLDS = 4
Pairs = list[tuple[str, str]]


def times(rng: Random) -> Pairs:
    """Times of day, the table that `terakoya new` writes."""
    table = Path(str(resources.files("terakoya.pipeline.scaffold") / "table.csv"))
    rows = [(row.cells["source"], row.cells["target"]) for row in read_rows(table)]
    return rng.sample(rows, len(rows))


def numbers(rng: Random) -> Pairs:
    """Kanji numerals below a hundred thousand."""
    return [(kanji(number, rng), str(number)) for number in rng.sample(range(100_000), 1500)]


def moods(rng: Random) -> Pairs:
    """Sentences of four parts with one mood each, decided by one word; for a set head."""
    words = {"うれしい": ("当たった", "ほめられた", "届いた", "受かった", "咲いた", "笑った"),
             "かなしい": ("失くした", "割れた", "別れた", "負けた", "枯れた", "泣いた"),
             "いらいら": ("待たされた", "遅れた", "詰まった", "忘れられた", "割りこまれた", "止まった")}  # fmt: skip
    who = ("妹が", "先生が", "隣の人が", "友だちが", "祖母が", "猫が", "店員が", "弟が")
    when = ("今朝", "昨日", "駅で", "学校で", "雨の中で", "夜中に", "旅先で", "庭で")
    rows = {
        f"{rng.choice(when)}{rng.choice(who)}{rng.choice(found)}": mood
        for mood, found in words.items()
        for _ in range(400)
    }
    return rng.sample(sorted(rows.items()), min(500, len(rows)))


TASKS = {"times": (times, "text"), "numbers": (numbers, "number"), "moods": (moods, "labels")}


def exchange(rows: Pairs, share: float, rng: Random) -> tuple[Pairs, set[int]]:
    """The rows with the targets of a share of them taken from other rows, and the lines of those that changed."""
    changed = list(rows)
    for index in rng.sample(range(len(rows)), round(share * len(rows))):
        others = [target for _source, target in rng.sample(rows, 20) if target != rows[index][1]]
        changed[index] = (rows[index][0], others[0])
    return changed, {at + 2 for at, (one, other) in enumerate(zip(rows, changed, strict=True)) if one != other}


def named_rows(table: Path, run: Path, codec: str, folds: int = 0) -> set[int]:
    """The lines that the audit suspects, all of them."""
    from terakoya.evaluation import wrong_rows

    wrong_rows.NAMED = 10**6
    found = commands.audit(str(table), overrides=[f"task.codec={codec}"], with_run=run, folds=folds)
    return {row for finding in found if finding.check == "wrong-rows" for row in finding.rows}


def train(table: Path, codec: str, folder: Path, seed: int) -> Path:
    """The run folder of a small model trained on a table."""
    config = folder / f"{table.stem}.toml"
    config.write_text(
        f'name = "{table.stem}"\nseed = {seed}\n[task]\ndata = "{table.name}"\ncodec = "{codec}"\n'
        '[model]\nbase = "tiny"\n[score]\nresamples = 100\n',
        encoding="utf-8",
    )
    return Path(pipeline.run(str(config), run_dir=folder / "runs", anyway=True).folder)


def measure(name: str, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Found and falsely suspected rows of one table, for every share of wrong rows and both ways of training."""
    make, codec = TASKS[name]
    rng = Random(f"{name} {seed}")
    rows = make(rng)
    clean = _written(folder / f"{name}-{seed}-clean.csv", rows)
    trained = train(clean, codec, folder, seed)
    results = []
    for share in NOISE:
        noisy, wrong = exchange(rows, share, rng)
        table = _written(folder / f"{name}-{seed}-{round(100 * share)}.csv", noisy)
        runs = {"clean rows": (trained, 0)}
        if share in (0.0, 0.05):
            same = train(table, codec, folder, seed)
            runs |= {"the audited rows": (same, 0), f"the audited rows, {FOLDS} folds": (same, FOLDS)}
        for how, (run, folds) in runs.items():
            named = named_rows(table, run, codec, folds)
            results.append(
                {"task": name, "seed": seed, "trained on": how, "share": share, "rows": len(rows), "wrong": len(wrong),
                 "found": len(named & wrong), "false": len(named - wrong)}
            )  # fmt: skip
            print(results[-1], flush=True)
    return results


def _written(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    write_rows(path, ("source", "target"), rows)
    return path


def format_table(results: Sequence[dict[str, Any]]) -> str:
    """One line for each table, way of training and share, summed over seeds."""
    keys = list(dict.fromkeys((one["task"], one["trained on"], one["share"]) for one in results))
    lines = []
    for task, how, share in keys:
        these = [one for one in results if (one["task"], one["trained on"], one["share"]) == (task, how, share)]
        wrong, found, false, rows = (sum(one[key] for one in these) for key in ("wrong", "found", "false", "rows"))
        lines.append(
            (task, how, f"{share:.0%}", rows, f"{found} of {wrong}", f"{false} ({false / (rows - wrong):.1%})")
        )
    return markdown_table(("table", "trained on", "wrong rows", "rows", "found", "false alarms"), lines)


def main() -> None:
    """Measures all tables and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "audit.md")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = [one for name in TASKS for seed in range(args.seeds) for one in measure(name, seed, Path(folder))]
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(results, ensure_ascii=False, indent=1)
    (RESULTS / "wrong_rows.json").write_text(text + "\n", encoding="utf-8")
    page = args.page.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    args.page.write_text(f"{before}{BEGIN}\n{format_table(results)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
