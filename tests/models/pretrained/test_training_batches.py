"""Batches with shared prefixes: loss and gradients equal those of a plain loop with padding and full logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from checkpoints import CAUSAL, FAMILIES
from torch import Tensor

from terakoya.config import ModelConfig, TrainConfig
from terakoya.errors import ConfigError, DataError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.protocol import Pair, Query

Base = Callable[[str], Path]
PAIRS = [
    Pair(Query(source), written)
    for source, written in (
        ("一万五千", "(15000)"),
        ("二十", "(20)"),
        ("百億三千二", "(10000003002)"),
        ("二十", "(20)"),
    )
]


def made(base: Base, family: str, **changes: object) -> PretrainedModel:
    model = build.build(ModelConfig(base=str(base(family)), **changes), PAIRS, seed=0)  # type: ignore[arg-type]
    _enlarge(model)
    return model


def _enlarge(model: PretrainedModel) -> None:
    """With random weights of 0.02 every mistake is too small to be seen."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, weight in model.parameters_to_train():
            weight += 0.2 * torch.randn(weight.shape, generator=rng)


@contextmanager
def as_transformers_has_it(module: Any) -> Iterator[None]:
    """Without fused functions: every layer by its class's own forward, attention by the library's own."""
    fused = {part: vars(part).pop("forward") for part in module.modules() if "forward" in vars(part)}
    attention = module.config._attn_implementation
    module.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        module.set_attn_implementation(attention)
        for part, forward in fused.items():
            part.forward = forward


def plain_loop(model: PretrainedModel, pairs: Sequence[Pair], *, everything: bool = False) -> Tensor:
    """What everyone writes: padded rows, logits everywhere, -100 where there is no target."""
    with as_transformers_has_it(model.core):
        return _plain_loss(model, pairs, everything)


def _plain_loss(model: PretrainedModel, pairs: Sequence[Pair], everything: bool) -> Tensor:
    kept = torch.arange(model.vocabulary.id_map.size)
    rows = [(model.prompt_ids(pair.query), model.target_ids(pair.target)) for pair in pairs]
    if model.family == "encoder-decoder":
        begin = model.decoder_start  # type: ignore[attr-defined]
        source, mask = _padded([q for q, _ in rows], model.pad)
        decoder, _ = _padded([[*begin, *a[:-1]] for _, a in rows], model.pad)
        labels, _ = _padded([[-100] * (len(begin) - 1) + list(a) for _, a in rows], -100)
        logits = model.module(input_ids=source, attention_mask=mask, decoder_input_ids=decoder).logits
        return F.cross_entropy(logits[..., kept].flatten(0, 1), labels.flatten(), ignore_index=-100)
    ids, mask = _padded([[*q, *a] for q, a in rows], model.pad)
    labels, _ = _padded([[*(q if everything else [-100] * len(q)), *a] for q, a in rows], -100)
    logits = model.module(input_ids=ids, attention_mask=mask).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def _padded(rows: list[list[int]], fill: int) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([row + [fill] * (width - len(row)) for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def gradients(model: PretrainedModel, loss: Tensor) -> dict[str, Tensor]:
    model.module.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.parameters_to_train() if weight.grad is not None}


def far(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """Length of the difference over all weights, as a share of the length that is wanted."""
    total = sum(float(g.double().square().sum()) for g in wanted.values()) ** 0.5
    return sum(float((found[n] - wanted[n]).double().square().sum()) for n in found) ** 0.5 / total


def relative(one: Tensor, other: Tensor) -> float:
    return abs(one.item() - other.item()) / abs(other.item())


def our_loss(model: PretrainedModel, pairs: Sequence[Pair]) -> Tensor:
    outputs = model.outputs(model.collate(pairs))
    return F.cross_entropy(outputs.logits, outputs.targets)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("vocabulary", ["full", "trimmed"])
def test_loss_and_gradients_are_those_of_a_plain_loop(base: Base, family: str, vocabulary: str) -> None:
    """Speed that changes the training is no speed: in double precision every weight's gradient is the plain loop's; in
    float32 it is within 1e-5 of that, or as near as rounding brings the plain loop itself.
    """
    model = made(base, family, vocabulary=vocabulary)
    fast, slow = our_loss(model, PAIRS), plain_loop(model, PAIRS)
    assert relative(fast, slow) < 1e-5
    ours, theirs = gradients(model, fast), gradients(model, slow)
    assert ours.keys() == theirs.keys() and len(ours) == len(list(model.parameters_to_train()))
    model.module.double()
    exact, same = gradients(model, plain_loop(model, PAIRS)), gradients(model, our_loss(model, PAIRS))
    for name, wanted in exact.items():
        # Not nearer, for a library may work out angles and norms in float32 whatever it is given.
        assert (same[name] - wanted).norm() <= 1e-6 * wanted.norm() + 1e-12, name
    assert far(ours, exact) <= max(1e-5, 2 * far(theirs, exact))


@pytest.mark.parametrize("family", CAUSAL)
def test_loss_on_prompt_and_target_is_available(base: Base, family: str) -> None:
    """The logs trained so; a setting repeats their runs."""
    model = made(base, family)
    model.configure(TrainConfig(loss_on="all"))
    fast, slow = our_loss(model, PAIRS), plain_loop(model, PAIRS, everything=True)
    assert relative(fast, slow) < 1e-5


def test_logits_are_computed_for_targets_only(base: Base) -> None:
    """A quarter of a million logits per prompt token that is not trained on is most of the cost."""
    for family in FAMILIES:
        model = made(base, family)
        batch = model.collate(PAIRS)
        assert len(model.outputs(batch).logits) == batch.targets == sum(len(model.target_ids(p.target)) for p in PAIRS)


def test_what_rows_share_is_computed_once(base: Base) -> None:
    """13 of 30 tokens are the same in every row of the numerals log; rows may share more in pairs."""
    model = made(base, "gemma3")
    rows = [tuple([*model.prompt_ids(pair.query), *model.target_ids(pair.target)][:-1]) for pair in PAIRS]
    prefixes = {row[: size + 1] for row in rows for size in range(len(row))}
    batch = model.collate(PAIRS)
    assert batch.tensors["input_ids"].numel() == len(prefixes) < sum(map(len, rows)) - 3 * 7
    assert batch.tokens == sum(map(len, rows)) + len(rows)
    model.configure(TrainConfig(prefix_cache=False))
    assert model.collate(PAIRS).tensors["input_ids"].numel() == sum(map(len, rows))


def test_models_with_a_recurrent_state_never_get_a_prefix_tree(base: Base) -> None:
    """LFM2's convolutions would carry one row into the next."""
    layouts = {family: made(base, family).info.extra["layout"] for family in CAUSAL}
    assert layouts == {"gemma3": "tree", "qwen2": "tree", "llama": "tree", "lfm2": "padded"}


def test_a_row_longer_than_the_window_gets_no_prefix_tree(base: Base) -> None:
    """Gemma's local layers have a sliding window; the tree mask would let them see everything."""
    model = made(base, "gemma3")
    long = Pair(Query("一" * 80), "(1)")
    assert "tree_mask" in model.collate(PAIRS).tensors and "tree_mask" not in model.collate([long]).tensors
    slow = plain_loop(model, [long])
    assert relative(our_loss(model, [long]), slow) < 1e-5


def test_trimmed_models_read_tokens_they_did_not_keep(base: Base) -> None:
    """Later queries hold tokens that no training row held; their rows are read from the checkpoint."""
    strange = Query("冷蔵庫の奥から先月のプリン")
    for family in FAMILIES:
        config = ModelConfig(base=str(base(family)))
        full = build.build(config, PAIRS, seed=0)
        small = build.build(config.model_copy(update={"vocabulary": "trimmed"}), PAIRS, seed=0)
        assert small.info.vocabulary < full.info.vocabulary / 3
        with torch.inference_mode():
            wide, narrow = full.start([strange]).logits, small.start([strange]).logits
        kept = torch.tensor(small.vocabulary.id_map.kept_ids)
        torch.testing.assert_close(wide[:, kept], narrow)


def test_a_target_outside_the_trimmed_vocabulary_is_refused(base: Base) -> None:
    """It could not be predicted, so it must not seem trained."""
    model = made(base, "gemma3", vocabulary="trimmed")
    with pytest.raises(DataError, match="trimmed vocabulary") as caught:
        model.collate([Pair(Query("一"), "冷蔵庫", "row 9")])
    assert caught.value.where == "row 9"


def test_gradient_checkpointing_changes_no_gradient(base: Base) -> None:
    """It trades time for memory, and changes nothing else."""
    model = made(base, "qwen2")
    plain = gradients(model, our_loss(model, PAIRS))
    model.configure(TrainConfig(checkpointing=True))
    model.module.train()
    again = gradients(model, our_loss(model, PAIRS))
    assert all(torch.allclose(plain[name], again[name], atol=1e-6) for name in plain)


def test_settings_without_effect_are_refused(base: Base) -> None:
    """A setting that does nothing must not be accepted silently."""
    with pytest.raises(ConfigError):
        made(base, "t5").configure(TrainConfig(loss_on="all"))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError):
            made(base, "t5", dtype="float16")


def test_a_tiny_model_learns_its_targets(base: Base) -> None:
    """Through our own training loop: two families, numerals as in the log."""
    from terakoya.codec import TextCodec
    from terakoya.config import DecodeConfig
    from terakoya.decoding import generate
    from terakoya.training.batches import EpochBatches
    from terakoya.training.defaults import resolve
    from terakoya.training.loop import run_loop

    rows = [*PAIRS[:3], Pair(Query("三千"), "(3000)")]
    for family in ("gemma3", "t5"):
        model = build.build(ModelConfig(base=str(base(family)), vocabulary="trimmed"), rows, seed=0)
        how = TrainConfig(steps=120, batch_size=4, learning_rate=8e-3, threads=1, select="last")
        run_loop(
            model, EpochBatches(rows, 4, 0, model.length), resolve(how, model.info, len(rows)), seed=0, device="cpu"
        )
        plain = DecodeConfig(constrained=False)
        found = generate(model, [row.query for row in rows], TextCodec(), plain, max_tokens=16)
        assert [prediction.raw for prediction in found] == [row.target for row in rows]
