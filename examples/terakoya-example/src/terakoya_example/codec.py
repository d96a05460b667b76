"""A codec: any object with these members. The entry point names it, or a function or class that makes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from terakoya.errors import DataError

_TARGET = re.compile(r"(\d{1,2}):(\d\d)")


@dataclass(frozen=True)
class ClockCodec:
    """Times of day: "15:20" in the data, "1520" for the model."""

    name: str = "clock"

    def write(self, target: str) -> str:
        """The four digits that the model is trained on."""
        return self.canonical(target).replace(":", "")

    def read(self, raw: str) -> str | None:
        """The time that a model generated; None where it is none."""
        return f"{raw[:2]}:{raw[2:]}" if self.complete(raw) else None

    def canonical(self, target: str) -> str:
        """Two digits each: "9:05" and "09:05" are one time."""
        found = _TARGET.fullmatch(target.strip())
        digits = found and f"{int(found[1]):02}{found[2]}"
        if not found or not digits or not self.complete(digits):
            raise DataError(f"'{target}' is no time of day", do="Write it as 15:20.")
        return f"{digits[:2]}:{digits[2:]}"

    def viable(self, prefix: str) -> bool:
        """Whether some time starts with these digits; decoding goes nowhere else."""
        return len(prefix) <= 4 and self.complete(prefix + "0000"[len(prefix) :])

    def complete(self, written: str) -> bool:
        """Whether this is a whole time."""
        digits = len(written) == 4 and written.isascii() and written.isdecimal()
        return digits and int(written[:2]) < 24 and int(written[2:]) < 60
