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
    """The page of all settings, made from the descriptions in config/schema.py."""
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
    """One row a run: the model's main score beside its best baseline, with interval and number of items."""
    from terakoya.runs.result import read_result

    rows = ["| experiment | metric | model | 95% | best baseline | n | verdict |", "|---|---|---|---|---|---|---|"]
    for run in runs:
        found = read_result(run)
        mine = next(score for score in found.scores if score.who == "model" and score.subset == "")
        others = [
            score
            for score in found.scores
            if score.who not in ("model", "hybrid") and score.subset == "" and score.metric == mine.metric
        ]
        best = max(others, key=lambda score: score.value, default=None)
        beside = f"{best.who} {best.value:.3f}" if best else ""
        rows.append(
            f"| `{run.name.rsplit('-', 2)[0]}` | {mine.metric} | {mine.value:.4f} | {mine.low:.4f} – {mine.high:.4f} "
            f"| {beside} | {mine.n} | {found.state} |"
        )
    return "\n".join(rows) + "\n"


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
