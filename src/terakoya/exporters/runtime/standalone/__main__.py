"""`python -m terakoya_runtime SKILL TEXT …` writes one prediction a line; with --lines it reads lists of texts."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from terakoya.errors import TerakoyaError
from terakoya.exporters.runtime.standalone import RuntimeSkill, load


def main(words: list[str]) -> None:
    """Predict for the command line.

    words  the folder, then texts or --lines
    """
    if not words:
        raise SystemExit("python -m terakoya_runtime SKILL TEXT ...")
    if words[1:] == ["--lines"]:
        _serve_lines(words[0])
        return
    try:
        skill = load(words[0])
    except TerakoyaError as error:
        raise SystemExit(str(error)) from error
    for prediction in skill.predict(words[1:]):
        sys.stdout.write(f"{prediction.text or ''}\n")


def _serve_lines(folder: str) -> None:
    import numpy

    try:
        skill = load(folder)
    except TerakoyaError as error:
        _say({"error": str(error)})
        return
    _say({"version": f"{'.'.join(map(str, sys.version_info[:3]))}, numpy {numpy.__version__}"})
    for line in sys.stdin:
        _say(_predicted(skill, json.loads(line)))


def _predicted(skill: RuntimeSkill, texts: list[str]) -> dict[str, Any]:
    started = time.perf_counter()
    found = [skill.predict([text])[0] for text in texts]  # one at a time, as its users call it
    milliseconds = 1000 * (time.perf_counter() - started)
    names = ("text", "raw", "probability", "withheld", "unknown", "uncalibrated", "novel")
    return {
        "predictions": [{name: getattr(one, name) for name in names} for one in found],
        "milliseconds": milliseconds,
    }


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
