"""When everything is chosen on dev, the model is trained on dev too; the record says so, and baselines get its rows."""

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
from terakoya.scoring.baselines.standard import make_baselines
from terakoya.scoring.metrics import jaccard
from terakoya.training import refit
from terakoya.training.defaults import resolve

LABELS = ("🎉", "🐱", "📚", "🌙", "🎵")
CUES = {"mato": "🎉", "keri": "📚", "suno": "🐱", "tuki": "🌙"}
ONLY_DEV = "fue"  # a word that stands for 🎵, in no row of training


def rows(count: int, seed: int, cues: dict[str, str]) -> list[Pair]:
    rng, found = Random(seed), []
    for _ in range(count):
        word = rng.choice(sorted(cues))
        noise = ["".join(rng.choices("abcdef", k=3)) for _ in range(4)]
        found.append(Pair(Query(" ".join(rng.sample([*noise, word], 5))), cues[word]))
    return found


def test_what_stands_in_dev_alone_is_learnt_and_the_calibration_is_kept() -> None:
    train, dev = rows(120, 1, CUES | {"oto": "🎵"}), rows(60, 2, {ONLY_DEV: "🎵"})
    config = make_config({"seed": 1, "train": {"threads": 1, "steps": 80}})
    model = build(config.model, train, LABELS, seed=1)
    config = config.model_copy(update={"train": resolve(config.train, model.info, len(train))})
    model.inverse_temperature = 0.8  # type: ignore[union-attr]
    unknown = Pair(Query("fue"), "🦊")  # a label that the model cannot score is no reason to fail at the very end
    refitted = refit.refit_model(model, train, [*dev, unknown], config)
    assert ONLY_DEV not in model.features.vocabulary  # type: ignore[union-attr]
    found = refitted.set_scores([Query(f"{ONLY_DEV} abc")])  # type: ignore[union-attr]
    assert refitted.labels[int(found.labels.argmax())] == "🎵"
    assert refitted.inverse_temperature == 0.8  # type: ignore[union-attr]


def test_only_models_that_train_in_seconds_are_refitted_by_default() -> None:
    kinds = {"small": "set", "tiny": "encoder-decoder", "google/gemma-3-270m-it": "set"}
    chosen = {
        name: resolve(make_config({}).train, ModelInfo(name, family, 1000, 1000, 10), 500).refit
        for name, family in kinds.items()
    }
    assert chosen == {"small": True, "tiny": False, "google/gemma-3-270m-it": False}
    with pytest.raises(ConfigError, match="set head"):
        resolve(make_config({"train": {"refit": True}}).train, ModelInfo("tiny", "decoder", 1000, 1000, 10), 500)


def test_baselines_count_dev_where_the_model_was_trained_on_it() -> None:
    def examples(pairs: list[Pair]) -> list[Example]:
        return [Example(row.query.source, row.target) for row in pairs]

    train, dev = examples(rows(60, 1, CUES)), examples(rows(30, 2, {ONLY_DEV: "🎵"}))
    before, after = (make_baselines(train, dev, metric=jaccard, labels=True, refit=again) for again in (False, True))
    for who in ("word table", "nearest neighbour"):
        assert before[who].predict([ONLY_DEV]) != ["🎵"] and after[who].predict([ONLY_DEV]) == ["🎵"]


def test_a_run_reports_the_refit(tmp_path: Path) -> None:
    """And scores the refitted model: it knows a word that stands in dev alone."""
    splits = {"train": rows(80, 1, CUES | {"oto": "🎵"}), "dev": rows(60, 2, {ONLY_DEV: "🎵"}),
             "exam": rows(40, 3, {ONLY_DEV: "🎵"})}  # fmt: skip
    for name, pairs in splits.items():
        lines = [json.dumps({"source": row.query.source, "target": row.target}, ensure_ascii=False) for row in pairs]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    task = 'data = "train.jsonl"\ndev = "dev.jsonl"\nexam = "exam.jsonl"\ncodec = "labels"\n'
    (tmp_path / "config.toml").write_text(f"[task]\n{task}[train]\nsteps = 80\nthreads = 1\n", encoding="utf-8")
    scores, checks = {}, {}
    for again in ("auto", "false"):
        done = pipeline.run(
            str(tmp_path / "config.toml"), overrides=(f"train.refit={again}",), run_dir=tmp_path / again, anyway=True
        )
        scores[again] = next(score.value for score in done.scores if score.who == "model" and score.metric == "jaccard")
        checks[again] = {finding.check for finding in done.findings}
    assert scores["auto"] > 0.9 > scores["false"]
    assert "refit" in checks["auto"] and "refit" not in checks["false"]
