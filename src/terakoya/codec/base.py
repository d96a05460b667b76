"""What every codec can do, and the plainest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from terakoya.errors import DataError
from terakoya.i18n import _


class Codec(Protocol):
    """An invertible text representation of targets: writes a target for the model, reads a prediction back.

    Any object with these members is a codec; no base class is needed. Codecs are immutable, and every method is a pure
    function of its arguments: they are called from several threads and their results are cached.

    Three texts are distinguished. The *target* is what the data holds ("1,000"). The *written form* is what the model
    is trained on and generates ("0001,0000"). The *canonical form* is what targets and predictions are compared by
    ("1000"): equal meaning, equal text. For every target that `write` accepts, `read(write(target)) ==
    canonical(target)`.

    `viable` and `complete` describe the language of written forms one character at a time, so that constrained decoding
    works with any tokenizer: generation goes only through viable prefixes and ends only where complete. A codec without
    constraints returns True for every prefix.

    Optional members, which the package looks for by name:

    labels      tuple[str, ...], the closed set of labels where targets are sets of them; models then get an output per
                label, and metrics and baselines work on sets. Sets are written with one space between labels
    most        int, the largest number of labels in a prediction; needed with `labels`
    for_source  (source: str) → Codec, the language of predictions for this source alone, where it is narrower. Called
                once per source when decoding is constrained
    alphabet    frozenset[str] of the characters that written forms may hold; constrained decoding skips tokens with
                others
    """

    @property
    def name(self) -> str:
        """Kind and options, as run folders record them: "number:groups". The kind decides what the audit checks."""
        ...

    def write(self, target: str) -> str:
        """The written form of a target. Called once for each training row and each dev or exam row.

        target  as the data holds it
        Raises DataError, naming the target, where it cannot be written.
        """
        ...

    def read(self, raw: str) -> str | None:
        """The canonical form of what a model generated, or None where it is unreadable. Must not raise.

        raw  any text at all, as generated
        """
        ...

    def canonical(self, target: str) -> str:
        """The canonical form of a target, under which targets and predictions are compared.

        target  as the data holds it
        Raises DataError as `write` does.
        """
        ...

    def viable(self, prefix: str) -> bool:
        """Whether some written form has this prefix. Called for very many prefixes while decoding: keep it fast.

        prefix  characters generated so far; "" is always viable
        """
        ...

    def complete(self, written: str) -> bool:
        """Whether a text is a whole written form, so that generation may end here.

        written  characters generated so far
        """
        ...


@dataclass(frozen=True)
class TextCodec:
    """Text stays text: written as it is, read as it is. Empty targets cannot be written, empty predictions not read."""

    name: str = "text"

    def write(self, target: str) -> str:
        """The target itself.

        target  any text but ""
        Raises DataError for an empty target.
        """
        return require_target(target)

    def read(self, raw: str) -> str | None:
        """The text itself; None where `raw` is empty."""
        return raw or None

    def canonical(self, target: str) -> str:
        """The `target` itself."""
        return target

    def viable(self, prefix: str) -> bool:
        """True for every `prefix`: any text may follow."""
        return True

    def complete(self, written: str) -> bool:
        """Whether `written` is more than an empty text."""
        return bool(written)


def require_target(target: str) -> str:
    """The target unchanged, for codecs to which an empty one means nothing.

    target  as the data holds it
    Raises DataError where it is empty.
    """
    if not target:
        raise DataError(
            _("a target is empty"),
            do=_("Remove the row or fill in its target."),
        )
    return target
