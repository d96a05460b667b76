"""The codec that a config names: its options arrive, and what is no codec is refused by name."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, cast

import pytest

from terakoya.codec import TextCodec, choose
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


def _install(monkeypatch: pytest.MonkeyPatch, found: Any) -> list[dict[str, Any]]:
    """What an installed package offers as the codec 'theirs', and how it is asked for."""
    asked: list[dict[str, Any]] = []

    def load(kind: str, name: str, **more: Any) -> Any:
        asked.append({"kind": kind, "name": name, **more})
        return found

    monkeypatch.setattr(choose, "load_plugin", load)
    return asked


def test_an_installed_codec_is_asked_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets those options that it takes, and an object or a class is a codec as well."""
    given: list[tuple[Any, ...]] = []

    def theirs(targets: Any, most: int, notation: str = "x") -> TextCodec:
        given.append((targets, most, notation))
        return TextCodec("theirs")

    asked = _install(monkeypatch, theirs)
    assert choose_codec("theirs", ["a"], notation="pds", separator=",", most=3).name == "theirs"
    assert given == [(["a"], 3, "pds")]
    assert asked == [
        {"kind": "codecs", "name": "theirs", "own": choose.CODECS, "unknown": "there is no codec 'theirs'",
         "where": "[task]"},
    ]  # fmt: skip
    ready = TextCodec("ready")
    _install(monkeypatch, ready)
    assert choose_codec("theirs", ()) is ready
    _install(monkeypatch, TextCodec)
    assert choose_codec("theirs", ()) == TextCodec()


def test_a_fault_of_an_installed_codec_is_named_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no line of its own stands in the traceback, where it gives something else, and where it takes more."""
    _install(monkeypatch, partial(os.listdir, "/nowhere at all"))
    with pytest.raises(PluginError) as caught:
        choose_codec("theirs", ())
    assert caught.value.what.startswith("the codec 'theirs': ") and "/nowhere at all" in caught.value.what
    _install(monkeypatch, lambda: Half())
    with pytest.raises(PluginError) as caught:
        choose_codec("theirs", ())
    assert caught.value.what == ("the codec 'theirs' is of type Half, which has no read, canonical, viable, complete")
    assert "test_choose.py" in caught.value.where
    _install(monkeypatch, lambda targets: 7)
    with pytest.raises(PluginError) as caught:
        choose_codec("theirs", ())
    assert caught.value.what.startswith("the codec 'theirs' is of type int, which has no name, write, read,")
    assert "test_choose.py" in caught.value.where
    _install(monkeypatch, lambda more: TextCodec())
    with pytest.raises(PluginError, match=r"the codec 'theirs' is called with \(\), and it takes \(more\)"):
        choose_codec("theirs", ())
    _install(monkeypatch, type)  # written in C, it does not say what it takes
    with pytest.raises(PluginError, match="the codec 'theirs'"):
        choose_codec("theirs", ())
    _install(monkeypatch, 7)
    with pytest.raises(PluginError, match=r"the codec 'theirs' must be a function of \(\), and is of type int"):
        choose_codec("theirs", ())


def test_a_notation_is_refused_where_the_codec_takes_none() -> None:
    for kind in ("text", "labels", "quantity"):
        with pytest.raises(ConfigError) as caught:
            choose_codec(kind, ["a"], notation="pds")
        assert caught.value.what == f"'notation' says how numbers are written, but the codec is '{kind}'"
        assert caught.value.do == 'Set codec = "number", or leave notation out.'
    assert choose_codec("number", ()).name == "number:plain"


def test_a_refused_codec_says_what_to_leave_out() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_other_codec(labels_codec(["a b"], counted=True), "number", "predict")
    assert caught.value.what == "this model's targets are 'labels', not 'number'"
    assert caught.value.do == "Leave --codec out: terakoya predict takes the model's own."
    refuse_other_codec(choose_codec("number", (), notation="pds"), "number", "predict")
