"""A codec is kept as data beside the model, and is the same codec again without any code of its task."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from terakoya.codec import Codec, TextCodec
from terakoya.codec.as_data import codec_of_values, codec_values
from terakoya.codec.labels import LabelsCodec, labels_codec
from terakoya.codec.number import NOTATIONS, NumberCodec, number_codec
from terakoya.codec.quantity import quantity_codec
from terakoya.config import make_config
from terakoya.errors import CorruptError
from terakoya.registry import find_task

CODECS: tuple[Codec, ...] = (
    TextCodec(),
    *map(number_codec, NOTATIONS),
    quantity_codec(promote=True, tail="[ 　]*を[^を]*"),
    quantity_codec(),
    labels_codec(["✨ 📚", "🎉"]),
    labels_codec(["a,b", "c d"], separator=","),
    labels_codec(["✨ 📚"], most=1, counted=True),
)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_codec_comes_back_as_it_was(codec: Codec) -> None:
    assert codec_of_values(codec_values(codec) or {}) == codec


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_every_parameter_of_a_codec_is_kept(codec: Any) -> None:
    """A parameter that somebody adds later, and that is not written, would come back as its default."""
    named = {field.name for field in fields(codec) if field.init} - {"name"}
    assert named <= set(codec_values(codec) or {})


@pytest.mark.parametrize("name", ["numerals", "janum", "quantities", "persona", "emoji"])
def test_the_codecs_of_all_shipped_tasks_are_data(name: str, tmp_path: Any) -> None:
    codec = find_task(make_config({"task": {"use": name}}), tmp_path).codec
    assert codec_of_values(codec_values(codec) or {}) == codec


def test_a_codec_of_ones_own_class_is_no_data() -> None:
    """It would come back as its parent, and read other things."""

    class Own(NumberCodec):
        def read(self, raw: str) -> str | None:
            return raw

    assert codec_values(Own()) is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "own"}, {"kind": None}, {"labels": []}, {"labels": ["a", "a"]}, {"labels": ["a b"]}, {"labels": [""]},
        {"labels": [1]}, {"labels": "ab"}, {"most": 0}, {"most": True}, {"most": "2"}, {"most": 10**9}, {"emoji": 1},
        {"separator": None}, {"counted": "yes"}, {"kind": "number", "notation": "roman"}, {"kind": "number"},
        {"kind": "quantity", "promote": True, "tail": "("}, {"kind": "quantity", "promote": 1, "tail": ""},
        {"kind": "quantity", "promote": True, "tail": "a" * 5000},
    ],
)  # fmt: skip
def test_values_that_describe_no_codec_are_refused(change: dict[str, object]) -> None:
    """They come with somebody else's folder."""
    sound = codec_values(LabelsCodec(("a", "b"), False, 2)) or {}
    assert codec_of_values(sound)
    with pytest.raises(CorruptError):
        codec_of_values({**sound, **change})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kind": "own"}, "kind"), ({"kind": None}, "kind"), ({"labels": []}, "labels"),
        ({"labels": ["a b"]}, "labels"), ({"labels": ["a", "a"]}, "labels"), ({"labels": [1]}, "labels"),
        ({"labels": ("a",)}, "labels"),
        ({"most": 0}, "most"), ({"most": "2"}, "most"), ({"most": 1_000_001}, "most"), ({"emoji": 1}, "emoji"),
        ({"separator": None}, "separator"), ({"counted": "yes"}, "counted"),
        ({"kind": "number", "notation": "roman"}, "notation"), ({"kind": "number", "notation": 1}, "notation"),
        ({"kind": "quantity", "promote": True, "tail": "("}, "tail"), ({"kind": "quantity", "promote": True}, "tail"),
        ({"kind": "quantity", "promote": True, "tail": "a" * 1001}, "tail"),
        ({"kind": "quantity", "promote": 1, "tail": ""}, "promote"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_key(change: dict[str, object], named: str) -> None:
    sound = codec_values(LabelsCodec(("a", "b"), False, 2)) or {}
    with pytest.raises(CorruptError) as caught:
        codec_of_values({**sound, **change})
    assert caught.value.what == f"the codec that it describes has no valid '{named}'"


def test_the_values_of_each_codec_are_these() -> None:
    """A format that folders are kept in: names and values stay."""
    assert codec_values(TextCodec()) == {"kind": "text"}
    assert codec_values(NumberCodec("pds")) == {"kind": "number", "notation": "pds"}
    assert codec_values(quantity_codec(promote=True, tail="x")) == {"kind": "quantity", "promote": True, "tail": "x"}
    assert codec_values(LabelsCodec(("a", "b"), True, 2, ",", True)) == {
        "kind": "labels", "labels": ["a", "b"], "emoji": True, "most": 2, "separator": ",", "counted": True,
    }  # fmt: skip
    longest = {"kind": "quantity", "promote": False, "tail": "a" * 1000}
    assert codec_values(codec_of_values(longest)) == longest
    most = {**(codec_values(LabelsCodec(("a",), False, 1)) or {}), "most": 1_000_000}
    assert codec_values(codec_of_values(most)) == most
