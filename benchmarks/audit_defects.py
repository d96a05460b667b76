"""What the audit finds: defects planted into clean data, by kind and strength, over several seeds.

    python benchmarks/audit_defects.py [--seeds 5] [--clean-seeds 20] [--only "emoji in"]

writes benchmarks/results/audit_defects.json and the table between the marks in docs/audit.md. The lines that the audit
draws (data/audit/thresholds.py) were committed before this was run for the first time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from planted import CLEAN, DEFECTS, HERE, Data, Defect
from terakoya.data.audit import audit
from terakoya.records import Finding

BEGIN, END = "<!-- planted: begin -->", "<!-- planted: end -->"


def raised(data: Data) -> list[Finding]:
    return [found for found in audit(data.task(), data.split(), data.tokenizer) if found.level != "note"]


@cache
def clean(name: str, seed: int, exams: Path) -> Data:
    return CLEAN[name](Random(f"{name} {seed}"), exams)


def clean_run(seeds: int, exams: Path) -> dict[str, Any]:
    """Findings of level warn or stop on clean data: each is a false alarm."""
    result = {}
    for name in CLEAN:
        alarms: Counter[str] = Counter()
        for seed in range(seeds):
            data = clean(name, seed, exams)
            alarms.update(found.check for found in raised(data))
        result[name] = {"rows": len(data.rows), "seeds": seeds, "alarms": dict(alarms)}
        print(name, result[name], flush=True)
    return result


def curve(defect: Defect, seeds: int, exams: Path) -> dict[str, Any]:
    """By strength: in how many seeds the defect was found, and what else was raised beside it."""
    points, others = [], Counter[str]()
    for strength in defect.strengths:
        hits = 0
        for seed in range(seeds):
            random = Random(f"{defect.name} {strength} {seed}")
            found = raised(defect.plant(clean(defect.into, seed, exams), strength, random))
            hits += any(one.check in defect.seen_by for one in found)
            others.update(one.check for one in found if one.check not in defect.seen_by)
        points.append([strength, hits])
    print(defect.name, points, dict(others), flush=True)
    return {
        "name": defect.name, "into": defect.into, "means": defect.means, "log": defect.log, "points": points,
        "seen_by": defect.seen_by, "beside": dict(others),
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The curves as a table: found in n of all seeds, for each strength."""
    seeds = result["seeds"]
    lines = [
        f"Each defect planted with {seeds} seeds at each strength; found means a finding of level warn or stop by one "
        "of the checks named. In bold the strength that a log had found.",
        "",
        "| defect | into | found by | strength: found of " + str(seeds) + " |",
        "|---|---|---|---|",
    ]
    for one in result["defects"]:
        points = " · ".join(_point(one, strength, hits) for strength, hits in one["points"])
        means = "" if one["means"] == "share of rows" else f" ({one['means']})"
        lines.append(f"| {one['name']}{means} | {one['into']} | {', '.join(one['seen_by'])} | {points} |")
    lines += ["", "| clean data | rows | seeds | findings of level warn or stop |", "|---|---|---|---|"]
    for name, one in result["clean"].items():
        alarms = ", ".join(f"{check} {count}" for check, count in one["alarms"].items()) or "none"
        lines.append(f"| {name} | {one['rows']} | {one['seeds']} | {alarms} |")
    return "\n".join(lines)


def _point(one: dict[str, Any], strength: float, hits: int) -> str:
    is_share = one["means"].startswith("share")
    text = f"{100 * strength:g}%: {hits}" if is_share else f"{strength:g}: {hits}"
    return f"**{text}**" if strength == one["log"] else text


def written(page: Path, body: str) -> None:
    """The table between its marks; the rest of the page is left alone."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--clean-seeds", type=int, default=20)
    asked.add_argument("--exams", type=Path, default=HERE / "exams")
    asked.add_argument("--only", default="", help="measure these kinds again, with the same number of seeds")
    asked.add_argument("--page", type=Path, default=HERE.parent / "docs" / "audit.md")
    args = asked.parse_args()
    begun = time.perf_counter()
    chosen = [defect for defect in DEFECTS if args.only in defect.name]
    kept = HERE / "results" / "audit_defects.json"
    before = json.loads(kept.read_text(encoding="utf-8")) if args.only else {"defects": []}
    curves = {one["name"]: one for one in before["defects"]}
    curves |= {defect.name: curve(defect, args.seeds, args.exams) for defect in chosen}
    result = {
        "seeds": args.seeds,
        "seconds": round(time.perf_counter() - begun),
        "clean": before["clean"] if args.only else clean_run(args.clean_seeds, args.exams),
        "defects": [curves[defect.name] for defect in DEFECTS],
    }
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    written(args.page, table(result))


if __name__ == "__main__":
    main()
