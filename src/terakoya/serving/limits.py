"""What one request, and all of them together, may cost."""

from __future__ import annotations

from dataclasses import dataclass

from terakoya.saved_model import MAX_CHARACTERS


@dataclass(frozen=True)
class Limits:
    """Limits of a server; a request beyond one is refused with the status code in brackets.

    body_bytes  of one request (413)
    characters  of one text (422)
    prompts     texts in one request (422)
    messages    in one conversation (422)
    waiting     texts that wait or are being predicted, over all skills (429)
    seconds     until a request is read (408), and until its predictions are made (504)
    batch       texts predicted together
    """

    body_bytes: int = 1 << 20
    characters: int = MAX_CHARACTERS
    prompts: int = 64
    messages: int = 256
    waiting: int = 256
    seconds: float = 30.0
    batch: int = 32
