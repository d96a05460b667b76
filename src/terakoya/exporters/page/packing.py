"""The weights of a page in fewer characters, without losing a bit of them.

The bytes of all float32 numbers are put in four planes, first bytes first, and compressed with DEFLATE (RFC 1951):
signs and exponents repeat, mantissas hardly do. inflate.js does the reverse.
"""

from __future__ import annotations

import base64
import zlib

_WIDTH = 4  # bytes of a float32
_LEVEL, _RAW = 9, -15  # zlib's strongest compression, and its format without header and checksum


def pack(weights: bytes) -> str:
    """Weights as base64 text.

    weights  little-endian float32, one tensor after the other
    """
    planes = b"".join(weights[plane::_WIDTH] for plane in range(_WIDTH))
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    return base64.b64encode(compressor.compress(planes) + compressor.flush()).decode("ascii")


def unpack(text: str) -> bytes:
    """The weights that `pack` made `text` from."""
    planes = zlib.decompress(base64.b64decode(text), _RAW)
    count = len(planes) // _WIDTH
    weights = bytearray(len(planes))
    for plane in range(_WIDTH):
        weights[plane::_WIDTH] = planes[plane * count : (plane + 1) * count]
    return bytes(weights)
