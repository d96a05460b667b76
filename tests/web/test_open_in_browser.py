"""The page in a real browser, as a person would use it: both languages, phone and desktop, and hostile data."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from exam_runs import finished_run
from page_browser import PageBrowser
from page_server import MOODS, PageServer, page_server, upload

from hostile import HOSTILE
from terakoya.runs import read_lines
from terakoya.runs.journal import journal_bytes
from terakoya.runs.sealing import SEAL
from terakoya.web.views.runs import RUN_LINKS
from terakoya.web.workspace import opaque_id

TRAIN = "button.main[data-key=t]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBrowser]:
    opened = PageBrowser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def nothing_leaves(browser: PageBrowser) -> Iterator[None]:
    """After every test: no script of the data ran, and nothing was fetched from elsewhere."""
    yield
    assert browser.executed == [] and browser.requested == []


def addresses(run: str) -> list[str]:
    """Every page with something on it."""
    run = "/runs/" + run.rpartition("/")[2]
    parts = [run + behind for behind, _words in RUN_LINKS if behind != "/record"]
    return ["/", "/runs", f"/try?run={run.rpartition('/')[2]}", *parts, "/nowhere"]


@pytest.mark.parametrize(("lang", "width", "dark"), [("en", 1100, False), ("ja", 390, True)])
def test_from_a_dropped_file_to_a_corrected_row_and_a_second_run(
    browser: PageBrowser, tmp_path: Path, lang: str, width: int, dark: bool
) -> None:
    """Open the link, drop moods.csv, press the key for Train, try a text, correct a row, train again, be told how it
    went: the whole way without writing a file."""
    with page_server(tmp_path) as server:
        browser.begin(server.link, width, dark=dark, lang=lang)
        assert browser.run("document.documentElement.lang") == lang
        assert "token" not in browser.run("location.href")
        browser.drop("#file", MOODS)
        browser.wait(f"document.querySelector('{TRAIN}')")
        browser.wait("document.querySelector('#check .facts, #check .fault')")  # the check came by itself
        assert browser.overflow() == 0 and browser.violations() == []
        browser.press("t")
        browser.wait("location.pathname.startsWith('/runs/')")
        browser.wait("document.querySelector('progress, .state.done')")
        browser.wait("document.querySelector('.state.done')")
        run = browser.path
        assert browser.overflow() == 0 and browser.violations() == []
        browser.click("a.main[href^='/try']")
        browser.wait("document.querySelector('#text')")
        browser.write("#text", "妹が笑った")
        browser.click("form button.main")
        browser.wait("document.querySelector('.side .output, .side code')")
        assert "妹が笑った" in browser.text and browser.overflow() == 0 and browser.violations() == []
        correct_and_train_again(browser, run)
        assert browser.overflow() == 0 and browser.violations() == []


def correct_and_train_again(browser: PageBrowser, run: str) -> None:
    """The first wrong row gets another target; the second run says whether the old exam got worse."""
    browser.go(f"{run}/correct")
    other = "one.value == 'かなしい' ? 'うれしい' : 'かなしい'"
    browser.run(f"(one => {{ one.value = {other} }})(document.querySelector('#text'))")
    browser.click("form[action$='/correct'] button.main")
    browser.loaded()
    browser.go(f"{run}/retrain")
    browser.wait(f"document.querySelector('{TRAIN}')")
    browser.press("t")
    browser.wait(f"location.pathname.startsWith('/runs/') && location.pathname != {json.dumps(run)} + '/retrain'")
    second = browser.path
    browser.wait("document.querySelector('.state.done')")
    browser.go(f"{second}/retrain")
    browser.wait("document.querySelector('main section [role=status]')")
    assert second != run


def test_every_page_is_readable_by_everybody(
    browser: PageBrowser, server: PageServer, client: httpx.Client, finished: str
) -> None:
    """axe-core finds nothing, in both languages, light and dark, at 390 px too; and nothing runs over the edge."""
    found = []
    earlier = opaque_id("run", str(finished_run(server.home / "runs", "earlier", items=120).resolve()))
    table = str(upload(client, "moods.csv", MOODS.read_bytes()).url)
    more = [
        f"/compare?run={earlier}&run={finished.rpartition('/')[2]}",
        f"{table}?source=text",
        f"{table}/rows?line=3&line=4",
        f"{finished}/record",
    ]
    for lang, width, dark in (("en", 1100, True), ("ja", 390, False)):
        browser.begin(server.link, width, dark=dark, lang=lang)
        for address in (*addresses(finished), *more):
            browser.go(address)
            found += [f"{address} {lang}: {one}" for one in browser.violations()]
            found += [f"{address} {lang}: too wide"] if browser.overflow() else []
    assert found == []


def test_two_browsers_see_the_same_run(browser: PageBrowser, server: PageServer, finished: str) -> None:
    """A second window shows what the first one shows."""
    browser.begin(server.link)
    browser.go(finished)
    first = browser.text
    browser.begin(server.link)
    browser.go(finished)
    assert browser.text == first


def test_the_record_opens_under_its_own_policy(browser: PageBrowser, server: PageServer, finished: str) -> None:
    """Its table filters, and it cannot reach the page's cookie."""
    browser.begin(server.link)
    browser.go(f"{finished}/record")
    assert browser.run("window.origin") == "null"
    assert browser.run("document.querySelectorAll('script:not([type])').length") == 1


def test_without_javascript_everything_can_be_read(browser: PageBrowser, server: PageServer, finished: str) -> None:
    """Forms and links are all there is."""
    browser.begin(server.link)
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        for address, words in (("/", "Which table"), ("/runs", "finished"), (finished, "exact"), ("/try", "Try")):
            browser.go(address)
            assert words in browser.text
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_keyboard_alone(browser: PageBrowser, server: PageServer) -> None:
    """The first stop of Tab is the link to the content, and every stop can be seen."""
    browser.begin(server.link)
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    browser.press("Tab")
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A folder whose table, names, run, predictions and reasons all hold hostile strings."""
    folder = tmp_path_factory.mktemp("hostile")
    header = ("<img src=x onerror=pwned()>", "</select><script>pwned()</script>")
    with (folder / "<b>hostile<b>.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [[text.replace("\x00", "") for text in row] for row in zip(HOSTILE, HOSTILE[::-1], strict=True)]
        csv.writer(file).writerows([header, *rows])
    lines = [json.dumps({"source": one, "target": other}) for one, other in pairwise(HOSTILE)]
    (folder / "hostile.jsonl").write_text("\n".join(lines), encoding="utf-8")
    hostile_run(folder / "runs")
    with page_server(folder) as server:
        yield server


def hostile_run(runs: Path) -> None:
    """A run in which every text that a page shows is hostile."""
    folder = finished_run(runs, "hostile", items=len(HOSTILE))
    found = list(read_lines(folder / "predictions.jsonl"))
    lines = [
        {**line, "source": text, "target": text[::-1], "raw": text, "prediction": text, "verdict": 0.0, "error": text}
        for line, text in zip(found, HOSTILE, strict=True)
    ]
    (folder / "predictions.jsonl").write_bytes(journal_bytes(lines))
    samples = [{"step": 1, "rows": [{"source": text, "target": text, "prediction": text} for text in HOSTILE]}] * 2
    (folder / "dev-samples.jsonl").write_bytes(journal_bytes(samples))
    dev = {"<script>pwned()</script>": 0.5, "top_share": 0.5}
    steps = [{"step": step, "plain": 1.0, "dev": dev, "seconds": 1.0} for step in (1, 2)]
    (folder / "steps.jsonl").write_bytes(journal_bytes(steps))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"name": HOSTILE[0], "reason": "\n".join(HOSTILE[:100]), "state": "failed"}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / SEAL).unlink()


def test_three_hundred_hostile_strings_through_every_surface(browser: PageBrowser, hostile: PageServer) -> None:
    """No script, no request, in names, cells, predictions, reasons, metrics, and what a form sends back."""
    assert len(HOSTILE) >= 300
    browser.begin(hostile.link)
    browser.go("/")
    tables = browser.run("[...document.querySelectorAll('main a[href^=\"/tables/\"]')].map(a => a.pathname)")
    assert len(tables) == 2
    browser.go("/runs")
    [run] = browser.run("[...document.querySelectorAll('main a[href^=\"/runs/\"]')].map(a => a.pathname)")
    rows = [f"{table}/rows?" + "&".join(f"line={line}" for line in range(2, 202)) for table in tables]
    seen = ""
    for address in ("/runs", *tables, *rows, *addresses(run), f"{run}/live", f"{run}/record"):
        browser.go(address)
        seen += browser.text
        made = "main script, main iframe, main img, main object, main style, base"
        assert browser.run(f"document.querySelectorAll('{made}').length") == 0, address
    assert "<script>pwned()</script>" in seen and "<img src=x onerror=pwned()>" in seen
    browser.go("/try?run=<script>pwned()</script>&lang=%3Cimg%20src%3Dx%20onerror%3Dpwned()%3E")
    assert browser.executed == [] and browser.requested == []


def test_a_text_that_is_tried_stays_text(browser: PageBrowser, server: PageServer, trained: str) -> None:
    """What a form sends comes back as it was, and is no markup."""
    browser.begin(server.link)
    browser.go(f"/try?run={trained.rpartition('/')[2]}")
    text = "</textarea><script>pwned()</script><img src=x onerror=pwned()>{{7*7}}"
    browser.write("#text", text)
    browser.click("form button.main")
    browser.wait("document.querySelector('.side')")
    assert browser.run("document.querySelector('#text').value") == text
