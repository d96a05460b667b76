"""160 rows, by the product's own `run`, and a table made of the run folders.

    python -m benchmarks.quality.few_rows [--seeds 0 1 2 3 4] [--items 300] [--arms none symmetry augment] [--set …]
    python -m benchmarks.quality.few_rows --table        # only the table of the runs that there are

The regime of the numerals log (`kannume-160`): for each seed its own 160 rows and 40 for dev; the exam is `--items`
rows of the same kind, none of whose numbers is in training or dev. Arms: no further rows; 20 made of each by lexical
symmetry; 20 by rule. `--set KEY=VALUE` changes all arms. Settings were chosen with seeds from 100 on, which have other
rows and other exams; what is promised is measured with seeds 0 to 4. A finished run is not repeated. The table has the
exam, and of it the items with a character that no training row has; CPU minutes are those of the whole run, the
untrained base left out. Runs that stand in results/few_rows.json and have no folder here stay in it.
Written: results/few_rows.md and .json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting import RESULTS, machine_summary, markdown_table, write_results
from benchmarks.reporting import WORK as WORK_FOLDERS
from terakoya.runs import read_json, read_lines
from terakoya.scoring.statistics.intervals import wilson
from terakoya.tasks.numerals.small import small_split

WORK = WORK_FOLDERS / "few_rows"
ARMS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "symmetry": ("task.augment=20", "task.augment_method=symmetry"),
    "augment": ("task.augment=20",),
}
_UNSEEN = "task.options.unseen="  # setting by which every item of the exam has a digit that no training row has
_FACTS = "few_rows.json"  # beside the run folder: what was asked for, and what the record does not hold


def run(arm: str, seed: int, items: int, settings: Sequence[str]) -> None:
    """One `terakoya run`, unless its folder is there and sealed."""
    folder = WORK / "_".join((arm, str(seed), str(items), *settings)).replace("/", "-").replace(" ", "")
    if (folder / _FACTS).is_file():
        return
    given = [
        f"seed={seed}", f"task.options.exam_seed={seed}", f"score.exam_items={items}", "score.untrained_base=false",
        *ARMS[arm], *settings,
    ]  # fmt: skip
    terakoya = [sys.executable, "-m", "terakoya", "run"]
    interrupted = [str(path.parent) for path in folder.glob("*/manifest.json")]
    command = [*terakoya, *interrupted] if interrupted else [
        *terakoya, "kannume-160", "--run-dir", str(folder), *(part for one in given for part in ("--set", one)),
    ]  # fmt: skip
    before = _cpu_seconds()
    done = subprocess.run([*command, "--anyway"], check=False, text=True)
    cpu = None if interrupted else _cpu_seconds() - before  # what was spent before the interruption is not known
    facts = {"arm": arm, "seed": seed, "items": items, "settings": list(settings), "cpu": cpu}
    found = [path.parent for path in folder.glob("*/scores.json")]
    if len(found) != 1:
        raise SystemExit(f"{folder}: terakoya run ended with {done.returncode} and left {len(found)} scored runs")
    (folder / _FACTS).write_text(json.dumps({**facts, "run": found[0].name}), encoding="utf-8")
    _drop_checkpoints(found[0])


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _drop_checkpoints(folder: Path) -> None:
    """A state of a pretrained base has gigabytes, and nothing of it is read again."""
    for file in folder.glob("checkpoints/*/*.safetensors"):
        file.unlink()


def read_runs() -> Iterator[dict[str, Any]]:
    """What each run folder holds: exact answers, and exact answers to items with an unseen character."""
    for file in sorted(WORK.glob(f"*/{_FACTS}")):
        facts = read_json(file)
        folder = file.parent / facts["run"]
        unseen = next((int(one.split("=")[1]) for one in facts["settings"] if one.startswith(_UNSEEN)), 0)
        trained = {char for row in small_split(facts["seed"], unseen=unseen).train for char in row.source}
        lines = [line for line in read_lines(folder / "predictions.jsonl") if not line.get("subset")]
        right = {line["source"]: line["verdict"] == 1.0 for line in lines}
        new = [source for source in right if not set(source) <= trained]
        settings = sorted(_named(setting) for setting in facts["settings"])
        yield facts | {"settings": settings} | {
            "n": len(right), "correct": sum(right.values()),
            "unseen": len(new), "unseen_correct": sum(right[source] for source in new),
            "training_seconds": read_json(folder / "manifest.json")["training"]["seconds"],
        }  # fmt: skip


def _earlier(found: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Runs that were written down before, of which there is no folder any more."""
    file, there = RESULTS / "few_rows.json", {_identity(one) for one in found}
    for one in read_json(file)["runs"] if file.is_file() else ():
        if _identity(one) not in there:
            yield one


def _identity(one: Mapping[str, Any]) -> tuple[str, tuple[str, ...], int, int]:
    return one["arm"], tuple(one["settings"]), one["items"], one["seed"]


def _named(setting: str) -> str:
    """A setting whose value, where it is a path, is the last part of it: tables name no machine's folders."""
    key, _equals, value = setting.partition("=")
    return f"{key}={Path(value).name}" if key == "model.base" else setting


def page(runs: Sequence[dict[str, Any]]) -> str:
    """A row for each arm and its settings, all seeds pooled."""
    arms: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for one in runs:
        chosen = "chosen on" if one["seed"] >= 100 else "measured on"
        arms[f"{one['arm']}, {chosen}", " ".join(one["settings"])].append(one)
    lines = []
    for (arm, settings), found in sorted(arms.items()):
        found.sort(key=lambda one: one["seed"])
        correct, n, unseen, known = (
            sum(one[key] for one in found) for key in ("correct", "n", "unseen", "unseen_correct")
        )
        low, high = wilson(correct, n)
        each = " ".join(f"{one['correct'] / one['n']:.3f}" for one in found)
        cpu = max((one["cpu"] / 60 for one in found if one["cpu"] is not None), default=float("nan"))
        lines.append(
            (arm, settings, each, f"{correct / n:.3f} [{low:.3f}, {high:.3f}]", n, f"{known} of {unseen}", f"{cpu:.1f}")
        )
    head = ("arm", "settings", "every seed", "exact, 95% (items pooled)", "n", "unseen characters", "CPU min, at most")
    return f"# 160 rows\n\n{machine_summary(('torch', 'transformers'))}\n\n{markdown_table(head, lines)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(range(5)))
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    for seed in () if args.table else args.seeds:
        for arm in args.arms:
            run(arm, seed, args.items, args.settings)
    runs = [*read_runs()]
    runs = sorted([*runs, *_earlier(runs)], key=_identity)
    values = {"machine": machine_summary(("torch",)), "runs": runs}
    print(write_results("few_rows", page(runs), values).read_text("utf-8"))


if __name__ == "__main__":
    main()
