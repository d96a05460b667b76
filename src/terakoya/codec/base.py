"""What every codec can do, and the plainest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from terakoya.errors import DataError
from terakoya.i18n import both


class Codec(Protocol):
    """Writes a target for the model and reads the answer back.

    `read(write(target))` is the canonical form of the target for every target that `write` accepts.
    `viable` and `complete` describe the written language one character at a time, so that decoding can
    be held to it with any tokenizer: an answer grows only through viable prefixes and ends only where complete.
    """

    @property
    def name(self) -> str:
        """Kind and options, as they stand in a record: "number:groups"."""
        ...

    def write(self, target: str) -> str:
        """The target as the model shall write it. Raises DataError, naming the target, when it cannot."""
        ...

    def read(self, raw: str) -> str | None:
        """The target in canonical form, or None where the answer is unreadable."""
        ...

    def canonical(self, target: str) -> str:
        """The form in which targets are compared: equal meaning, equal text. Raises DataError as `write` does."""
        ...

    def viable(self, prefix: str) -> bool:
        """Whether some legal written answer begins with `prefix` ("" is always viable)."""
        ...

    def complete(self, written: str) -> bool:
        """Whether `written` is a legal answer as it stands."""
        ...


@dataclass(frozen=True)
class TextCodec:
    """Text stays text: written as it is, read as it is. Empty targets cannot be written."""

    name: str = "text"

    def write(self, target: str) -> str:
        if not target:
            raise DataError(
                both("an empty target cannot be taught", "空の正解は学習できない"),
                do=both("Remove the row or fill in its target.", "行を取り除くか、正解を埋めること。"),
            )
        return target

    def read(self, raw: str) -> str | None:
        return raw or None

    def canonical(self, target: str) -> str:
        return target

    def viable(self, prefix: str) -> bool:
        return True

    def complete(self, written: str) -> bool:
        return bool(written)
