"""Codecs in JavaScript read and constrain as ours do, character by character."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from terakoya.codec import Codec, TextCodec
from terakoya.codec.labels import labels_codec
from terakoya.codec.number import NOTATIONS, number_codec
from terakoya.codec.quantity import quantity_codec
from terakoya.errors import TerakoyaError
from terakoya.exporters.page.codec_data import codec_data, codec_obstacle
from terakoya.exporters.page.description import source_file

RUN = """
const {{ codec: values, texts, source }} = JSON.parse(require("fs").readFileSync(0, "utf8"));
{script}
const codec = makeCodec(values), bound = codec.forSource(source);
console.log(JSON.stringify(texts.map((text) => [bound.read(text), bound.viable(text), bound.complete(text)])));
"""
NUMBERS = ["0", "7", "15000", "100000020", "-2.5", "0.05", "12*144", "3/4", "2+3/8", "1/3", "9007199254740993", "10.25"]
QUANTITIES = [
    "大根 <5/4*5/2>本（約<300*5/2>g）", "<三*2>個", "<ひと*1.5>かけ", "<1本半*2>", "1本半と大さじ1と1/2",
    "砂糖 ０．５カップ", "a << b", "水<1,000*1½>cc", "<2切*3>れ", "小さじ3〜4", "1500ml", "半熟卵 半 個",
    "<百二十*3>g", "塩 小1/2", "1個と半分", "２cm幅", "<半*2>", "1+1/2本", "½本", "<½*1/3>カップ",
    "大さじ1杯と1/2", "<1.25*3>kg",
]  # fmt: skip


def _spoilt(text: str, rng: random.Random) -> str:
    chars = list(text)
    for _ in range(rng.randrange(3)):
        if chars:
            chars[rng.randrange(len(chars))] = rng.choice("0123456789.,-_ ()e<>*/+半本と三Ａa".replace("", " ").split())
    return "".join(chars[: rng.randrange(len(chars) + 1)])


def _written(codec: Codec, target: str) -> str:
    try:
        return codec.write(target)
    except TerakoyaError:
        return target


def _cases(codec: Codec, targets: list[str]) -> list[str]:
    rng = random.Random(7)
    written = [_written(codec, target) for target in targets]
    return [*written, *(_spoilt(rng.choice(written), rng) for _ in range(600)), ""]


def _compare(codec: Codec, texts: list[str], source: str = "") -> None:
    node = shutil.which("node")
    assert node, "no Node found: run scripts/install-tools.sh"
    script = source_file("codecs.js") + source_file("engine.js")
    given = json.dumps({"codec": codec_data(codec), "texts": texts, "source": source})
    done = subprocess.run(
        [node, "-e", RUN.format(script=script)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    bound = codec.for_source(source) if hasattr(codec, "for_source") else codec
    for text, found in zip(texts, json.loads(done.stdout), strict=True):
        viable = bound.viable(text)
        # A read of what the grammar never lets pass may differ for labels: the page refuses skills that need it.
        assert found[1:] == [viable, bound.complete(text)], text
        if bound.complete(text) or not codec.name.startswith("labels"):
            assert found[0] == bound.read(text), text


@pytest.mark.parametrize("notation", NOTATIONS)
def test_numbers(notation: str) -> None:
    """Every notation reads the same value and lets the same characters follow."""
    codec = number_codec(notation)
    _compare(codec, _cases(codec, NUMBERS))


@pytest.mark.parametrize("promote", [False, True])
def test_quantities(promote: bool) -> None:
    """Products are computed with exact fractions, and every quantity has one form."""
    codec = quantity_codec(promote=promote)
    _compare(codec, _cases(codec, QUANTITIES))


def test_copies_of_a_source() -> None:
    """A prediction that copies its source follows it, also past characters outside the basic plane."""
    codec = quantity_codec(tail="[ 　]*を[^を]*")
    source = "𠮷 大根1/2本（約300g）<を3倍"
    written = "𠮷 大根<1/2*3>本（約<300*3>g）<<"
    wrong = ["𠮷 大根<1/2*3>本（約<300*2>g）<<", "𠮷 大恨", "𠮷 大根<1*3>", "𠮷 大根1/2本（約300g）<<"]
    texts = [text[:end] for text in (written, *wrong) for end in range(len(text) + 1)]
    _compare(codec, texts, source)
    assert codec.for_source(source).complete(written)


@pytest.mark.parametrize("counted", [False, True])
def test_labels(counted: bool) -> None:
    """Sets of legal labels, each once, in the order of code points."""
    codec = labels_codec(["✨ 📚", "🎉 ❤️", "～ 🎉 ✨"], counted=counted)
    _compare(codec, _cases(codec, ["✨ 📚", "🎉 ❤️ ✨", "～ 🎉", "📚 📚"]))
    plain = labels_codec(["ab abc", "b"], counted=counted)
    _compare(plain, [*_cases(plain, ["ab abc", "b", "abc ab"]), "a", "ab a", "ab ab"])


def test_text() -> None:
    """Text stays text."""
    _compare(TextCodec(), _cases(TextCodec(), ["こんにちは", "a"]))


def test_what_cannot_go_is_said() -> None:
    """A codec that JavaScript cannot follow is refused by a sentence that names the reason."""
    assert codec_obstacle(quantity_codec(tail=r"\p{Han}*+"), constrained=True, head="sequence")
    assert codec_obstacle(labels_codec(["a b"]), constrained=False, head="sequence")
    assert codec_obstacle(labels_codec(["a b"]), constrained=False, head="set") is None
    assert codec_obstacle(number_codec("pds"), constrained=True, head="sequence") is None


def test_the_files_travel_with_the_package() -> None:
    """What the page is made of is package data: an installed Terakoya has it too."""
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for suffix in ("js", "css", "html"):
        assert f'"**/*.{suffix}"' in project
