"""A set head is calibrated on texts that the predicting model was not trained on."""

from __future__ import annotations

from random import Random

import pytest
import torch

from terakoya.config import Config, make_config
from terakoya.decoding import set_calibration
from terakoya.models.builtin.model import build
from terakoya.models.builtin.set_model import BuiltinSetModel
from terakoya.models.protocol import Pair, Query
from terakoya.training import out_of_fold
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

LABELS = ("✨", "🎉", "🐱", "📚", "🌙", "🎵")
CUES = {"mato": "🎉", "keri": "📚", "suno": "🐱", "tuki": "🌙", "oto": "🎵"}


def rows(count: int, seed: int) -> list[Pair]:
    """Two words in three stand for their label; ✨ is in half of the targets, whatever the source."""
    rng, found = Random(seed), []
    for _ in range(count):
        chosen = rng.sample(sorted(CUES), 2)
        noise = ["".join(rng.choices("abcdef", k=3)) for _ in range(6)]
        called = [CUES[word] for word in chosen if rng.random() < 0.67] + (["✨"] if rng.random() < 0.5 else [])
        found.append(Pair(Query(" ".join(rng.sample([*noise, *chosen], 8))), " ".join(called or ["✨"])))
    return found


@pytest.fixture(scope="module")
def trained() -> tuple[BuiltinSetModel, list[Pair], Config]:
    pairs = rows(150, 1)
    model = build(make_config({}).model, pairs, LABELS, seed=1)
    assert isinstance(model, BuiltinSetModel)
    config = make_config({"seed": 1, "train": {"threads": 1, "steps": 60}})
    config = config.model_copy(update={"train": resolve(config.train, model.info, len(pairs))})
    run_loop(model, EpochBatches(pairs, 32, 1, model.length), config.train, seed=1)
    return model, pairs, config


def test_each_text_is_predicted_by_a_model_that_was_not_trained_on_it(
    trained: tuple[BuiltinSetModel, list[Pair], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is overconfident on its training rows; calibrated on them it would be so everywhere."""
    model, pairs, config = trained
    real, parts = build, []

    def watched(kept: list[Pair]) -> BuiltinSetModel:
        made = real(make_config({}).model, kept, LABELS, seed=1)
        assert isinstance(made, BuiltinSetModel)
        parts.append((made, {row.query for row in kept}))
        return made

    monkeypatch.setattr(model, "rebuild", watched)
    scored: list[tuple[object, Query]] = []
    plain = BuiltinSetModel.set_scores

    def scores(self: BuiltinSetModel, queries: list[Query]) -> object:
        scored.extend((self, query) for query in queries)
        return plain(self, queries)

    monkeypatch.setattr(BuiltinSetModel, "set_scores", scores)
    dev = rows(60, 2)
    out_of_fold.calibrate(model, pairs, dev, config)
    assert len(parts) == out_of_fold.FOLDS
    for made, kept in parts:
        assert not kept & {query for who, query in scored if who is made}
    assert {query for who, query in scored if who is model} == {row.query for row in dev}
    assert {query for _, query in scored} == {row.query for row in (*dev, *pairs)}


def test_the_calibration_varies_less_than_with_a_small_dev_split_alone(
    trained: tuple[BuiltinSetModel, list[Pair], Config],
) -> None:
    """Sixty texts hardly determine the share of a label: two such splits gave two temperatures."""
    model, pairs, config = trained

    def temperature(dev: list[Pair], fit: bool) -> float:
        changed = config.model_copy(update={"train": config.train.model_copy(update={"crossfit": fit})})
        out_of_fold.calibrate(model, pairs, dev, changed)
        return model.inverse_temperature

    splits = [rows(60, seed) for seed in range(10, 14)]
    alone, fitted = (torch.tensor([temperature(dev, fit) for dev in splits]) for fit in (False, True))
    assert fitted.log().std() < alone.log().std()


def test_the_same_seed_gives_the_same_calibration(trained: tuple[BuiltinSetModel, list[Pair], Config]) -> None:
    """A run that is resumed after its training ends in the same predictions."""
    model, pairs, config = trained
    dev, found = rows(60, 3), []
    for _ in range(2):
        out_of_fold.calibrate(model, pairs, dev, config)
        found.append((model.inverse_temperature, model.mixing_weight, model.penalties))
    assert found[0] == found[1]


def test_a_large_dev_split_needs_no_folds(
    trained: tuple[BuiltinSetModel, list[Pair], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five more trainings are not spent where nothing improves."""
    model, pairs, config = trained
    monkeypatch.setattr(model, "rebuild", None)
    dev = rows(out_of_fold.ENOUGH_DEV_ROWS, 4)
    out_of_fold.calibrate(model, pairs, dev, config)
    set_calibration.calibrate(model, [row.query for row in dev], [row.target.split() for row in dev], config.decode)


def test_a_row_made_by_rule_goes_into_the_folds_of_its_row(
    trained: tuple[BuiltinSetModel, list[Pair], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another fold it would tell the predicting model the labels of the row that it was made from."""
    model, pairs, config = trained
    made = {Pair(Query(f"{row.query.source} abc"), row.target): row for row in pairs}
    sources = {new.query: row.query for new, row in made.items()}
    parts: list[set[Query]] = []
    real = build

    def watched(kept: list[Pair]) -> BuiltinSetModel:
        parts.append({row.query for row in kept})
        one = real(make_config({}).model, kept, LABELS, seed=1)
        assert isinstance(one, BuiltinSetModel)
        return one

    monkeypatch.setattr(model, "rebuild", watched)
    short = config.model_copy(update={"train": config.train.model_copy(update={"steps": 5})})
    out_of_fold.calibrate(model, [*pairs, *made], rows(60, 2), short, sources)
    for kept in parts:
        assert {query for query in kept if query not in sources} == {
            sources[query] for query in kept if query in sources
        }
