"""vl-convert in a process of its own: its JavaScript engine ends the whole process where memory is short.

A report is complete without charts. The child draws one chart a line, starts with the first and ends with its parent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from functools import cache
from typing import Any

from terakoya.i18n import _

_DRAW = """
import json, sys
import vl_convert
for line in sys.stdin.buffer:
    svg = vl_convert.vegalite_to_svg(json.loads(line), allowed_base_urls=[])
    print(json.dumps(svg), flush=True)
"""


class ChartWarning(UserWarning):
    """Charts are missing from a report; `args[0]` is the message."""


class ChartProcess:
    """The child that draws, started once for all charts of this process."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._failed = False

    def draw(self, spec: dict[str, Any]) -> str:
        """A chart as SVG; "" from the moment on when the child ended before its time, which is warned of once.

        spec  a Vega-Lite chart
        """
        if self._failed:
            return ""
        try:
            if self._child is None:
                self._child = self._start()
            svg = self._request(self._child, json.dumps(spec).encode())
        except (OSError, MemoryError, ValueError):
            svg = ""
        if not svg:
            self._failed = True
            self.close()
            warnings.warn(ChartWarning(_LEFT_OUT), stacklevel=2)
        return svg

    def close(self) -> None:
        """End the child; the next chart starts another, unless it had failed."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: nothing is imported from the folder that the user stands in.
        command = [sys.executable, "-P", "-c", _DRAW]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def _request(self, child: subprocess.Popen[bytes], request: bytes) -> str:
        assert child.stdin is not None and child.stdout is not None, "both are pipes"
        child.stdin.write(request + b"\n")
        child.stdin.flush()
        return str(json.loads(child.stdout.readline() or b'""'))


@cache
def chart_process() -> ChartProcess:
    """The one child of this process."""
    return ChartProcess()


_LEFT_OUT = _(
    "The report has no charts: the process that draws them ended, most likely for want of memory. Everything else is "
    "in it; with more memory `terakoya report RUN` writes it again."
)
