"""The codec that a config names: its options arrive, and what is no codec is refused by name."""

from __future__ import annotations

from typing import Any, cast

import pytest

from terakoya.codec import TextCodec
from terakoya.codec.choose import check_codec, choose_codec, refuse_other_codec
from terakoya.codec.labels import LabelsCodec, labels_codec
from terakoya.errors import ConfigError, DataError, PluginError


def test_each_name_makes_its_codec_with_its_options() -> None:
    assert choose_codec("", ()).name == choose_codec("text", ()).name == "text"
    assert choose_codec("number", (), notation="pds").name != choose_codec("number", ()).name
    assert choose_codec("quantity", ()).name.startswith("quantity")
    codec = choose_codec("labels", ["big cat,dog", "bird"], separator=",", most=1)
    assert isinstance(codec, LabelsCodec)
    assert (codec.labels, codec.most, codec.separator) == (("big_cat", "bird", "dog"), 1, ",")
    assert getattr(choose_codec("labels", ["a b", "c"]), "most", 0) == 2
    with pytest.raises(ConfigError, match="'text'") as caught:
        choose_codec("", (), notation="pds")
    assert caught.value.where == "[task]"


class Half:
    name = "half"

    def write(self, target: str) -> str:
        return target


class Unnamed(TextCodec):
    pass


class Strange(TextCodec):
    def canonical(self) -> str:  # type: ignore[override]
        return ""


def test_what_lacks_a_method_is_no_codec() -> None:
    """Every missing member is named at once, and a method with other arguments by its name."""
    with pytest.raises(PluginError, match="Half, which has no read, canonical, viable, complete"):
        check_codec(Half(), "the codec 'half'")
    with pytest.raises(PluginError, match="the name of the codec 'x' must be text"):
        check_codec(Unnamed(name=cast(Any, 7)), "the codec 'x'")
    with pytest.raises(PluginError, match="the codec 'x', its method 'canonical'"):
        check_codec(Strange(), "the codec 'x'")
    codec = TextCodec()
    assert check_codec(codec, "the codec 'text'") is codec


def test_a_model_takes_targets_of_its_own_codec_only() -> None:
    """Named or not; kinds and options behind the name are no other codec."""
    emoji = labels_codec(["🍎", "🌧️"], counted=True)
    assert emoji.name == "labels:emoji+count"
    for wanted in ("", "labels"):
        refuse_other_codec(emoji, wanted, "evaluate")
    with pytest.raises(ConfigError, match="'labels', not 'text'") as caught:
        refuse_other_codec(emoji, "text", "evaluate")
    assert caught.value.where == "--codec"


def test_further_labels_are_legal_in_their_normal_form() -> None:
    """An emoji without its variation selector is the same label; a word stays a word."""
    codec = labels_codec(["🍎 🌧️", "🍎"], extra=["☀", "🍎", "rain"])
    assert codec.labels == tuple(sorted(["🍎", "🌧️", "☀️", "rain"])) and codec.most == 2
    assert codec.canonical("☀ 🍎") == codec.canonical("🍎 ☀️")


def test_emoji_of_one_piece_are_read_apart() -> None:
    """Between a separator, spaces inside a piece separate emoji too."""
    codec = labels_codec(["🍎 🌧️,☀️", "🍎"], separator=",")
    assert set(codec.labels) == {"🍎", "🌧️", "☀️"} and codec.most == 3
    with pytest.raises(DataError, match="no emoji"):
        codec.canonical("🍎,rain")
