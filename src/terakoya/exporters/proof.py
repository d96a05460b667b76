"""What the exam showed of an artifact: the values of proof.json, and the proof in one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from terakoya.i18n import _, in_every_language

State = Literal["same", "within noise", "worse", "unproved"]
FORMAT = 1


@dataclass(frozen=True)
class Proof:
    """What the exam showed of an artifact.

    target              of the export
    runtime             name and version; "" where none was there
    state               of the comparison
    n                   exam items
    equal               predictions that are equal
    largest_difference  of the model's probability between original and artifact; None where one has none
    metric              the exam's deciding one
    before, after       its mean over the main subset: of the original, of the artifact
    low, high, p        95% interval of after − before, and the exact paired test's two-sided p-value
    bytes               of the artifact
    before_ms, after_ms milliseconds per prediction: of the original in batches, of the artifact
    sha256              of the artifact; of a folder: of its files' names and contents
    quantisation        number format of the weights, where one was chosen
    same_weights        whether every weight has the bits that were trained; None where the target has other numbers
    """

    target: str
    runtime: str
    state: State
    n: int
    equal: int
    largest_difference: float | None
    metric: str
    before: float | None
    after: float | None
    low: float | None
    high: float | None
    p: float | None
    bytes: int
    before_ms: float | None
    after_ms: float | None
    sha256: str
    quantisation: str = ""
    same_weights: bool | None = None

    @property
    def refused(self) -> bool:
        """Whether the artifact must not be used."""
        return self.state == "worse"

    def to_dict(self) -> dict[str, Any]:
        """The content of proof.json."""
        return {"format": FORMAT, **asdict(self), "words": in_every_language(self.sentence())}

    def sentence(self) -> str:
        """The proof in one sentence, as a message."""
        if self.state == "unproved":
            return _("NOT PROVED: the artifact was written and never opened, because its runtime was not there.")
        differing, values = self.n - self.equal, {"runtime": self.runtime, "equal": self.equal, "n": self.n}
        metric = {"metric": self.metric, "before": self.before or 0.0, "after": self.after or 0.0}
        if self.state == "same":
            return _(
                "Same: under {runtime} all {n} exam predictions equal those of the original "
                "({metric} {before:.4f}, then {after:.4f}).",
                **values,
                **metric,
            )
        interval = {"differing": differing, "low": self.low or 0.0, "high": self.high or 0.0, "p": self.p or 0.0}
        if self.state == "within noise":
            return _(
                "Within noise: under {runtime} {differing} of {n} exam predictions differ; {metric} {before:.4f}, then "
                "{after:.4f} (95% interval of the difference {low:+.4f} to {high:+.4f}, p = {p:.3g}).",
                **values,
                **metric,
                **interval,
            )
        if self.same_weights is False:
            return _("REFUSED: its weights are not those of the skill; the conversion is wrong. Please report it.")
        return _(
            "REFUSED: under {runtime} {differing} of {n} exam predictions differ; {metric} {before:.4f}, then "
            "{after:.4f} (95% interval of the difference {low:+.4f} to {high:+.4f}, p = {p:.3g}); probabilities differ "
            "by up to {largest:.2g}.",
            **values,
            **metric,
            **interval,
            largest=self.largest_difference or 0.0,
        )
