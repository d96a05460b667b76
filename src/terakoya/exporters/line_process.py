"""A runtime in a process of its own that reads and writes one line of JSON at a time."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.records import Prediction

_TOGETHER = 64  # texts in one message


class LineProcess:
    """A process that predicts.

    It first writes {"version": …}, or {"error": …} for an artifact that was changed; then, for each line with a list of
    texts, {"predictions": […], "milliseconds": …}.

    command       the process and its arguments
    artifact      that it opens, for errors
    name          of the runtime, before its version
    environment   variables; None: ours
    milliseconds  that the predictions took so far, without starting and messages
    Raises CorruptError where the process refuses the artifact.
    """

    def __init__(
        self, command: Sequence[str], artifact: Path, name: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.artifact, self.milliseconds = artifact, 0.0
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=None if environment is None else dict(environment),
        )
        opened = self._receive()
        if "error" in opened:
            self.close()
            raise CorruptError(
                _("the artifact is damaged: its data are not those that it was written with"),
                where=str(artifact),
                do=_("Export the skill again."),
            )
        self.runtime = f"{name} {opened['version']}"

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction for each of `texts`, in their order."""
        found: list[Prediction] = []
        for first in range(0, len(texts), _TOGETHER):
            some = list(texts[first : first + _TOGETHER])
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(some) + "\n")
            self._process.stdin.flush()
            received = self._receive()
            self.milliseconds += received["milliseconds"]
            found += [parse_prediction(text, one) for text, one in zip(some, received["predictions"], strict=True)]
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            said = self._process.stderr.read().strip().splitlines()
            self.close()
            raise CorruptError(
                _("the artifact ends with an error: {error}", error=said[-1] if said else ""), where=str(self.artifact)
            )
        return dict(json.loads(line))


def parse_prediction(source: str, found: Mapping[str, Any]) -> Prediction:
    """A prediction that an engine without Python made.

    source  its input
    found   raw, text, probability, withheld and, where they apply, unknown, uncalibrated and novel
    """
    return Prediction(
        source,
        found["raw"],
        found["text"],
        found["probability"],
        withheld=found["withheld"],
        unknown=found.get("unknown", ""),
        uncalibrated=found.get("uncalibrated"),
        novel=found.get("novel", False),
    )
