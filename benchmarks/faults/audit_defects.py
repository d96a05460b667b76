"""Detection rate of the audit: defects injected into clean data, by kind and strength, over several seeds.

    python -m benchmarks.faults.audit_defects [--seeds 5] [--clean-seeds 20] [--only "emoji in"]

Writes benchmarks/results/audit_defects.json and the table between the comments in docs/audit.md. The thresholds of the
audit (data/audit/thresholds.py) were committed before this was run for the first time.
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

from benchmarks.faults.injected_faults import CLEAN, DEFECTS, Data, Defect
from benchmarks.reporting import EXAMS, RESULTS, ROOT
from terakoya.data.audit import audit
from terakoya.records import Finding

BEGIN, END = "<!-- injected: begin -->", "<!-- injected: end -->"


def audit_findings(data: Data) -> list[Finding]:
    """Findings of level warn or stop on `data`."""
    return [finding for finding in audit(data.task(), data.split(), data.tokenizer) if finding.level != "note"]


@cache
def clean_data(name: str, seed: int, exams: Path) -> Data:
    """The clean data set `name`, drawn with `seed`."""
    return CLEAN[name](Random(f"{name} {seed}"), exams)


def count_false_alarms(seeds: int, exams: Path) -> dict[str, Any]:
    """Findings of level warn or stop on clean data: each is a false alarm."""
    result = {}
    for name in CLEAN:
        alarms: Counter[str] = Counter()
        for seed in range(seeds):
            data = clean_data(name, seed, exams)
            alarms.update(finding.check for finding in audit_findings(data))
        result[name] = {"rows": len(data.rows), "seeds": seeds, "alarms": dict(alarms)}
        print(name, result[name], flush=True)
    return result


def detection_curve(defect: Defect, seeds: int, exams: Path) -> dict[str, Any]:
    """By strength: in how many seeds the defect was found, and which other findings came up."""
    points, others = [], Counter[str]()
    for strength in defect.strengths:
        hits = 0
        for seed in range(seeds):
            rng = Random(f"{defect.name} {strength} {seed}")
            found = audit_findings(defect.inject(clean_data(defect.into, seed, exams), strength, rng))
            hits += any(one.check in defect.checks for one in found)
            others.update(one.check for one in found if one.check not in defect.checks)
        points.append([strength, hits])
    print(defect.name, points, dict(others), flush=True)
    return {
        "name": defect.name, "into": defect.into, "means": defect.means, "log": defect.log, "points": points,
        "checks": defect.checks, "beside": dict(others),
    }  # fmt: skip


def format_tables(result: dict[str, Any]) -> str:
    """The curves as a table: found in n of all seeds, for each strength."""
    seeds = result["seeds"]
    lines = [
        f"Each defect injected with {seeds} seeds at each strength; found means a finding of level warn or stop by one "
        "of the checks named. In bold the strength met in a log.",
        "",
        "| defect | into | found by | strength: found of " + str(seeds) + " |",
        "|---|---|---|---|",
    ]
    for one in result["defects"]:
        points = " · ".join(_point(one, strength, hits) for strength, hits in one["points"])
        means = "" if one["means"] == "share of rows" else f" ({one['means']})"
        lines.append(f"| {one['name']}{means} | {one['into']} | {', '.join(one['checks'])} | {points} |")
    lines += ["", "| clean data | rows | seeds | findings of level warn or stop |", "|---|---|---|---|"]
    for name, one in result["clean"].items():
        alarms = ", ".join(f"{check} {count}" for check, count in one["alarms"].items()) or "none"
        lines.append(f"| {name} | {one['rows']} | {one['seeds']} | {alarms} |")
    return "\n".join(lines)


def _point(one: dict[str, Any], strength: float, hits: int) -> str:
    is_share = one["means"].startswith("share")
    text = f"{100 * strength:g}%: {hits}" if is_share else f"{strength:g}: {hits}"
    return f"**{text}**" if strength == one["log"] else text


def replace_table(page: Path, body: str) -> None:
    """Replace the table between its comments; the rest of the page stays as it is."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--clean-seeds", type=int, default=20)
    parser.add_argument("--exams", type=Path, default=EXAMS)
    parser.add_argument("--only", default="", help="measure these kinds again, with the same number of seeds")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "audit.md")
    args = parser.parse_args()
    started = time.perf_counter()
    chosen = [defect for defect in DEFECTS if args.only in defect.name]
    kept = RESULTS / "audit_defects.json"
    before = json.loads(kept.read_text(encoding="utf-8")) if args.only else {"defects": []}
    curves = {one["name"]: one for one in before["defects"]}
    curves |= {defect.name: detection_curve(defect, args.seeds, args.exams) for defect in chosen}
    result = {
        "seeds": args.seeds,
        "seconds": round(time.perf_counter() - started),
        "clean": before["clean"] if args.only else count_false_alarms(args.clean_seeds, args.exams),
        "defects": [curves[defect.name] for defect in DEFECTS],
    }
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    replace_table(args.page, format_tables(result))


if __name__ == "__main__":
    main()
