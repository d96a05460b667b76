"""Confidence and verification on kanji numerals: `make bench-verification`.

    python -m benchmarks.quality.verification [RUN]

RUN is a finished run of `kannume` (by default one left by benchmarks/quality/numerals.py; made where there is none).
The numbers of 1,000 and more of its exam are predicted from the original source, and again from a source with one
character dropped, doubled, or swapped with its neighbour. Correct is the number that the oracle reads in the source as
it then stands; a corrupted source that the oracle cannot read has no correct prediction. Verified: a prediction that
cannot have produced its source is withheld (`predict --verify`). Thresholds: a prediction below a probability is
withheld (`predict --abstain-below`). Verification reads the source by the oracle itself, so what it lets through is
correct by construction: its result is the coverage. Written: benchmarks/results/verification.md and .json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

from benchmarks.quality import numerals
from benchmarks.reporting import machine_summary, markdown_table, write_results
from benchmarks.trained_fixtures import finished_runs
from terakoya.config import read_config
from terakoya.decoding.predict import predict_queries
from terakoya.decoding.withholding import withhold
from terakoya.models.protocol import Query
from terakoya.pipeline import dataset
from terakoya.records import Prediction
from terakoya.registry import Experiment
from terakoya.saved_model import Skill, read_skill
from terakoya.scoring.statistics.calibration import calibration
from terakoya.scoring.statistics.intervals import wilson
from terakoya.tasks.numerals.reader import read as oracle

THRESHOLDS = (0.5, 0.9, 0.99)


def drop_character(text: str, rng: Random) -> str:
    """One random character removed."""
    position = rng.randrange(len(text))
    return text[:position] + text[position + 1 :]


def double_character(text: str, rng: Random) -> str:
    """One random character repeated."""
    position = rng.randrange(len(text))
    return text[:position] + text[position] + text[position:]


def swap_neighbours(text: str, rng: Random) -> str:
    """Two different neighbouring characters exchanged (one removed where all are equal)."""
    positions = [position for position in range(len(text) - 1) if text[position] != text[position + 1]]
    if not positions:
        return drop_character(text, rng)
    position = rng.choice(positions)
    return text[:position] + text[position + 1] + text[position] + text[position + 2 :]


CORRUPTIONS: Mapping[str, Callable[[str, Random], str]] = MappingProxyType(
    {
        "original": lambda text, rng: text,
        "a character dropped": drop_character,
        "a character doubled": double_character,
        "two neighbours exchanged": swap_neighbours,
    }
)


def finished_run(given: Path | None) -> Path:
    """The given run, or one of the numerals benchmark, trained if there is none."""
    if given is not None:
        return given
    if not list(finished_runs(numerals.WORK / "default")):
        numerals.train_kind("default", "kannume", ("score.exam_items=20000", "seed=0"))
    return next(run for run, _ in finished_runs(numerals.WORK / "default"))


def exam_sources(run: Path) -> list[str]:
    """The sources of the main subset of the run's exam."""
    config = read_config(run / "config.toml")
    loaded = dataset.load_dataset(Experiment(config.name, config, run))
    return [item.source for item in loaded.split.exam if item.subset == ""]


def withhold_all(skill: Skill, found: Sequence[Prediction], **settings: Any) -> list[Prediction]:
    """The same predictions, less those that these settings of `predict` withhold."""
    decode = skill.config.decode.model_copy(update=settings)
    return [withhold(one, skill.task, decode) for one in found]


def count_outcomes(found: Sequence[Prediction], truths: Sequence[int | None]) -> dict[str, Any]:
    """Items, predictions given, correct ones among them, and sources that have a correct prediction at all."""
    given = [(one.text, truth) for one, truth in zip(found, truths, strict=True) if one.text is not None]
    correct = sum(truth is not None and text == str(truth) for text, truth in given)
    return {"n": len(found), "given": len(given), "correct": correct, "readable": sum(t is not None for t in truths)}


def table_row(corruption: str, method: str, counts: Mapping[str, Any]) -> tuple[object, ...]:
    """One line of the page: coverage, precision with its 95% interval, and recall of the readable sources."""
    low, high = wilson(counts["correct"], counts["given"]) if counts["given"] else (0.0, 1.0)
    precision = f"{counts['correct'] / max(1, counts['given']):.3%} [{low:.3%}, {high:.3%}]"
    # Share of the sources with a correct prediction that got it.
    reached = f"{counts['correct'] / max(1, counts['readable']):.2%}"
    return (
        corruption,
        method,
        counts["n"],
        counts["readable"],
        f"{counts['given'] / counts['n']:.2%}",
        precision,
        reached,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    run = finished_run(parser.parse_args().run)
    skill, sources, rows, values = read_skill(run), exam_sources(run), [], {}
    started = time.process_time()
    for corruption, change in CORRUPTIONS.items():
        rng = Random(f"verification {corruption}")
        texts = [change(source, rng) or source for source in sources]
        truths = [oracle(text) for text in texts]
        queries = [Query(text) for text in texts]
        plain = predict_queries(skill.model, queries, skill.task, skill.config.decode, max_tokens=skill.max_tokens)
        methods = {"all predictions": plain, "verified": withhold_all(skill, plain, verify=True)}
        methods |= {f"probability ≥ {least:g}": withhold_all(skill, plain, abstain_below=least) for least in THRESHOLDS}
        for method, found in methods.items():
            values[f"{corruption} / {method}"] = count_outcomes(found, truths)
            rows.append(table_row(corruption, method, values[f"{corruption} / {method}"]))
        is_correct = [truth is not None and one.text == str(truth) for one, truth in zip(plain, truths, strict=True)]
        result = calibration([one.probability for one in plain], is_correct)
        assert result is not None
        values[f"{corruption} / calibration"] = {"error": result.error, "brier": result.brier}
        rows.append(
            (corruption, f"calibration error {result.error:.4f}, Brier {result.brier:.4f}", result.n, "", "", "", "")
        )
    head = (
        "sources",
        "predictions",
        "n",
        "readable",
        "given",
        "correct of the given, 95%",
        "correct of the readable",
    )
    text = f"# Confidence and verification on kanji numerals\n\n{machine_summary(('torch',))}; run `{run.name}`, "
    text += f"{time.process_time() - started:.0f} s of CPU.\n\n{markdown_table(head, rows)}\n"
    text += "Verification reads the source by the oracle itself: what it lets through is correct by construction;\n"
    text += "its result is the coverage.\n"
    print(
        write_results(
            "verification", text, {"machine": machine_summary(("torch",)), "run": run.name, "results": values}
        ).read_text()
    )


if __name__ == "__main__":
    main()
