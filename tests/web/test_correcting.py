"""Errors, Correct, Confirm, Train again: what a person says is kept, undone, trained with and compared."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from page_browser import PageBrowser
from page_server import PageServer, page_server, train, upload, wait_for, words_of

from terakoya.annotation.corrections import correct_row, corrections_path
from terakoya.annotation.exam_rows import read_exam_rows
from terakoya.annotation.log import AnnotationLog, read_entries
from terakoya.runs import read_lines, runs_in
from terakoya.runs.annotations import read_annotations
from terakoya.runs.in_use import read_in_use
from terakoya.runs.journal import journal_bytes

sys.path[:0] = [str(Path(__file__).parent.parent / "annotation"), str(Path(__file__).parent.parent)]
from exam_runs import finished_run  # noqa: E402

from hostile import HOSTILE  # noqa: E402

NOTHING = {"": ""}  # a form without fields, as a browser sends it
KANJI = "〇一二三四五六七八九"
NUMBERS = "source,target\n" + "".join(f"{''.join(KANJI[int(d)] for d in str(n))},{n}\n" for n in range(160))


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("correcting")


@pytest.fixture(scope="module")
def own_server(own_home: Path) -> Iterator[PageServer]:
    finished_run(own_home / "runs", "large", items=10_000)
    with page_server(own_home) as server:
        yield server


@pytest.fixture(scope="module")
def own(own_server: PageServer) -> httpx.Client:
    return own_server.client()


@pytest.fixture(scope="module")
def run(own: httpx.Client) -> str:
    """Address of a run that has learned little: nearly all of its exam is wrong."""
    table = upload(own, "numbers.csv", NUMBERS.encode())
    job = train(own, table.url, codec="number")
    return str(wait_for(own, str(job.url), 'class="state done"').url)


def field(page: httpx.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found is not None, words_of(page)
    return html.unescape(found.group(1))


def folder_of(own_home: Path, name: str = "numbers") -> Path:
    return next(path for path in runs_in(own_home / "runs") if path.name.startswith(name))


def test_errors_show_what_differs_and_a_wrong_target_is_marked_and_unmarked(
    own: httpx.Client, run: str, own_home: Path
) -> None:
    page = own.get(f"{run}/errors", params={"order": "confident"})
    assert page.status_code == 200 and "<ins>" in page.text
    row = field(page, "row")
    marked = own.post(f"{run}/errors", data={"row": row, "mark": "on", "order": "confident"})
    assert "1 wrong predictions were marked as right after all" in words_of(marked)
    assert "order=confident" in str(marked.url) and 'aria-pressed="true"' in marked.text
    found = read_annotations(folder_of(own_home)).marked
    assert found is not None and found.counted_value > found.value
    assert "marked as right after all" in own.get(f"{run}/record").text
    assert "marked" not in words_of(own.post(f"{run}/errors", data={"row": row, "mark": "off"}))
    events = [line["event"] for line in read_lines(own_home / ".terakoya" / "journal.jsonl")]
    assert events[-2:] == ["row marked as right after all", "mark taken back"]


def test_an_unknown_row_and_an_unknown_choice_are_refused(own: httpx.Client, run: str) -> None:
    for data in ({"row": "../../etc/passwd"}, {"row": "0" * 16}, {"row": "x", "mark": "maybe"}):
        assert own.post(f"{run}/errors", data=data).status_code == 422
    assert own.post(f"{run}/correct", data={"row": "0" * 16, "action": "delete"}).status_code == 422
    assert own.post(f"{run}/confirm", data={"row": "0" * 16, "judgement": "right"}).status_code == 422
    assert own.get(f"{run}/correct", params={"row": "nothing"}).status_code == 422
    assert own.get("/runs/0000000000000000/errors").status_code == 404
    assert own.post(f"{run}/correct", data={}, headers={"origin": "http://evil.example"}).status_code == 403


def test_the_exam_is_confirmed_row_by_row_without_seeing_predictions(
    own: httpx.Client, run: str, own_home: Path
) -> None:
    assert "No person has confirmed the targets of this exam." in words_of(own.get(run))
    own.post(f"{run}/name", data={"name": "花子", "back": "confirm"})
    page = own.get(f"{run}/confirm")
    size = int(re.search(r"0 of (\d+) rows judged", words_of(page)).group(1))  # type: ignore[union-attr]
    rows = read_exam_rows(folder_of(own_home))
    for number in range(size):
        shown = words_of(page).partition(" Input ")[2].partition(" Is this target right?")[0]
        row = field(page, "row")
        target = next(one.row.target for one in rows if one.row.fingerprint == row)
        prediction = next(one.prediction for one in rows if one.row.fingerprint == row)
        assert target in shown and (prediction is None or prediction in target or prediction not in shown)
        said = {"judgement": "wrong", "right_target": "77777"} if number == 0 else {"judgement": "right"}
        page = own.post(f"{run}/confirm", data={"row": row, **said})
        if number == 1:
            page = own.post(f"{run}/confirm/undo", data=NOTHING)
            assert field(page, "row") == row
            page = own.post(f"{run}/confirm", data={"row": row, "judgement": "unclear"})
    assert "The whole sample is judged" in words_of(page)
    found = read_annotations(folder_of(own_home)).confirmation
    assert (found.right, found.wrong, found.unclear) == (size - 2, 1, 1)
    assert f"{size - 2} of {size - 1} are right" in words_of(own.get(run))
    record = own.get(f"{run}/record")
    assert record.status_code == 200 and f"{size - 2} of {size - 1} are right" in record.text
    assert {entry.who for entry in read_entries(folder_of(own_home) / "exam-judgements.jsonl")} == {"花子"}


def test_from_a_corrected_row_to_a_second_run_that_says_whether_it_is_better(
    own: httpx.Client, run: str, own_home: Path
) -> None:
    """Accept, edit, reject, undo; train again; the verdict; the old run stays in use until told otherwise."""
    table = next((own_home / ".terakoya" / "tables").glob("*/*.csv"))
    before = table.read_bytes()
    page = own.get(f"{run}/correct")
    left = int(re.search(r"(\d+) wrong predictions are left", words_of(page)).group(1))  # type: ignore[union-attr]
    first = field(page, "row")
    assert own.post(f"{run}/correct", data={"row": first, "action": "edit", "text": "no number"}).status_code >= 400
    page = own.post(f"{run}/correct", data={"row": first, "action": "edit", "text": "70000"})
    second = field(page, "row")
    assert second != first and f"{left - 1} wrong predictions are left to look at; 1 rows are corrected" in words_of(
        page
    )
    page = own.post(f"{run}/correct", data={"row": second, "action": "reject"})
    assert f"{left - 2} wrong predictions are left to look at; 1 rows are corrected" in words_of(page)
    page = own.post(f"{run}/correct/undo", data=NOTHING)
    assert field(page, "row") == second and f"{left - 1} wrong" in words_of(page)

    page = own.get(f"{run}/retrain")
    assert "70000" in words_of(page) and "Train again with them" in words_of(page)
    job = own.post(f"{run}/retrain", data=NOTHING)
    again = wait_for(own, str(job.url), 'class="state done"', "fault")
    assert str(again.url) != run and "Is it better than the run before?" in words_of(again), words_of(again)
    verdict = wait_for(own, f"{again.url}/retrain", "items are in both exams", "fault")
    old, new = (read_exam_rows(path) for path in sorted(runs_in(own_home / "runs"))[-2:])
    assert [row.row for row in new] == [row.row for row in old if row.row.fingerprint != first]
    assert re.search(r"The new run is (better|neither better nor worse|worse)", words_of(verdict))
    names = [path.name for path in sorted(runs_in(own_home / "runs"))]
    assert f"In use: {names[-2]}." in words_of(verdict)
    assert f"In use: {names[-1]}." in words_of(own.post(f"{again.url}/use", data=NOTHING))
    assert read_in_use(own_home / "runs")["numbers"] == names[-1]
    assert table.read_bytes() == before
    assert "are right" in words_of(own.get(str(again.url)))  # what people said goes on to the new run
    japanese = own.get(f"{again.url}/retrain?lang=ja")
    assert "items are in both exams" not in japanese.text and '<html lang="ja">' in japanese.text
    own.get("/?lang=en")


def test_ten_thousand_exam_rows_are_filtered_and_marked(own: httpx.Client, own_home: Path) -> None:
    """A view holds one page of them; how long it takes is measured by benchmarks.speed.page_views."""
    listed = own.get("/runs").text
    address = re.findall(r'<a href="(/runs/\w{16})">large</a>', listed)[0]
    for behind in ("errors", "errors?order=doubtful&page=7&contains=5", "errors?kind=digit", "confirm"):
        shown = own.get(f"{address}/{behind}")
        assert shown.status_code == 200 and len(shown.content) < 200_000, behind
    data = {"row": field(own.get(f"{address}/errors"), "row")}
    assert own.post(f"{address}/errors", data=data, follow_redirects=False).status_code == 303
    assert json.loads((folder_of(own_home, "large") / "annotations.json").read_text("utf-8"))["marked"]["n"] == 10_000


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBrowser]:
    opened = PageBrowser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize(("lang", "width", "dark"), [("en", 1100, True), ("ja", 390, False)])
def test_one_key_each_in_both_languages(
    browser: PageBrowser, own_server: PageServer, own_home: Path, run: str, lang: str, width: int, dark: bool
) -> None:
    """Reject, undo, edit, skip; right, cannot tell, wrong; axe-core finds nothing, and nothing runs over the edge."""
    browser.begin(own_server.link, width, dark=dark, lang=lang)
    address = "/runs/" + run.rpartition("/")[2]
    for behind in ("errors", "correct", "confirm", "retrain"):
        browser.go(f"{address}/{behind}")
        assert browser.run("document.documentElement.lang") == lang
        assert browser.overflow() == 0 and browser.violations() == [], behind

    def row() -> str:
        return str(browser.run("document.querySelector('input[name=row]').value"))

    def pressed(key: str) -> str:
        before = browser.run("document.querySelector('main').innerText")
        browser.press(key)
        browser.wait(f"document.querySelector('main').innerText !== {json.dumps(before)}")
        browser.loaded()
        return row()

    browser.go(f"{address}/correct")
    first = row()
    second = pressed("n")
    assert second != first
    third = pressed("r")
    assert third not in (first, second) and pressed("u") == second
    browser.press("e")
    assert browser.run("document.activeElement.id") == "text"
    browser.run("document.activeElement.value = ''")
    browser.write("#text", "60000")
    assert pressed("Enter") != second
    assert pressed("u") == second  # nothing is left of it: the next language begins as this one did

    large = browser.run("fetch('/runs').then(r => r.text())").split('">large</a>')[0].rpartition('<a href="')[2]
    browser.go(f"{large}/confirm")
    assert "答X" not in browser.text  # what the model predicts
    begun = {row(), pressed("y"), pressed("c")}
    browser.press("w")
    browser.write("#right_target", "別の答")
    assert pressed("Enter") not in begun and len(begun) == 3
    assert browser.run("document.querySelector('progress').value") == 3
    for _ in range(3):
        pressed("u")
    assert browser.run("document.querySelector('progress').value") == 0
    assert browser.executed == [] and browser.requested == []


def test_hostile_rows_and_names_stay_text(browser: PageBrowser, own_server: PageServer, own_home: Path) -> None:
    """Three hundred strings as sources, targets, predictions, kinds, names and what two people wrote."""
    folder = hostile_run(own_home / "runs")
    log = AnnotationLog(corrections_path(own_home / "hostile.csv"))
    for at, one in enumerate(read_exam_rows(folder)[:60]):
        text = HOSTILE[-at - 1] or "x"
        correct_row(log, one.row, "edit", f"{text}!", who=text)
        correct_row(log, one.row, "edit", f"{text}{'?' if at % 2 else '!'}", who=HOSTILE[at])
    browser.begin(own_server.link)
    browser.go("/runs")
    script = "[...document.querySelectorAll('main a')].filter(a => a.innerText === 'hostile').map(a => a.pathname)[0]"
    address, seen = browser.run(script), ""
    for behind in (*(f"errors?page={page}" for page in range(1, 14)), "correct", "confirm", "retrain"):
        browser.go(f"{address}/{behind}")
        seen += browser.text
        assert browser.run("document.querySelectorAll('main script, main img, main iframe, main object').length") == 0
    assert "<script>pwned()</script>" in seen
    assert browser.executed == [] and browser.requested == []


def hostile_run(parent: Path) -> Path:
    """A run whose sources, targets, predictions and kinds of error are hostile, with its table and its config."""
    folder = finished_run(parent, "hostile", items=len(HOSTILE))
    found = [json.loads(line) for line in (folder / "predictions.jsonl").read_text("utf-8").splitlines()]
    lines = [
        {name: value for name, value in line.items() if name in ("subset", "probability", "fingerprint", "group")}
        | {"source": text, "target": text[::-1] or "x", "raw": text, "prediction": text, "verdict": 0.0, "error": text}
        for line, text in zip(found, HOSTILE, strict=True)
    ]
    (folder / "seal.json").unlink()
    (folder / "predictions.jsonl").write_bytes(journal_bytes(lines))
    (folder / "config.toml").write_text('name = "hostile"\n[task]\ndata = "../../hostile.csv"\n', "utf-8")
    (parent.parent / "hostile.csv").write_text("source,target\na,b\n", "utf-8")
    return folder
