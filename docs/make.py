"""Pages made from code (settings, metrics, errors; English and Japanese), and results.md from runs.

python docs/make.py [RUNS …]
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
LANGUAGES = {"en": "settings.md", "ja": "settings.ja.md"}
METRICS = {"en": "metrics.md", "ja": "metrics.ja.md"}
ERRORS = {"en": "errors.md", "ja": "errors.ja.md"}


def settings(lang: str = "en") -> str:
    """The page of all settings, made from the descriptions in config/schema.py and config/sections/."""
    from terakoya.config.explain import settings_page

    return settings_page(lang)


def metrics(lang: str = "en") -> str:
    """The page of all metrics, codecs and baselines."""
    from terakoya.scoring.reference import reference_page

    return reference_page(lang)


def errors(lang: str = "en") -> str:
    """The page of all exit codes and errors."""
    from terakoya.errors.reference import errors_page

    return errors_page(lang)


def results(runs: list[Path]) -> str:
    """A row for each part of a run's exam: the model's main score, the baseline that decided, the rule, the verdict.

    A part "of the same source" was made by the program, or drawn from the table, that made the training examples; the
    other parts were written by hand by the project's authors.
    """
    head = "experiment | part of the exam | metric | model [95%] | seeds | deciding baseline | rule | items (groups)"
    rows = [f"| {head} | verdict |", "|" + "---|" * 9]
    return "\n".join([*rows, *(row for run in runs for row in _rows_of(run))]) + "\n"


def _rows_of(run: Path) -> list[str]:
    from terakoya.runs import read_json
    from terakoya.runs.result import read_result

    found = read_result(run)
    best = read_json(run / "scores.json")["verdict"].get("best") or ""
    parts = (read_json(run / "manifest.json").get("dataset") or {}).get("exam_parts") or {}
    metric = next(score.metric for score in found.scores if score.who == "model" and score.subset == "")
    valued = {(score.who, score.subset): score for score in found.scores if score.metric == metric}
    rows = []
    for who, subset in valued:
        if who != "model":
            continue
        score, part = valued[who, subset], parts.get(subset, {})
        same = part.get("same_source", 0)
        made = {0: "by hand", score.n: "same source"}.get(same, f"{same} of same source")
        baseline, rule = valued.get((best, subset)), valued.get(("rule", subset))
        groups = f" ({part['groups']:,})" if part.get("groups", score.n) != score.n else ""
        rows.append(
            f"| `{run.name.rsplit('-', 2)[0]}` | {subset or 'main'}, {made} | {metric} | {score.value:.4f} "
            f"[{score.low:.4f}, {score.high:.4f}] | {_seeds(run, subset)} "
            f"| {f'{best} {baseline.value:.3f}' if baseline else ''} "
            f"| {f'{rule.value:.3f}' if rule else ''} | {score.n:,}{groups} | {'' if subset else found.state} |"
        )
    return rows


def _seeds(run: Path, subset: str) -> str:
    """How many models the main subset was answered by, and how far they scatter; other subsets have the first one."""
    from terakoya.reporting import read_record
    from terakoya.reporting.seed_sections import seed_spread

    record = read_record(run)
    spread = dict(seed_spread(record))
    if subset or not spread:
        return "1"
    return f"{len(record.seeds)}: mean {spread['mean']:.4f}, sd {spread['standard deviation']:.4f}"


def main() -> None:
    for lang, name in LANGUAGES.items():
        (HERE / name).write_text(settings(lang), encoding="utf-8")
    for lang, name in METRICS.items():
        (HERE / name).write_text(metrics(lang), encoding="utf-8")
    for lang, name in ERRORS.items():
        (HERE / name).write_text(errors(lang), encoding="utf-8")
    if len(sys.argv) > 1:
        (HERE / "results.md").write_text(results([Path(name) for name in sys.argv[1:]]), encoding="utf-8")


if __name__ == "__main__":
    main()
