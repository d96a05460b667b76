"""Gemma 3 270M itself (scripts/get-gemma.sh): from its GGUF file it knows Japanese, learns, is saved, predicts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from terakoya import registry
from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig
from terakoya.decoding import generate
from terakoya.models.pretrained.build import build, load
from terakoya.models.pretrained.checkpoint_files import find_checkpoint
from terakoya.models.pretrained.loading import load_checkpoint
from terakoya.pipeline.dataset import load_dataset
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop
from terakoya.training.prepare import pair_of

MODELS = Path(__file__).parents[3] / ".models"
FILE = MODELS / "gemma-3-270m-q4_k_m.gguf"
TEXT = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "今日は朝から雨が降っていたので、電車で会社に行きました。",
    "日本の首都は東京で、人口は約千四百万人である。",
)


@pytest.fixture(scope="module", autouse=True)
def gemma() -> Iterator[str]:
    """The file as a base; dequantised once for all runs of the tests."""
    assert FILE.is_file(), "Run scripts/get-gemma.sh first: it fetches Gemma 3 270M."
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(MODELS / "cache")
    yield str(FILE)
    os.environ.pop("XDG_CACHE_HOME")
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


def test_dequantised_weights_know_japanese(gemma: str) -> None:
    """Nats a token; with the tokens in another order it is as surprised as it should be."""
    loaded = load_checkpoint(find_checkpoint(gemma))
    rng = torch.Generator().manual_seed(0)

    def nats(shuffled: bool) -> float:
        total, count = 0.0, 0
        for text in TEXT:
            ids = torch.tensor(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
            ids = ids[torch.randperm(len(ids), generator=rng)] if shuffled else ids
            row = torch.cat((torch.tensor([loaded.tokenizer.bos_token_id]), ids))[None]
            with torch.no_grad():
                logits = loaded.module(input_ids=row).logits[0, :-1]
            total += float(torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum"))
            count += len(ids)
        return total / count

    assert nats(shuffled=False) < 5.0  # 4.6 on 52 tokens
    assert nats(shuffled=True) > 8.0  # 9.1


def test_gemma_learns_numerals_in_three_steps_and_predicts_the_same_when_reopened(tmp_path: Path, gemma: str) -> None:
    """The regime of the numerals log (160 rows) with a rate that is known to work."""
    settings = [f"model.base={gemma}", "train.steps=3", "train.learning_rate=5e-5"]
    dataset = load_dataset(
        registry.find_experiment("kannume-160", [*settings, "train.batch_size=16", "train.evaluate_every=3"])
    )
    task, config = dataset.task, dataset.config
    pairs = [pair_of(task, example) for example in dataset.split.train]
    model = build(config.model, pairs, seed=config.seed, instruction=task.instruction)
    assert model.info.extra["gguf"]["architecture"] == "gemma3"
    assert model.info.extra["gguf"]["quantisation"] == "Q4_K_M"
    assert model.info.extra["template"] == "plain"
    assert model.info.extra["vocabulary"] == "trimmed"  # by itself: every target is printable ASCII

    train = resolve(config.train, model.info, len(pairs))
    losses: list[float] = []
    batches = EpochBatches(pairs, 16, config.seed, model.length)
    run_loop(model, batches, train, seed=0, device="cpu", on_step=lambda step: losses.append(step.plain))
    assert len(losses) == 3
    assert losses[2] < losses[0]

    model.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    ours, theirs = model.core.state_dict(), again.core.state_dict()
    queries = [pair.query for pair in pairs[:2]]
    texts = [
        [one.raw for one in generate(each, queries, TextCodec(), DecodeConfig(constrained=False), 16)]
        for each in (model, again)
    ]
    assert texts[0] == texts[1]
    assert all(texts[0])
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
