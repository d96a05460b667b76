"""The screenshots of page.md, taken of a real run in a headless browser: python docs/screenshots.py"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "web"))
IMAGES = HERE / "images"
SIZE = (900, 760)


def main() -> int:
    """Drop moods.csv, train, try, and keep a picture of each."""
    from page_browser import PageBrowser
    from page_server import MOODS, page_server

    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "moods"
        home.mkdir()
        browser = PageBrowser(Path(folder) / "profile")
        try:
            with page_server(home, settings=("--set", "train.steps=120")) as server:
                browser.begin(server.link, SIZE[0])
                browser.size(*SIZE)
                browser.drop("#file", MOODS)
                browser.wait("document.querySelector('#check .facts')")
                browser.shot(IMAGES / "page-table.png")
                browser.press("t")
                browser.wait("document.querySelector('.state.done')")
                browser.shot(IMAGES / "page-run.png")
                browser.go(str(browser.run("document.querySelector('a.main[href^=\"/try\"]').href")))
                browser.write("#text", "妹が本をなくした")
                browser.click("form button.main")
                browser.wait("document.querySelector('.side .output, .side code')")
                browser.shot(IMAGES / "page-try.png")
        finally:
            browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
