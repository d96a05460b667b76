"""Tiny pretrained skills of three families, trained for some hundred steps: what the engines' tests share."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random

from checkpoints import checkpoint

from terakoya.codec.number import number_codec
from terakoya.config import parse_config
from terakoya.models.pretrained.build import build
from terakoya.models.protocol import Pair, Query
from terakoya.runs import seal
from terakoya.saved_model import Skill, read_skill, write_skill
from terakoya.scoring.metrics import exact
from terakoya.task import Task
from terakoya.tasks.numerals import writer
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

INSTRUCTION = "数字で"
FAMILIES = {"gemma3": "trimmed", "qwen2": "full", "t5": "full"}
CANARY = "/home/カナリア-owner/"


def numbers() -> list[int]:
    return Random(3).sample(range(1, 1000), 96)


def source_of(number: int) -> str:
    return writer.write(number, "kanji", Random(number))


def run_readme(folder: Path) -> str:
    """What the program of an export's README prints, run in the export's folder."""
    (code,) = re.findall(r"```\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.S)
    assert len([line for line in code.splitlines() if line and not line.startswith("#")]) <= 5, code
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_skill(family: str, folder: Path, base: Path | None = None, steps: int = 150) -> Skill:
    """A skill trained for some hundred steps: it knows part of its rows by heart, so its predictions differ."""
    base = base or checkpoint(folder / "base", family)
    text = f"""
name = "numbers"
[task]
data = "{CANARY}train.csv"
codec = "number"
notation = "bracketed"
[model]
base = "{base}"
vocabulary = "{FAMILIES.get(family, "full")}"
instruction = "{INSTRUCTION}"
[train]
steps = {steps}
batch_size = 16
learning_rate = 1e-2
warmup = 0.0
threads = 1
"""
    config = parse_config(text)
    task = Task("numbers", codec=number_codec("bracketed"), metrics={"exact": exact}, instruction=INSTRUCTION)
    pairs = [Pair(Query(source_of(number)), f"({number})") for number in numbers()]
    model = build(config.model, pairs, seed=0, instruction=INSTRUCTION)
    train = resolve(config.train, model.info, len(pairs))
    run_loop(model, EpochBatches(pairs, 16, 0, model.length), train, seed=0, device="cpu")
    write_skill(folder / "model", model, task, config, 8)
    seal(folder / "model")
    return read_skill(folder / "model")
