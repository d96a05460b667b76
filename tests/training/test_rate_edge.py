"""Measured by benchmarks/quality/rate_edge: what a base has forgotten, and which training counts as fallen."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from checkpoints import make_module, make_tokenizer

from benchmarks.quality.rate_edge import Plan, page
from benchmarks.quality.running_text import SENTENCES, RunningText
from terakoya.config import ModelConfig, TrainConfig
from terakoya.models.pretrained.build import build
from terakoya.models.pretrained.model import PretrainedCausal
from terakoya.models.protocol import Pair, Query
from terakoya.tasks.numerals import writer
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

ROWS = [Pair(Query(writer.write(one, "kanji", Random(one))), f"({one})") for one in range(101, 141)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint that has learnt the running text by heart: it knows a language and can forget it."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = make_tokenizer("gemma3", 700)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    module = make_module("gemma3", tokenizer, 32)
    batch = tokenizer(list(SENTENCES), return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-2)
    for _ in range(25):
        module(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    module.save_pretrained(folder)
    return folder


def _opened(folder: Path, vocabulary: str = "trimmed", **more: Any) -> PretrainedCausal:
    config = ModelConfig.model_validate({"base": str(folder), "vocabulary": vocabulary, **more})
    model = build(config, ROWS, seed=0)
    assert isinstance(model, PretrainedCausal)
    return model


@pytest.mark.parametrize("more", [{}, {"adaptation": "lora"}])
def test_the_loss_is_that_of_the_text_in_any_vocabulary(base: Path, more: dict[str, Any]) -> None:
    """A trimmed model has no logits for most tokens of the text; its loss is that of the whole one all the same."""
    whole, trimmed = _opened(base, "full", **more), _opened(base, "trimmed", **more)
    text = RunningText(trimmed)
    assert text.base == pytest.approx(RunningText(whole).base, abs=1e-4)
    assert text.base == pytest.approx(_expected(whole), abs=1e-4)
    assert text.shuffled > text.base + 0.5
    assert text.forgotten() == 0


def _expected(model: PretrainedCausal) -> float:
    """Sentence by sentence, from the logits that the library gives."""
    tokenizer = model.tokenizer.hf_tokenizer
    encoded = [tokenizer(text, add_special_tokens=False).input_ids for text in SENTENCES]
    rows = [torch.tensor([[tokenizer.bos_token_id, *ids]]) for ids in encoded]
    used = sorted({int(token) for row in rows for token in row[0, 1:]})
    column = {token: number for number, token in enumerate(used)}
    model.module.eval()
    with torch.no_grad():
        losses = [
            F.cross_entropy(
                model.module(input_ids=row).logits[0, :-1, used],
                torch.tensor([column[int(token)] for token in row[0, 1:]]),
                reduction="none",
            )
            for row in rows
        ]
    return float(torch.cat(losses).mean())


def test_the_higher_rate_forgets_more_and_measuring_changes_no_bit(base: Path) -> None:
    low, high, unmeasured = (_opened(base) for _ in range(3))
    texts = [RunningText(low), RunningText(high)]
    for model, rate in ((low, 1e-4), (high, 3e-2), (unmeasured, 3e-2)):
        given = {"steps": 16, "learning_rate": rate, "batch_size": 8, "threads": 1, "evaluate_every": 16}
        train = resolve(TrainConfig.model_validate(given), model.info, len(ROWS))
        run_loop(model, EpochBatches(ROWS, 8, 0, model.length), train, seed=0, device="cpu")
    assert texts[0].forgotten() < 0.1 < 0.5 < texts[1].forgotten()
    other = dict(unmeasured.parameters_to_train())
    assert all(torch.equal(weight, other[name]) for name, weight in high.parameters_to_train())


def test_a_training_is_fallen_below_half_the_value_of_the_default_rate_and_only_there() -> None:
    """Compared with the same task, seed and length; a run that ended early has no value and no verdict."""
    found = page([_run(1, 1, 0.6), _run(1, 2, 0.31), _run(1, 4, 0.2), _run(2, 4, 0.2), _run(1, 8, None)])
    verdicts = [line.split("|")[-2].strip() for line in found.splitlines() if line.startswith("| kannume")]
    assert verdicts == ["healthy", "healthy", "fallen", "", ""]


def _run(seed: int, factor: float, value: float | None) -> dict[str, Any]:
    plan = Plan("kannume", seed, 40, 40)
    assert plan.file(factor).name == f"kannume_{seed}_{factor:g}_40_40.json"
    values = {} if value is None else {key: {"value": value, "n": 40} for key in ("dev_value", "exam_value")}
    lines = [{"step": step, "forgotten": 0.1, "dev": 0.5, "gain": 1.0} for step in (10, 15, 20)]
    facts = {"task": "kannume", "seed": seed, "planned": 40, "steps": 40, "settings": []}
    return {**facts, "factor": factor, "rate": factor * 5e-5, "lines": lines, **values}
