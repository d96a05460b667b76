"""What is settled after training a set head, is settled on texts that the answering model was not taught."""

from __future__ import annotations

from random import Random

import pytest
import torch

from terakoya.config import Config, make_config
from terakoya.decoding import set_calibration
from terakoya.models.builtin.model import build
from terakoya.models.builtin.set_model import TinySetModel
from terakoya.models.protocol import Pair, Query
from terakoya.training import out_of_fold
from terakoya.training.batches import Fixed
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

LABELS = ("✨", "🎉", "🐱", "📚", "🌙", "🎵")
CUES = {"mato": "🎉", "keri": "📚", "suno": "🐱", "tuki": "🌙", "oto": "🎵"}


def rows(count: int, seed: int) -> list[Pair]:
    """Two words in three call for their label; ✨ stands in half of the answers, whatever is asked."""
    chance, found = Random(seed), []
    for _ in range(count):
        chosen = chance.sample(sorted(CUES), 2)
        noise = ["".join(chance.choices("abcdef", k=3)) for _ in range(6)]
        called = [CUES[word] for word in chosen if chance.random() < 0.67] + (["✨"] if chance.random() < 0.5 else [])
        found.append(Pair(Query(" ".join(chance.sample([*noise, *chosen], 8))), " ".join(called or ["✨"])))
    return found


@pytest.fixture(scope="module")
def lesson() -> tuple[TinySetModel, list[Pair], Config]:
    pairs = rows(150, 1)
    model = build(make_config({}).model, pairs, LABELS, seed=1)
    assert isinstance(model, TinySetModel)
    config = make_config({"seed": 1, "train": {"threads": 1, "steps": 60}})
    config = config.model_copy(update={"train": resolve(config.train, model.card, len(pairs))})
    run_loop(model, Fixed(pairs, 32, 1, model.length), config.train, seed=1)
    return model, pairs, config


def test_each_text_is_answered_by_a_model_that_was_not_taught_it(
    lesson: tuple[TinySetModel, list[Pair], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is sure of the rows it was taught; asked on them it would tell that it may be sure of everything."""
    model, pairs, config = lesson
    real, parts = build, []

    def watched(kept: list[Pair]) -> TinySetModel:
        made = real(make_config({}).model, kept, LABELS, seed=1)
        assert isinstance(made, TinySetModel)
        parts.append((made, {row.ask for row in kept}))
        return made

    monkeypatch.setattr(model, "remake", watched)
    asked: list[tuple[object, Query]] = []
    plain = TinySetModel.set_scores

    def scores(self: TinySetModel, asks: list[Query]) -> object:
        asked.extend((self, ask) for ask in asks)
        return plain(self, asks)

    monkeypatch.setattr(TinySetModel, "set_scores", scores)
    dev = rows(60, 2)
    out_of_fold.settle(model, pairs, dev, config)
    assert len(parts) == out_of_fold.FOLDS
    for made, kept in parts:
        assert not kept & {ask for who, ask in asked if who is made}
    assert {ask for who, ask in asked if who is model} == {row.ask for row in dev}
    assert {ask for _, ask in asked} == {row.ask for row in (*dev, *pairs)}


def test_prices_are_steadier_than_a_small_dev_side_makes_them(
    lesson: tuple[TinySetModel, list[Pair], Config],
) -> None:
    """Of sixty texts the share of a label is hardly known: two such sides settled two prices."""
    model, pairs, config = lesson

    def settled(dev: list[Pair], fit: bool) -> float:
        how = config.model_copy(update={"train": config.train.model_copy(update={"crossfit": fit})})
        out_of_fold.settle(model, pairs, dev, how)
        return model.scale

    sides = [rows(60, seed) for seed in range(10, 14)]
    alone, fitted = (torch.tensor([settled(side, fit) for side in sides]) for fit in (False, True))
    assert fitted.log().std() < alone.log().std()


def test_the_same_seed_settles_the_same(lesson: tuple[TinySetModel, list[Pair], Config]) -> None:
    """A run that is resumed after its training ends in the same answers."""
    model, pairs, config = lesson
    dev, told = rows(60, 3), []
    for _ in range(2):
        out_of_fold.settle(model, pairs, dev, config)
        told.append((model.scale, model.blend, model.tolls))
    assert told[0] == told[1]


def test_a_large_dev_side_needs_no_folds(
    lesson: tuple[TinySetModel, list[Pair], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five more trainings are not spent where nothing is gained."""
    model, pairs, config = lesson
    monkeypatch.setattr(model, "remake", None)
    dev = rows(out_of_fold.ENOUGH, 4)
    out_of_fold.settle(model, pairs, dev, config)
    set_calibration.settle(model, [row.ask for row in dev], [row.written.split() for row in dev], config.decode)
