"""How targets are written for a model and read back. A codec is invertible, and says what is unreadable."""

from terakoya.codec.base import Codec, TextCodec

__all__ = ["Codec", "TextCodec"]
