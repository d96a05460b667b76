"""Decoding: in order, independent of the batch, and never illegal where it is constrained by the codec's grammar."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch

from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig, ModelConfig
from terakoya.decoding import DecodedSequence, autoregressive, evaluation_mode, generate, read
from terakoya.decoding.constraints import GrammarConstraint
from terakoya.errors import ConfigError
from terakoya.models.builtin.model import BuiltinModel, build
from terakoya.models.protocol import Pair, Query

FAMILIES = ["encoder-decoder", "decoder"]
FREE = DecodeConfig(constrained=False)


@dataclass(frozen=True)
class Even:
    """Two, four or six digits of 0 to 3 in brackets: a grammar that an untrained model never meets by coincidence."""

    name: str = "even"

    def write(self, target: str) -> str:
        return f"({target})"

    def read(self, raw: str) -> str | None:
        return raw[1:-1] if self.complete(raw) else None

    def canonical(self, target: str) -> str:
        return target

    def viable(self, prefix: str) -> bool:
        digits = prefix.removeprefix("(").removesuffix(")")
        closed = prefix.endswith(")")
        if not re.fullmatch(r"[0-3]{0,6}", digits) or (prefix and not prefix.startswith("(")):
            return False
        return not closed or (len(digits) in (2, 4, 6))

    def complete(self, written: str) -> bool:
        return re.fullmatch(r"\((?:[0-3]{2}){1,3}\)", written) is not None


def _model(family: str = "encoder-decoder", seed: int = 1) -> BuiltinModel:
    pairs = [Pair(Query("漢字かな混じりabc"), "(0123)xyz")]
    config = ModelConfig(
        base="tiny", width=16, layers=1, attention_heads=2, family=family, max_source=30, max_target=12
    )  # type: ignore[arg-type]
    model = build(config, pairs, seed=seed)
    with torch.no_grad():
        # Untrained, every token predicts itself whatever the source; larger weights make outputs that differ.
        model.module.norm.weight.fill_(1.0)
        for name, weight in model.module.named_parameters():
            if name.endswith(("out.weight", "outer.weight")):
                weight.mul_(8)
    return model


def _queries(count: int) -> list[Query]:
    letters = "漢字かな混じりabc"
    words = ["".join(word) for length in range(1, 5) for word in product(letters, repeat=length)]
    return [Query(word) for word in words[:: max(1, len(words) // count)][:count]]


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_do_not_depend_on_the_batch_and_are_in_order(family: str) -> None:
    """An output must not depend on the other queries, nor on its position in the list."""
    model, queries = _model(family), _queries(41)
    together = generate(model, queries, TextCodec(), FREE, 12)
    alone = [generate(model, [query], TextCodec(), FREE, 12)[0] for query in queries]
    assert [sequence.raw for sequence in together] == [sequence.raw for sequence in alone]
    assert len({sequence.raw for sequence in together}) > 5, "outputs that are all alike would prove nothing"
    for one, other in zip(together, alone, strict=True):
        assert one.probability == pytest.approx(other.probability, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_takes_the_most_probable_token_and_reports_its_probability(family: str) -> None:
    """Compared with the whole forward pass again for every token."""
    model = _model(family)
    for query, sequence in zip(_queries(9), generate(model, _queries(9), TextCodec(), FREE, 6), strict=True):
        text, score, finished = "", 0.0, False
        for _ in range(7):
            with evaluation_mode(model):
                batch = model.collate([Pair(query, text or "0")])
                hidden = model.module(batch.tensors["source"], batch.tensors["decoder_input"], None)
                logs = model.module.logits(hidden)[0, len(text)].log_softmax(-1)
            token = int(logs.argmax())
            score += float(logs[token])
            finished = token == model.end
            if finished:
                break
            text += model.token_texts()[token]
        assert sequence.raw == text[:6]
        assert sequence.finished == finished
        assert sequence.probability == pytest.approx(math.exp(score) if finished else 0.0, rel=1e-3)


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
@pytest.mark.parametrize("family", FAMILIES)
def test_untrained_models_never_finish_an_illegal_sequence(family: str, method: str) -> None:
    """docs/lessons.md, no. 8: "填" for an emoji, prose for a number. Counted over untrained models."""
    decode = DecodeConfig(method=method, batch_size=128, beams=2)  # type: ignore[arg-type]
    finished = 0
    for seed in range(4):
        for sequence in generate(_model(family, seed), _queries(450), Even(), decode, 11, seed=seed):
            if sequence.finished:
                finished += 1
                assert Even().complete(sequence.raw), sequence
            else:
                assert Even().viable(sequence.raw)
    assert finished > 1000


def test_constrained_greedy_takes_the_most_probable_legal_token() -> None:
    model, codec = _model(), Even()
    for query, sequence in zip(_queries(12), generate(model, _queries(12), codec, DecodeConfig(), 11), strict=True):
        text = ""
        with evaluation_mode(model):
            state = model.start([query])
            while True:
                order = state.logits[0].argsort(descending=True).tolist()
                constraint = GrammarConstraint(codec, model.token_texts(), model.end)
                token = next(token for token in order if constraint.allows(text, token))
                if token == model.end:
                    break
                text += model.token_texts()[token]
                state.advance(torch.tensor([token]))
        assert (sequence.raw, sequence.finished) == (text, True)


def test_a_sequence_truncated_by_the_limit_is_unreadable_even_if_it_looks_valid() -> None:
    """ "12" of "123" does not mean 12."""
    truncated = DecodedSequence("(01)", 0.5, finished=False)
    assert read(truncated, Even()) is None
    assert read(DecodedSequence("(01)", 0.5, finished=True), Even()) == "01"
    short = generate(_model(), _queries(20), TextCodec(), FREE, 1)
    assert all(len(sequence.raw) <= 1 for sequence in short)
    assert any(not sequence.finished for sequence in short)


def test_a_query_that_does_not_fit_gets_no_output_and_the_others_do() -> None:
    model, queries = _model(), [Query("漢"), Query("字" * 31), Query(""), Query("abc")]
    got = generate(model, queries, TextCodec(), FREE, 12)
    assert got[1] == got[2] == DecodedSequence("", 0.0, finished=False)
    assert got[0] == generate(model, [Query("漢")], TextCodec(), FREE, 12)[0]
    assert generate(model, [], TextCodec(), FREE, 12) == []


def test_a_beam_as_wide_as_the_grammar_finds_the_most_probable_sequence() -> None:
    """Every sequence of two digits, scored one by one: none may be more probable than what beam search found."""

    @dataclass(frozen=True)
    class Two(Even):
        def viable(self, prefix: str) -> bool:
            return super().viable(prefix) and len(prefix) <= 4

        def complete(self, written: str) -> bool:
            return super().complete(written) and len(written) == 4

    model = _model()
    for query in _queries(6):
        found = generate(model, [query], Two(), DecodeConfig(method="beam", beams=16), 11)[0]
        best = max(_probability(model, query, f"({a}{b})") for a in "0123" for b in "0123")
        assert found.probability == pytest.approx(best, rel=1e-3)
        greedy = generate(model, [query], Two(), DecodeConfig(), 11)[0]
        assert found.probability >= greedy.probability * 0.999


def test_one_beam_is_greedy() -> None:
    model, queries = _model(), _queries(15)
    beam = generate(model, queries, TextCodec(), DecodeConfig(method="beam", beams=1, constrained=False), 10)
    greedy = generate(model, queries, TextCodec(), FREE, 10)
    assert [sequence.raw for sequence in beam if sequence.finished] == [
        sequence.raw for sequence, other in zip(greedy, beam, strict=True) if other.finished
    ]


class TestSampling:
    def test_a_seed_repeats_and_the_batch_does_not_matter(self) -> None:
        """docs/lessons.md, no. 24: another value each time."""
        model, queries = _model(), _queries(30)
        decode = DecodeConfig(method="sample", constrained=False)
        first = generate(model, queries, TextCodec(), decode, 8, seed=5)
        assert first == generate(model, queries, TextCodec(), decode, 8, seed=5)
        reversed_ = generate(model, queries[::-1], TextCodec(), decode, 8, seed=5)
        assert [sequence.raw for sequence in reversed_[::-1]] == [sequence.raw for sequence in first]
        assert first != generate(model, queries, TextCodec(), decode, 8, seed=6)

    def test_the_same_query_twice_gives_two_samples(self) -> None:
        decode = DecodeConfig(method="sample", constrained=False)
        raws = {sequence.raw for sequence in generate(_model(), [Query("漢")] * 20, TextCodec(), decode, 8)}
        assert len(raws) > 5

    def test_frequencies_of_first_tokens_follow_the_model(self) -> None:
        """Temperature 1 draws from the model itself: 2,000 draws within four standard errors."""
        model = _model()
        with evaluation_mode(model):
            probabilities = model.start([Query("漢")]).logits[0].softmax(-1)
        decode = DecodeConfig(method="sample", constrained=False, batch_size=500)
        drawn = generate(model, [Query("漢")] * 2000, TextCodec(), decode, 1)
        for token, text in enumerate(model.token_texts()):
            share = sum(sequence.raw == text for sequence in drawn) / 2000
            expected = float(probabilities[token])
            assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / 2000) + 1e-3

    @pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
    def test_the_narrowest_distribution_is_greedy(self, settings: dict[str, float]) -> None:
        model, queries = _model(), _queries(20)
        decode = DecodeConfig(method="sample", constrained=False, **settings)  # type: ignore[arg-type]
        assert generate(model, queries, TextCodec(), decode, 8) == generate(model, queries, TextCodec(), FREE, 8)

    def test_a_penalty_makes_repetition_rarer(self) -> None:
        def repeated(penalty: float) -> int:
            decode = DecodeConfig(method="sample", constrained=False, repetition_penalty=penalty)
            got = generate(_model(), _queries(60), TextCodec(), decode, 8)
            return sum(len(sequence.raw) - len(set(sequence.raw)) for sequence in got)

        assert repeated(8.0) < repeated(1.0)


def test_expected_metric_without_mbr_is_refused_for_sequences() -> None:
    with pytest.raises(ConfigError, match="sequence head"):
        generate(_model(), _queries(1), TextCodec(), DecodeConfig(method="expected-metric"), 5)


def test_dropout_is_off_while_decoding_and_on_again_after() -> None:
    model = _model()
    model.module.train()
    generate(model, _queries(2), TextCodec(), FREE, 5)
    assert model.module.training


def test_probabilities_are_the_same_in_blocks_of_a_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a large vocabulary the sum of exponentials is taken in blocks of a batch."""
    model, queries = _model(), _queries(23)
    whole = generate(model, queries, TextCodec(), FREE, 12)
    monkeypatch.setattr(autoregressive, "_LOGITS_PER_BLOCK", 3 * len(model.token_texts()))
    parts, plain = list[int](), torch.split

    def split(logits: torch.Tensor, rows: int) -> Any:
        parts.append(rows)
        return plain(logits, rows)

    monkeypatch.setattr(torch, "split", split)
    found = generate(model, queries, TextCodec(), FREE, 12)
    assert parts and set(parts) == {3}
    for one, other in zip(found, whole, strict=True):
        assert one.raw == other.raw and one.probability == pytest.approx(other.probability, rel=1e-5)


class _LimitedMemory:
    """A model on a machine with memory for so many rows: larger batches fail at once, or after a token."""

    def __init__(self, model: BuiltinModel, limit: int, *, late: bool) -> None:
        self.model, self.limit, self.late = model, limit, late
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def start(self, queries: Sequence[Query]) -> Any:
        self.sizes.append(len(queries))
        full = len(queries) > self.limit
        if full and not self.late:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        state = self.model.start(queries)
        if full:
            self._fail_on_advance(state)
        return state

    def _fail_on_advance(self, state: Any) -> None:
        def advance(tokens: torch.Tensor) -> None:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

        state.advance = advance


class TestOutOfMemory:
    @pytest.mark.parametrize("late", [False, True], ids=["at once", "after a token"])
    @pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
    def test_the_rest_runs_in_smaller_batches(self, method: str, late: bool) -> None:
        """The same outputs, samples too; what was finished before does not run again."""
        model, queries = _model(), _queries(41)
        decode = DecodeConfig(method=method, constrained=False, batch_size=16)  # type: ignore[arg-type]
        limited = _LimitedMemory(model, 6, late=late)
        found = generate(limited, queries, TextCodec(), decode, 12)  # type: ignore[arg-type]
        assert [one.raw for one in found] == [one.raw for one in generate(model, queries, TextCodec(), decode, 12)]
        assert limited.sizes[:3] == [16, 8, 4] and set(limited.sizes[3:-1]) == {4}  # tried once, then remembered
        assert sum(size for size in limited.sizes if size <= 6) == len(queries)

    def test_too_little_memory_for_one_query_is_an_error_with_advice(self) -> None:
        with pytest.raises(ConfigError) as caught:
            generate(_LimitedMemory(_model(), 0, late=False), _queries(3), TextCodec(), FREE, 12)  # type: ignore[arg-type]
        assert "out of memory" in str(caught.value.what) and "decode.max_tokens" in str(caught.value.do)

    def test_another_error_is_raised_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = _model()

        def start(queries: Sequence[Query]) -> Any:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

        monkeypatch.setattr(model, "start", start)
        with pytest.raises(RuntimeError, match="mat1"):
            generate(model, _queries(3), TextCodec(), FREE, 12)


class TestGrammarConstraint:
    def test_legal_tokens_are_those_that_are_allowed_for_any_tokenizer(self) -> None:
        """Tokens of several characters: the whole text must be viable, not its first character only."""
        texts = ["", "(", ")", "0", "1", "01", "012", "(0", "0)", "00)", "x", "0x", ""]
        constraint = GrammarConstraint(Even(), texts, end=0)
        for prefix in ("", "(", "(0", "(01", "(01)", "(010101", "(01010"):
            allowed = {token for token in range(len(texts)) if constraint.allows(prefix, token)}
            assert set(constraint.legal(prefix)) == allowed
        assert 9 in constraint.legal("(11")
        assert constraint.legal("(01)") == (0,)

    def test_a_tokenizer_that_cannot_go_on_leaves_the_sequence_unfinished(self) -> None:
        class NoClosing(BuiltinModel):
            def token_texts(self) -> tuple[str, ...]:
                return tuple("" if text == ")" else text for text in super().token_texts())

        model = _model()
        model.__class__ = NoClosing
        got = generate(model, _queries(10), Even(), DecodeConfig(), 11)
        assert all(not sequence.finished for sequence in got)
        assert all(len(sequence.raw) == 7 for sequence in got), "the text so far is kept"


def _probability(model: BuiltinModel, query: Query, text: str) -> float:
    with evaluation_mode(model):
        outputs = model.outputs(model.collate([Pair(query, text)]))
    return math.exp(float(outputs.logits.log_softmax(-1).gather(1, outputs.targets[:, None]).sum()))
