"""Batched decoding with a growing cache predicts what each row alone predicts, for both families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from checkpoints import CAUSAL, FAMILIES

from terakoya.codec import TextCodec
from terakoya.codec.choose import choose_codec
from terakoya.codec.number import number_codec
from terakoya.config import DecodeConfig, ModelConfig
from terakoya.decoding import generate
from terakoya.models.pretrained import build
from terakoya.models.pretrained.kv_cache import CausalState
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.protocol import Pair, Query

Base = Callable[[str], Path]
PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("二十"), "(20)")]
QUERIES = [Query(text) for text in ("一", "百億三千二万五千", "二十", "冷蔵庫の奥から先月のプリン", "三千", "五")]
PLAIN = DecodeConfig(constrained=False)


def noisy(base: Base, family: str, vocabulary: str = "full") -> PretrainedModel:
    """Random weights large enough that predictions differ between rows, and some rows end early."""
    model = build.build(ModelConfig(base=str(base(family)), vocabulary=vocabulary), PAIRS, seed=0)  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, weight in model.parameters_to_train():
            weight += 0.25 * torch.randn(weight.shape, generator=rng)
    return model


@pytest.mark.parametrize("window", [20, 24, 36, 48, 64])
def test_a_sliding_window_is_that_of_a_row_alone(base: Base, window: int) -> None:
    """Shared prefixes, padding between them and the rest, and layers with a sliding window: before the first
    token, during decoding, and for rows that stay when others leave."""
    model = noisy(base, "gemma3")
    for part in (model.core.config, *model.module.modules()):
        if getattr(part, "sliding_window", None):
            part.sliding_window = window  # type: ignore[union-attr]
    with torch.inference_mode():
        together = model.start(QUERIES)
        alone = [model.start([query]) for query in QUERIES]
        for step in range(40):
            if step == 20:
                together.select(torch.arange(1, len(QUERIES)))
                alone = alone[1:]
            torch.testing.assert_close(together.logits, torch.cat([one.logits for one in alone]), rtol=1e-3, atol=1e-3)
            tokens = torch.arange(len(alone)) + 5 * step % 40 + 10
            together.advance(tokens)
            for one, token in zip(alone, tokens, strict=True):
                one.advance(token[None])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_predicts_what_each_row_alone_predicts(base: Base, family: str) -> None:
    """No row may attend to padding."""
    model = noisy(base, family)
    together = generate(model, QUERIES, TextCodec(), PLAIN, max_tokens=40)
    alone = [generate(model, [query], TextCodec(), PLAIN, max_tokens=40)[0] for query in QUERIES]
    assert [prediction.raw for prediction in together] == [prediction.raw for prediction in alone]
    assert len({prediction.raw for prediction in together}) > 1
    for one, other in zip(together, alone, strict=True):
        assert one.probability == pytest.approx(other.probability, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("family", CAUSAL)
@pytest.mark.parametrize(
    "queries", [QUERIES, [Query("一万"), Query("二千")], [Query("五")] * 3], ids=["any", "as long", "the same"]
)
def test_a_shared_prefix_is_computed_once_and_attended_by_all(base: Base, family: str, queries: list[Query]) -> None:
    """The prefix of a prompt is the same in every row; models with a recurrent state compute it row by row."""
    model = noisy(base, family)
    read: list[int] = []
    hook = model.module.get_input_embeddings().register_forward_hook(  # type: ignore[operator]
        lambda _, given, __: read.append(given[0].numel())
    )
    with torch.inference_mode():
        shared = model.start(queries)
        hook.remove()
        apart = CausalState(model.core, [model.prompt_ids(query) for query in queries], model.pad, model.device)
        for _ in range(4):
            torch.testing.assert_close(shared.logits, apart.logits, rtol=1e-3, atol=1e-3)
            tokens = apart.logits.argmax(-1)
            shared.advance(tokens)
            apart.advance(tokens)
    longest = max(len(model.prompt_ids(query)) for query in queries)
    assert (sum(read) < longest * len(queries)) == (family != "lfm2")


@pytest.mark.parametrize("family", FAMILIES)
def test_states_repeat_and_drop_rows(base: Base, family: str) -> None:
    """Beams repeat rows, finished rows leave; the remaining ones go on as before."""
    model = noisy(base, family)
    with torch.inference_mode():
        whole, other = model.start(QUERIES), model.start(QUERIES)
        rows = torch.tensor([4, 1, 1])
        for step in range(40):  # beyond the first block of the cache
            tokens = whole.logits.argmax(-1)
            whole.advance(tokens)
            other.advance(tokens if step < 5 else tokens[rows])
            if step == 4:
                other.select(rows)
        torch.testing.assert_close(whole.logits[rows], other.logits, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_are_those_of_generate(base: Base, family: str) -> None:
    """Token for token what the library itself decodes greedily."""
    model = noisy(base, family)
    for query in QUERIES[:3]:
        ids = torch.tensor([model.prompt_ids(query)])
        lead = len(model.tokenizer.target_prefix)
        out = model.core.generate(ids, max_new_tokens=20 + lead, do_sample=False)[0].tolist()
        theirs = out[1 + lead :] if model.family == "encoder-decoder" else out[ids.shape[1] :]
        ends = set(model.core.generation_config.eos_token_id)
        theirs = theirs[: next((n for n, token in enumerate(theirs) if token in ends), len(theirs))]
        (ours,) = generate(model, [query], TextCodec(), PLAIN, max_tokens=20)
        assert ours.raw == model.text(theirs)


@pytest.mark.parametrize("family", ["gemma3", "t5"])
def test_a_trimmed_head_predicts_what_the_full_one_predicts_among_the_same_tokens(base: Base, family: str) -> None:
    """Trimming chooses among the kept tokens and changes nothing else."""
    full, small = noisy(base, family), noisy(base, family, "trimmed")
    kept = torch.tensor(small.vocabulary.id_map.kept_ids)
    with torch.no_grad():  # the same weights in both
        table = full.vocabulary.tables.inputs[0].weight
        small.vocabulary.tables.inputs[0].weight.copy_(table[kept])
        for name, weight in small.module.named_parameters():
            if weight.shape == dict(full.module.named_parameters())[name].shape:
                weight.copy_(dict(full.module.named_parameters())[name])
    with torch.inference_mode():
        query = [pair.query for pair in PAIRS]
        wide, narrow = full.start(query), small.start(query)
        for _ in range(10):
            tokens = narrow.logits.argmax(-1)
            assert torch.equal(wide.logits[:, kept].argmax(-1), tokens)
            wide.advance(kept[tokens])
            narrow.advance(tokens)


LANGUAGES = ("plain", "bracketed", "groups", "pds", "exponent", "reversed", "calculator", "labels")


@pytest.mark.parametrize("family", ["gemma3", "t5"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_untrained_checkpoints_never_predict_an_illegal_text(base: Base, family: str, language: str) -> None:
    """Every codec with a grammar, greedy and sampled: 650 predictions each, 10,400 in all.

    Random weights seldom end a sequence; one that is cut by the limit must be the prefix of a legal one. (This T5 has
    no token for the _ of PDS and was given none: it generates nothing there, rather than something else.)
    """
    codec: Any = choose_codec("labels", ["1 12", "12 3 4"]) if language == "labels" else number_codec(language)
    model = noisy(base, family)
    rng = Random(1)
    queries = [Query("".join(rng.choices("一二三万億千百十猫雨", k=rng.randint(1, 9)))) for _ in range(325)]
    counted = written = 0
    for method in ("greedy", "sample"):
        decode = DecodeConfig(method=method, batch_size=128)  # type: ignore[arg-type]
        for prediction in generate(model, queries, codec, decode, max_tokens=10, seed=1):
            assert codec.complete(prediction.raw) if prediction.finished else codec.viable(prediction.raw), prediction
            assert not prediction.finished or codec.read(prediction.raw) is not None
            counted += 1
            written += bool(prediction.raw)
    assert counted == 650
    assert written == (0 if (family, language) == ("t5", "pds") else 650)
