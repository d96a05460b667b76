"""Confidence and verification on kanji numerals: `make bench-verification`.

    python benchmarks/verification.py [RUN]

RUN is a finished run of `kannume` (by default one of those that benchmarks/numerals.py leaves; made where there is
none). Its exam's numbers of 1,000 and more are asked as they stand, and once more with one character of each source
dropped, doubled, or exchanged with its neighbour. Right is the number that the source, as it then stands, is read as
by the oracle; a corrupted source that the oracle cannot read has no right answer. Verified: an answer that cannot have
produced its source is not given (`predict --verify`); surer: one of less than so much probability is not given
(`predict --abstain-below`). Verification reads the source by the oracle itself, so what it lets through is right by
construction: its figure is the coverage. Written: benchmarks/results/verification.md and .json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import numerals
import taught
from machine import table, told, write
from terakoya.config import read_config
from terakoya.decoding.predict import predictions, withheld
from terakoya.models.protocol import Query
from terakoya.pipeline import dataset
from terakoya.records import Prediction
from terakoya.registry import Experiment
from terakoya.saved_model import Skill, read_skill
from terakoya.scoring.statistics.calibration import calibration
from terakoya.scoring.statistics.intervals import wilson
from terakoya.tasks.numerals.reader import read as oracle

THRESHOLDS = (0.5, 0.9, 0.99)


def dropped(text: str, chance: Random) -> str:
    place = chance.randrange(len(text))
    return text[:place] + text[place + 1 :]


def doubled(text: str, chance: Random) -> str:
    place = chance.randrange(len(text))
    return text[:place] + text[place] + text[place:]


def swapped(text: str, chance: Random) -> str:
    """Two neighbours that differ change places."""
    places = [place for place in range(len(text) - 1) if text[place] != text[place + 1]]
    if not places:
        return dropped(text, chance)
    place = chance.choice(places)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


WORLDS: Mapping[str, Callable[[str, Random], str]] = MappingProxyType(
    {
        "as they stand": lambda text, chance: text,
        "a character dropped": dropped,
        "a character doubled": doubled,
        "two neighbours exchanged": swapped,
    }
)


def run_of(asked: Path | None) -> Path:
    if asked is not None:
        return asked
    if not list(taught.runs(numerals.WORK / "default")):
        numerals.teach("default", "kannume", ("score.exam_items=20000", "seed=0"))
    return next(run for run, _ in taught.runs(numerals.WORK / "default"))


def exam_of(run: Path) -> list[str]:
    config = read_config(run / "config.toml")
    plan = dataset.load_dataset(Experiment(config.name, config, run))
    return [item.source for item in plan.split.exam if item.part == ""]


def held_back(skill: Skill, found: Sequence[Prediction], **how: Any) -> list[Prediction]:
    """The same answers, of which those are not given that these settings of `predict` hold back."""
    decode = skill.config.decode.model_copy(update=how)
    return [withheld(one, skill.task, decode) for one in found]


def figures(found: Sequence[Prediction], truths: Sequence[int | None]) -> dict[str, Any]:
    """Given, right among the given, and how many sources have a right answer at all."""
    given = [(one.text, truth) for one, truth in zip(found, truths, strict=True) if one.text is not None]
    right = sum(truth is not None and text == str(truth) for text, truth in given)
    return {"n": len(found), "given": len(given), "right": right, "readable": sum(t is not None for t in truths)}


def row(world: str, way: str, told: Mapping[str, Any]) -> tuple[object, ...]:
    low, high = wilson(told["right"], told["given"]) if told["given"] else (0.0, 1.0)
    precision = f"{told['right'] / max(1, told['given']):.3%} [{low:.3%}, {high:.3%}]"
    # Of the sources that have a right answer, so many got it.
    reached = f"{told['right'] / max(1, told['readable']):.2%}"
    return world, way, told["n"], told["readable"], f"{told['given'] / told['n']:.2%}", precision, reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    run = run_of(parser.parse_args().run)
    skill, sources, rows, values = read_skill(run), exam_of(run), [], {}
    began = time.process_time()
    for world, change in WORLDS.items():
        chance = Random(f"verification {world}")
        texts = [change(source, chance) or source for source in sources]
        truths = [oracle(text) for text in texts]
        asks = [Query(text) for text in texts]
        plain = predictions(skill.model, asks, skill.task, skill.config.decode, max_tokens=skill.max_tokens)
        ways = {"every answer": plain, "verified": held_back(skill, plain, verify=True)}
        ways |= {f"of {least:g} and surer": held_back(skill, plain, abstain_below=least) for least in THRESHOLDS}
        for way, found in ways.items():
            values[f"{world} / {way}"] = figures(found, truths)
            rows.append(row(world, way, values[f"{world} / {way}"]))
        good = [truth is not None and one.text == str(truth) for one, truth in zip(plain, truths, strict=True)]
        fit = calibration([one.probability for one in plain], good)
        assert fit is not None
        values[f"{world} / calibration"] = {"error": fit.error, "brier": fit.brier}
        rows.append((world, f"calibration error {fit.error:.4f}, Brier {fit.brier:.4f}", fit.n, "", "", "", ""))
    head = (
        "sources",
        "answers",
        "n",
        "with a right answer",
        "given",
        "right of the given, 95%",
        "right of the readable",
    )
    text = f"# Confidence and verification on kanji numerals\n\n{told(('torch',))}; run `{run.name}`, "
    text += f"{time.process_time() - began:.0f} s of CPU.\n\n{table(head, rows)}\n"
    text += (
        "Verification reads the source by the oracle itself: what it lets through is right by construction, and what\n"
    )
    text += "is measured is how much that is.\n"
    print(write("verification", text, {"machine": told(("torch",)), "run": run.name, "figures": values}).read_text())


if __name__ == "__main__":
    main()
