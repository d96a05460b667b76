"""Answers: in order, the same in any company, and never illegal where the codec's language is to be kept."""

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
from terakoya.decoding import Answer, answers, asking, autoregressive, read
from terakoya.decoding.constraints import Language
from terakoya.errors import ConfigError
from terakoya.models.builtin.model import TinyModel, build
from terakoya.models.protocol import Pair, Query

FAMILIES = ["encoder-decoder", "decoder"]
FREE = DecodeConfig(constrained=False)


@dataclass(frozen=True)
class Even:
    """Two, four or six digits of 0 to 3 in brackets: a language that an untrained model never hits by chance."""

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


def _model(family: str = "encoder-decoder", seed: int = 1) -> TinyModel:
    pairs = [Pair(Query("漢字かな混じりabc"), "(0123)xyz")]
    config = ModelConfig(
        base="tiny", width=16, layers=1, attention_heads=2, family=family, max_source=30, max_target=12
    )  # type: ignore[arg-type]
    model = build(config, pairs, seed=seed)
    with torch.no_grad():
        # Untrained, every token echoes itself and the source is not heard; louder layers make answers that differ.
        model.module.norm.weight.fill_(1.0)
        for name, weight in model.module.named_parameters():
            if name.endswith(("out.weight", "outer.weight")):
                weight.mul_(8)
    return model


def _asks(count: int) -> list[Query]:
    letters = "漢字かな混じりabc"
    words = ["".join(word) for length in range(1, 5) for word in product(letters, repeat=length)]
    return [Query(word) for word in words[:: max(1, len(words) // count)][:count]]


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_the_same_in_any_company_and_in_order(family: str) -> None:
    """An answer must not depend on what else was asked, nor on where it stood in the list."""
    model, asks = _model(family), _asks(41)
    together = answers(model, asks, TextCodec(), FREE, 12)
    alone = [answers(model, [ask], TextCodec(), FREE, 12)[0] for ask in asks]
    assert [answer.raw for answer in together] == [answer.raw for answer in alone]
    assert len({answer.raw for answer in together}) > 5, "answers that are all alike would prove nothing"
    for one, other in zip(together, alone, strict=True):
        assert one.probability == pytest.approx(other.probability, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_takes_the_most_probable_token_and_tells_its_probability(family: str) -> None:
    """Against the plainest way: the whole forward pass again for every token."""
    model = _model(family)
    for ask, answer in zip(_asks(9), answers(model, _asks(9), TextCodec(), FREE, 6), strict=True):
        written, score, finished = "", 0.0, False
        for _ in range(7):
            with asking(model):
                batch = model.collate([Pair(ask, written or "0")])
                hidden = model.module(batch.tensors["source"], batch.tensors["answer"], None)
                logs = model.module.logits(hidden)[0, len(written)].log_softmax(-1)
            token = int(logs.argmax())
            score += float(logs[token])
            finished = token == model.end
            if finished:
                break
            written += model.pieces()[token]
        assert answer.raw == written[:6]
        assert answer.finished == finished
        assert answer.probability == pytest.approx(math.exp(score) if finished else 0.0, rel=1e-3)


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_illegal_answer_ever_from_untrained_models(family: str, method: str) -> None:
    """Lesson 8: "填" for an emoji, prose for a number. Counted over untrained models, which know nothing."""
    decode = DecodeConfig(method=method, batch_size=128, beams=2)  # type: ignore[arg-type]
    finished = 0
    for seed in range(4):
        for answer in answers(_model(family, seed), _asks(450), Even(), decode, 11, seed=seed):
            if answer.finished:
                finished += 1
                assert Even().complete(answer.raw), answer
            else:
                assert Even().viable(answer.raw)
    assert finished > 1000


def test_constrained_greedy_takes_the_most_probable_legal_token() -> None:
    model, codec = _model(), Even()
    for ask, answer in zip(_asks(12), answers(model, _asks(12), codec, DecodeConfig(), 11), strict=True):
        written = ""
        with asking(model):
            state = model.start([ask])
            while True:
                order = state.logits[0].argsort(descending=True).tolist()
                language = Language(codec, model.pieces(), model.end)
                token = next(token for token in order if language.allows(written, token))
                if token == model.end:
                    break
                written += model.pieces()[token]
                state.advance(torch.tensor([token]))
        assert (answer.raw, answer.finished) == (written, True)


def test_an_answer_cut_by_the_limit_is_unreadable_even_if_it_looks_like_one() -> None:
    """ "12" of "123" is no answer of 12."""
    cut = Answer("(01)", 0.5, finished=False)
    assert read(cut, Even()) is None
    assert read(Answer("(01)", 0.5, finished=True), Even()) == "01"
    short = answers(_model(), _asks(20), TextCodec(), FREE, 1)
    assert all(len(answer.raw) <= 1 for answer in short)
    assert any(not answer.finished for answer in short)


def test_a_source_that_does_not_fit_is_not_answered_and_its_neighbours_are() -> None:
    model, asks = _model(), [Query("漢"), Query("字" * 31), Query(""), Query("abc")]
    got = answers(model, asks, TextCodec(), FREE, 12)
    assert got[1] == got[2] == Answer("", 0.0, finished=False)
    assert got[0] == answers(model, [Query("漢")], TextCodec(), FREE, 12)[0]
    assert answers(model, [], TextCodec(), FREE, 12) == []


def test_a_beam_as_wide_as_the_language_finds_the_most_probable_answer() -> None:
    """Every answer of two digits, scored one by one: none may beat what the beam found."""

    @dataclass(frozen=True)
    class Two(Even):
        def viable(self, prefix: str) -> bool:
            return super().viable(prefix) and len(prefix) <= 4

        def complete(self, written: str) -> bool:
            return super().complete(written) and len(written) == 4

    model = _model()
    for ask in _asks(6):
        found = answers(model, [ask], Two(), DecodeConfig(method="beam", beams=16), 11)[0]
        best = max(_probability(model, ask, f"({a}{b})") for a in "0123" for b in "0123")
        assert found.probability == pytest.approx(best, rel=1e-3)
        greedy = answers(model, [ask], Two(), DecodeConfig(), 11)[0]
        assert found.probability >= greedy.probability * 0.999


def test_one_beam_is_greedy() -> None:
    model, asks = _model(), _asks(15)
    beam = answers(model, asks, TextCodec(), DecodeConfig(method="beam", beams=1, constrained=False), 10)
    greedy = answers(model, asks, TextCodec(), FREE, 10)
    assert [answer.raw for answer in beam if answer.finished] == [
        answer.raw for answer, other in zip(greedy, beam, strict=True) if other.finished
    ]


class TestSampling:
    def test_a_seed_repeats_and_company_does_not_matter(self) -> None:
        """Lesson 24: another figure each time."""
        model, asks = _model(), _asks(30)
        decode = DecodeConfig(method="sample", constrained=False)
        first = answers(model, asks, TextCodec(), decode, 8, seed=5)
        assert first == answers(model, asks, TextCodec(), decode, 8, seed=5)
        turned = answers(model, asks[::-1], TextCodec(), decode, 8, seed=5)
        assert [answer.raw for answer in turned[::-1]] == [answer.raw for answer in first]
        assert first != answers(model, asks, TextCodec(), decode, 8, seed=6)

    def test_the_same_source_asked_twice_gives_two_samples(self) -> None:
        decode = DecodeConfig(method="sample", constrained=False)
        raws = {answer.raw for answer in answers(_model(), [Query("漢")] * 20, TextCodec(), decode, 8)}
        assert len(raws) > 5

    def test_shares_of_first_tokens_follow_the_model(self) -> None:
        """Temperature 1 draws from the model itself: 2,000 draws within four standard errors."""
        model = _model()
        with asking(model):
            shares = model.start([Query("漢")]).logits[0].softmax(-1)
        decode = DecodeConfig(method="sample", constrained=False, batch_size=500)
        drawn = answers(model, [Query("漢")] * 2000, TextCodec(), decode, 1)
        for token, piece in enumerate(model.pieces()):
            share = sum(answer.raw == piece for answer in drawn) / 2000
            expected = float(shares[token])
            assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / 2000) + 1e-3

    @pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
    def test_the_narrowest_draw_is_greedy(self, narrow: dict[str, float]) -> None:
        model, asks = _model(), _asks(20)
        decode = DecodeConfig(method="sample", constrained=False, **narrow)  # type: ignore[arg-type]
        assert answers(model, asks, TextCodec(), decode, 8) == answers(model, asks, TextCodec(), FREE, 8)

    def test_a_penalty_makes_repetition_rarer(self) -> None:
        def repeated(penalty: float) -> int:
            decode = DecodeConfig(method="sample", constrained=False, repetition_penalty=penalty)
            got = answers(_model(), _asks(60), TextCodec(), decode, 8)
            return sum(len(answer.raw) - len(set(answer.raw)) for answer in got)

        assert repeated(8.0) < repeated(1.0)


def test_expected_best_is_refused_for_sequences() -> None:
    with pytest.raises(ConfigError, match="scores no sets"):
        answers(_model(), _asks(1), TextCodec(), DecodeConfig(method="best-expected"), 5)


def test_dropout_is_off_while_asking_and_on_again_after() -> None:
    model = _model()
    model.module.train()
    answers(model, _asks(2), TextCodec(), FREE, 5)
    assert model.module.training


def test_probabilities_are_the_same_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a large vocabulary the sum of exponentials is taken by parts of a batch."""
    model, asks = _model(), _asks(23)
    whole = answers(model, asks, TextCodec(), FREE, 12)
    monkeypatch.setattr(autoregressive, "_AT_ONCE", 3 * len(model.pieces()))
    parts, plain = list[int](), torch.split

    def split(logits: torch.Tensor, rows: int) -> Any:
        parts.append(rows)
        return plain(logits, rows)

    monkeypatch.setattr(torch, "split", split)
    found = answers(model, asks, TextCodec(), FREE, 12)
    assert parts and set(parts) == {3}
    for one, other in zip(found, whole, strict=True):
        assert one.raw == other.raw and one.probability == pytest.approx(other.probability, rel=1e-5)


class _Tight:
    """A model on a machine with room for so many rows: some are refused at once, some after a few tokens."""

    def __init__(self, model: TinyModel, room: int, *, late: bool) -> None:
        self.model, self.room, self.late = model, room, late
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def start(self, asks: Sequence[Query]) -> Any:
        self.sizes.append(len(asks))
        full = len(asks) > self.room
        if full and not self.late:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        state = self.model.start(asks)
        if full:
            self._fill(state)
        return state

    def _fill(self, state: Any) -> None:
        def advance(tokens: torch.Tensor) -> None:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

        state.advance = advance


class TestShortMemory:
    @pytest.mark.parametrize("late", [False, True], ids=["at once", "after a token"])
    @pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
    def test_the_rest_is_asked_in_smaller_parts(self, method: str, late: bool) -> None:
        """The same answers, samples too; what was answered before is not asked again."""
        model, asks = _model(), _asks(41)
        decode = DecodeConfig(method=method, constrained=False, batch_size=16)  # type: ignore[arg-type]
        tight = _Tight(model, 6, late=late)
        found = answers(tight, asks, TextCodec(), decode, 12)  # type: ignore[arg-type]
        assert [one.raw for one in found] == [one.raw for one in answers(model, asks, TextCodec(), decode, 12)]
        assert tight.sizes[:3] == [16, 8, 4] and set(tight.sizes[3:-1]) == {4}  # tried once, then known
        assert sum(size for size in tight.sizes if size <= 6) == len(asks)

    def test_no_room_for_one_is_a_refusal_with_what_helps(self) -> None:
        with pytest.raises(ConfigError) as told:
            answers(_Tight(_model(), 0, late=False), _asks(3), TextCodec(), FREE, 12)  # type: ignore[arg-type]
        assert "out of memory with one question" in str(told.value.what) and "decode.max_tokens" in str(told.value.do)

    def test_another_fault_is_no_lack_of_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = _model()

        def start(asks: Sequence[Query]) -> Any:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

        monkeypatch.setattr(model, "start", start)
        with pytest.raises(RuntimeError, match="mat1"):
            answers(model, _asks(3), TextCodec(), FREE, 12)


class TestLanguage:
    def test_legal_tokens_are_those_that_are_allowed_for_any_tokenizer(self) -> None:
        """Pieces of several characters: the whole piece must be viable, not its first character only."""
        pieces = ["", "(", ")", "0", "1", "01", "012", "(0", "0)", "00)", "x", "0x", ""]
        language = Language(Even(), pieces, end=0)
        for prefix in ("", "(", "(0", "(01", "(01)", "(010101", "(01010"):
            allowed = {token for token in range(len(pieces)) if language.allows(prefix, token)}
            assert set(language.legal(prefix)) == allowed
        assert 9 in language.legal("(11")
        assert language.legal("(01)") == (0,)

    def test_a_tokenizer_that_cannot_go_on_leaves_the_answer_unfinished(self) -> None:
        class NoClosing(TinyModel):
            def pieces(self) -> tuple[str, ...]:
                return tuple("" if piece == ")" else piece for piece in super().pieces())

        model = _model()
        model.__class__ = NoClosing
        got = answers(model, _asks(10), Even(), DecodeConfig(), 11)
        assert all(not answer.finished for answer in got)
        assert all(len(answer.raw) == 7 for answer in got), "written as far as it went"


def _probability(model: TinyModel, ask: Query, written: str) -> float:
    with asking(model):
        outputs = model.outputs(model.collate([Pair(ask, written)]))
    return math.exp(float(outputs.logits.log_softmax(-1).gather(1, outputs.targets[:, None]).sum()))
