"""Packed weights come back bit by bit, in JavaScript too; what is damaged is refused and never runs for ever."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import zlib

import numpy as np
import pytest

from terakoya.exporters.page.description import source_file
from terakoya.exporters.page.packing import pack, unpack

RUN = """
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
{script}
console.log(JSON.stringify(cases.map(([text, size]) => {{
  try {{ return Buffer.from(inflate(bytesOfBase64(text), size)).toString("base64"); }} catch {{ return null; }}
}})));
"""


def _inflated(cases: list[tuple[str, int]]) -> list[str | None]:
    node = shutil.which("node")
    assert node, "no Node found: run scripts/install-tools.sh"
    script = source_file("inflate.js") + source_file("engine.js")
    done = subprocess.run([node, "-e", RUN.format(script=script.replace('"use strict";', ""))],
                          input=json.dumps(cases), capture_output=True, text=True, check=True, timeout=60)  # fmt: skip
    found: list[str | None] = json.loads(done.stdout)
    return found


def _contents() -> list[bytes]:
    rng = np.random.default_rng(5)
    return [
        b"", b"a", b"abc" * 5000, bytes(70_000), rng.bytes(90_000), bytes(range(256)) * 400,
        rng.normal(size=30_000).astype("<f4").tobytes(), ("寺子屋" * 300).encode(),
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE])
def test_javascript_inflates_what_zlib_deflates(strategy: int) -> None:
    """Stored, fixed and dynamic blocks, short and long distances."""
    import base64

    cases, wanted = [], []
    for content in _contents():
        for level in (0, 1, 9):
            compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy)
            packed = compressor.compress(content) + compressor.flush()
            cases.append((base64.b64encode(packed).decode(), len(content)))
            wanted.append(base64.b64encode(content).decode())
    assert _inflated(cases) == wanted


def test_damage_ends_with_an_error_or_other_bytes() -> None:
    """Whatever byte is changed or missing: no endless loop (the digest then refuses other bytes)."""
    rng, text = random.Random(3), pack(np.arange(500, dtype="<f4").tobytes())
    cases = [(text[: rng.randrange(len(text)) // 4 * 4], 2000) for _ in range(40)]
    for _ in range(200):
        at = rng.randrange(len(text) - 3)
        cases.append((text[:at] + rng.choice("ABCDabcd0123+/") + text[at + 1 :], 2000))
    assert len(_inflated(cases)) == 240


def test_no_bit_is_lost() -> None:
    """Negative zero, infinities, not-a-number with a payload, subnormals."""
    values = np.array([0x80000000, 0x7F800000, 0x7FC12345, 1, 0xFFFFFFFF, 0x3F800000], dtype="<u4").tobytes()
    noise = np.random.default_rng(1).bytes(4096)
    for weights in (values, noise, b""):
        assert unpack(pack(weights)) == weights
    normal = np.random.default_rng(2).normal(0, 0.02, 100_000).astype("<f4").tobytes()
    assert len(pack(normal)) < 0.9 * (len(normal) * 4 / 3)
