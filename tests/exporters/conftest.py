"""Small skills whose exam was opened: one that writes numbers, and one that chooses sets of emoji."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import terakoya as tk
from terakoya.saved_model import Skill
from tests.exporters.pretrained_skills import FAMILIES, make_skill

CANARIES = [f"カナリア{number}号は {number * 7919 % 10007}色で鳴く" for number in range(20)]
LABELS = {
    "雨": "☔ 💧",
    "海": "🌊 🐟",
    "本": "📚",
    "祝": "🎉 ✨ 🎂",
    "猫": "🐱",
    "夜": "🌙 ✨",
    "春": "🌸",
    "火": "🔥 ☔",
}
PLACES = ["公園", "駅前", "学校", "北海道", "ＣＡＦＥ", "Straße", "家", "町"]


def _table(folder: Path) -> Path:
    rng = random.Random(4)
    rows = []
    for number in range(240):
        words = rng.sample(sorted(LABELS), rng.choice([1, 1, 2]))
        source = f"{rng.choice(PLACES)}の{'と'.join(words)} {number % 7}"
        rows.append((source, " ".join(dict.fromkeys(" ".join(LABELS[word] for word in words).split()))))
    # Each canary stands in one row of the training alone; the other rows are split as they come.
    lines = [{"source": source, "target": target, "split": ("train", "train", "dev", "exam")[n % 4]}
             for n, (source, target) in enumerate(dict(rows).items())]  # fmt: skip
    lines += [{"source": canary, "target": "🎉", "split": "train"} for canary in CANARIES]
    file = folder / "emoji.jsonl"
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def number_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence model, hardly trained: its grammar has much to correct."""
    settings = {"model.base": "tiny", "train.steps": 30, "task.codec": "number", "task.notation": "groups"}
    return tk.run("kannume-160", overrides=settings, run_dir=tmp_path_factory.mktemp("number")).folder


@pytest.fixture(scope="session")
def set_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set head with names of labels, on a table with canaries in its training rows."""
    folder = tmp_path_factory.mktemp("sets")
    table = _table(folder)
    config = folder / "moods.toml"
    config.write_text(
        f'name = "moods"\n[task]\ndata = "{table}"\nsplit = "split"\ncodec = "labels"\n'
        '[split]\nmethod = "column"\n[train]\nsteps = 60\n',
        encoding="utf-8",
    )
    return tk.run(config, run_dir=folder / "runs", anyway=True).folder


@pytest.fixture(scope="session")
def skills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Skill]:
    """Tiny pretrained skills by family."""
    return {family: make_skill(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}
