"""A page opened in Node: its own script and its own data, without a browser around them."""

from __future__ import annotations

import shutil
from pathlib import Path

from terakoya.exporters.exporter import NoRuntimeError
from terakoya.exporters.line_process import LineProcess
from terakoya.i18n import _

_RUNNER = Path(__file__).parent / "node_runner.js"


def open_in_node(artifact: Path) -> LineProcess:
    """The page `artifact`, predicting in Node.

    Raises NoRuntimeError without Node, CorruptError where the page refuses its own data.
    """
    node = shutil.which("node")
    if node is None:
        raise NoRuntimeError(
            _("Node is not installed, and in it the page is proved"),
            do=_("Install it (Debian: apt-get install nodejs; others: https://nodejs.org), then export again."),
        )
    return LineProcess([node, str(_RUNNER), str(artifact)], artifact, "node")
