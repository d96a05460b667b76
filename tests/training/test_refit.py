"""When everything is chosen on dev, dev is taught too; the record says so, and baselines get the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from terakoya.config import make_config
from terakoya.errors import ConfigError
from terakoya.models.builtin.model import build
from terakoya.models.protocol import ModelInfo, Pair, Query
from terakoya.pipeline import run as pipeline
from terakoya.records import Example
from terakoya.scoring.baselines.standard import baselines
from terakoya.scoring.metrics import jaccard
from terakoya.training import refit
from terakoya.training.defaults import resolve

LABELS = ("🎉", "🐱", "📚", "🌙", "🎵")
CUES = {"mato": "🎉", "keri": "📚", "suno": "🐱", "tuki": "🌙"}
ONLY_DEV = "fue"  # a word that stands for 🎵, in no row of training


def rows(count: int, seed: int, cues: dict[str, str]) -> list[Pair]:
    chance, found = Random(seed), []
    for _ in range(count):
        word = chance.choice(sorted(cues))
        noise = ["".join(chance.choices("abcdef", k=3)) for _ in range(4)]
        found.append(Pair(Query(" ".join(chance.sample([*noise, word], 5))), cues[word]))
    return found


def test_what_only_dev_told_is_known_afterwards_and_what_was_settled_stays() -> None:
    taught, dev = rows(120, 1, CUES | {"oto": "🎵"}), rows(60, 2, {ONLY_DEV: "🎵"})
    config = make_config({"seed": 1, "train": {"threads": 1, "steps": 80}})
    model = build(config.model, taught, LABELS, seed=1)
    config = config.model_copy(update={"train": resolve(config.train, model.card, len(taught))})
    model.scale = 0.8  # type: ignore[union-attr]
    strange = Pair(Query("fue"), "🦊")  # a label that the model cannot score is no reason to fail at the very end
    made = refit.refitted(model, taught, [*dev, strange], config)
    assert ONLY_DEV not in model.features.vocabulary  # type: ignore[union-attr]
    found = made.set_scores([Query(f"{ONLY_DEV} abc")])  # type: ignore[union-attr]
    assert made.labels[int(found.labels.argmax())] == "🎵"
    assert made.scale == 0.8  # type: ignore[union-attr]


def test_only_what_takes_seconds_is_taught_again_unasked() -> None:
    kinds = {"small": "set", "tiny": "encoder-decoder", "google/gemma-3-270m-it": "set"}
    chosen = {
        name: resolve(make_config({}).train, ModelInfo(name, family, 1000, 1000, 10), 500).refit
        for name, family in kinds.items()
    }
    assert chosen == {"small": True, "tiny": False, "google/gemma-3-270m-it": False}
    with pytest.raises(ConfigError, match="set head"):
        resolve(make_config({"train": {"refit": True}}).train, ModelInfo("tiny", "decoder", 1000, 1000, 10), 500)


def test_baselines_count_dev_where_the_model_was_taught_it() -> None:
    def examples(pairs: list[Pair]) -> list[Example]:
        return [Example(row.ask.source, row.written) for row in pairs]

    train, dev = examples(rows(60, 1, CUES)), examples(rows(30, 2, {ONLY_DEV: "🎵"}))
    before, after = (baselines(train, dev, metric=jaccard, labels=True, refit=again) for again in (False, True))
    for who in ("word table", "nearest neighbour"):
        assert before[who].many([ONLY_DEV]) != ["🎵"] and after[who].many([ONLY_DEV]) == ["🎵"]


def test_a_run_says_that_dev_was_taught(tmp_path: Path) -> None:
    """And scores the model that was taught dev: it knows a word that stands in dev alone."""
    sides = {"train": rows(80, 1, CUES | {"oto": "🎵"}), "dev": rows(60, 2, {ONLY_DEV: "🎵"}),
             "exam": rows(40, 3, {ONLY_DEV: "🎵"})}  # fmt: skip
    for name, side in sides.items():
        lines = [json.dumps({"source": row.ask.source, "target": row.written}, ensure_ascii=False) for row in side]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = 'data = "train.jsonl"\ndev = "dev.jsonl"\nexam = "exam.jsonl"\ncodec = "labels"\n'
    (tmp_path / "config.toml").write_text(f"[task]\n{told}[train]\nsteps = 80\nthreads = 1\n", encoding="utf-8")
    scores, checks = {}, {}
    for again in ("auto", "false"):
        done = pipeline.run(
            str(tmp_path / "config.toml"), overrides=(f"train.refit={again}",), run_dir=tmp_path / again, anyway=True
        )
        scores[again] = next(score.value for score in done.scores if score.who == "model" and score.metric == "jaccard")
        checks[again] = {finding.check for finding in done.findings}
    assert scores["auto"] > 0.9 > scores["false"]
    assert "refit" in checks["auto"] and "refit" not in checks["false"]
