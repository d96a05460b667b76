"""A page opened without somebody to look at it: in Node by its own script and data, or in a headless browser."""

from __future__ import annotations

import shutil
from pathlib import Path

from terakoya.exporters.exporter import ExportedSkill, NoRuntimeError
from terakoya.exporters.line_process import LineProcess
from terakoya.exporters.page.browser import BrowserPage, find_browser
from terakoya.i18n import _

_RUNNER = Path(__file__).parent / "node_runner.js"


def open_page(artifact: Path) -> ExportedSkill:
    """The page `artifact`, predicting in Node; without Node in headless Chromium.

    Raises NoRuntimeError where neither is installed, CorruptError where the page refuses its own data.
    """
    if node := shutil.which("node"):
        return LineProcess([node, str(_RUNNER), str(artifact)], artifact, "node")
    if browser := find_browser():
        return BrowserPage(browser, artifact)
    raise NoRuntimeError(
        _("neither Node nor Chromium is installed, and in one of them the page is proved"),
        do=_(
            "Install one (Debian: apt-get install nodejs, or apt-get install chromium; others: https://nodejs.org), or "
            "name a Chromium in the variable TERAKOYA_BROWSER; then export again."
        ),
    )
