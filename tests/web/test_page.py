"""The local page over HTTP: from a dropped table to a trained skill that is tried, compared and found again."""

from __future__ import annotations

import html
import json
import re
import signal
from pathlib import Path

import httpx
import pytest
from exam_runs import finished_run
from page_server import MOODS, page_server, train, upload, wait_for, words_of

from terakoya.cli import printing
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.web.workspace import opaque_id

LONG = ("--set", "train.steps=4000", "--set", "train.patience=0", "--set", "score.resamples=100")
STEPPING = r"Stop \(it can(.|\n)*step [1-9][\d,]* of 4,000|step [1-9][\d,]* of 4,000(.|\n)*Stop \(it can"


def id_of(address: object) -> str:
    return str(address).rpartition("/")[2]


def test_from_a_dropped_table_to_a_first_prediction_in_five_actions(client: httpx.Client, trained: str) -> None:
    """Open, drop, train (and wait), write a text, predict: five actions and no file written by hand."""
    run = id_of(trained)
    page = client.get(f"/try?run={run}")  # by the link of the run's own page
    assert f'value="{run}" selected' in page.text
    tried = client.post("/try", data={"run": run, "text": "妹が笑った"})
    words = words_of(tried)
    assert re.search(r"うれしい|かなしい|おこった", words) and "Probability" in words
    assert "妹が笑った → うれしい 100.0%" in words  # the nearest training row: the text itself, or the exam's


def test_a_table_is_looked_at_as_it_is_read(client: httpx.Client) -> None:
    """Encoding, columns, first rows and what would be learned, also of a table that is no UTF-8."""
    table = upload(client, "気分.csv", MOODS.read_text(encoding="utf-8").encode("cp932"))
    words = words_of(table)
    assert "気分.csv" in words and "cp932" in words and "妹が笑った" in words
    assert re.search(r'<option value="文" selected', table.text) and re.search(r'value="labels" selected', table.text)
    rows = client.get(f"{table.url}/rows", params=[("line", "3"), ("line", "5"), ("line", "nonsense")])
    assert "妹が泣いた" in rows.text and "猫が膝に乗ってきた" in rows.text and "妹が笑った" not in rows.text


def test_the_check_shows_rows_time_and_smallest_difference(client: httpx.Client) -> None:
    """Audit and preflight with rows to click, before anything is trained."""
    rows = MOODS.read_text(encoding="utf-8") + "妹が笑った,かなしい\n妹が笑った,おこった\n"
    table = upload(client, "doubled.csv", rows.encode())
    started = client.post(f"{table.url}/check", data={"minutes": ""})
    address = re.search(r'href="(/checks/\w+)"|hx-get="(/checks/\w+)"', started.text)
    assert address is not None
    done = wait_for(client, address.group(1) or address.group(2), "Smallest difference", "fault")
    assert "Training takes about" in done.text and "Smallest difference that the exam can show" in done.text
    link = re.search(r'href="(/tables/\w+/rows\?[^"]+)"', done.text)
    assert link is not None, words_of(done)
    assert "妹が笑った" in client.get(link.group(1).replace("&amp;", "&")).text
    again = client.post(f"{table.url}/check", data={"minutes": ""})
    assert "Smallest difference" in again.text  # the same choices are checked once


def test_runs_are_listed_compared_and_their_record_is_reached(client: httpx.Client, trained: str) -> None:
    """Two runs with what was set differently; the comparison in plain words; the record under its own policy."""
    table = upload(client, "moods.csv", MOODS.read_bytes())
    job = train(client, table.url, minutes="60")
    second = wait_for(client, str(job.url), 'class="state done"').url
    listed = client.get("/runs")
    assert "train.minutes = 60" in listed.text and "train.minutes = 0" in listed.text
    assert re.search(r"n = \d+", words_of(listed))
    compared = client.get("/compare", params=[("run", id_of(trained)), ("run", id_of(second))])
    assert compared.status_code == 200 and "exam" in words_of(compared), words_of(compared)
    assert "smallest difference that this exam could have shown" in compared.text, words_of(compared)
    assert client.get("/compare", params={"run": id_of(trained)}).status_code == 422
    record = client.get(f"{trained}/record")
    assert record.status_code == 200 and "moods" in record.text
    assert "sandbox allow-scripts" in record.headers["content-security-policy"]


def test_dev_rows_are_shown_now_and_before(client: httpx.Client, trained: str) -> None:
    """What the model says to the same dev rows, at this evaluation and the one before; and the collapse meter."""
    words = words_of(client.get(trained))
    assert "predicted now and at the evaluation before" in words
    assert "Same prediction for every input" in words


def test_a_whole_table_is_predicted_and_saved(client: httpx.Client, trained: str) -> None:
    """Every row, in order, as a file to be fetched."""
    sent = {"file": ("inputs.csv", '文\n妹が笑った\n"=1+1"\n'.encode())}
    shown = client.post("/try/table", data={"run": id_of(trained)}, files=sent)
    fetched = client.get(f"{shown.url}/file").content.decode().splitlines()
    assert [line.split(",")[0] for line in fetched] == ["source", "妹が笑った", "=1+1"]


def test_two_skills_side_by_side(client: httpx.Client, trained: str) -> None:
    """The same text, predicted by both."""
    runs = re.findall(r'<option value="(\w{16})"', client.get("/try").text)
    other = next(run for run in runs if run != id_of(trained))
    shown = client.post("/try", data={"run": id_of(trained), "other": other, "text": "猫が笑った"})
    assert len(re.findall("<section>", shown.text)) == 2 and words_of(shown).count("Probability") == 2
    base = client.post("/try", data={"run": id_of(trained), "other": "untrained", "text": "猫が笑った"})
    assert "the untrained base took no exam in this run" in base.text


def test_an_uploaded_table_is_removed_and_brought_back(client: httpx.Client, home: Path) -> None:
    """What was done can be undone; a table of the reader's own folder is left alone."""
    table = upload(client, "gone.csv", MOODS.read_bytes() + "犬が吠えた,おこった\n".encode())
    assert "gone.csv" in client.get("/").text
    shown = client.post(f"{table.url}/remove", data={"": ""})
    assert f'href="{table.url.path}"' not in shown.text and "bring gone.csv back" in shown.text
    assert client.get(str(table.url)).status_code == 404
    assert f'href="{table.url.path}"' in client.post("/removed/back", data={"": ""}).text
    (home / "own.csv").write_bytes(MOODS.read_bytes())
    own = re.search(r'href="(/tables/\w+)">own.csv', client.get("/").text)
    assert own is not None and client.post(f"{own.group(1)}/remove", data={"": ""}).status_code == 422
    assert (home / "own.csv").is_file()
    (home / "own.csv").unlink()


def test_a_conversation_goes_on(client: httpx.Client, home: Path, tmp_path: Path) -> None:
    """A skill that was trained on conversations gets what was said before, and it stands on the page."""
    config = '[task]\nuse = "persona"\n[model]\nbase = "tiny"\n[train]\nsteps = 4\n'
    (tmp_path / "chatting.toml").write_text(config, encoding="utf-8")
    folder = pipeline.train(str(tmp_path / "chatting.toml"), run_dir=home / "runs", anyway=True).folder
    run = opaque_id("run", str(folder.resolve()))
    first = client.post("/try", data={"run": run, "text": "こんにちは"})
    assert first.status_code == 200 and "Skill" in words_of(first)
    said = re.findall(r'name="said" value="([^"]*)"', first.text) or ["こんにちは", "はい"]
    second = client.post("/try", data={"run": run, "text": "元気？", "said": [html.unescape(text) for text in said]})
    assert "You: こんにちは" in words_of(second)
    assert client.post("/try", data={"run": run, "text": "x", "said": ["only one"]}).status_code == 422


def test_japanese_and_english(client: httpx.Client, trained: str) -> None:
    """By the query, kept in a cookie; by Accept-Language otherwise."""
    with httpx.Client(
        base_url=str(client.base_url), cookies={"terakoya_token": client.cookies["terakoya_token"]}
    ) as one:
        assert 'lang="en"' in one.get("/", headers={"accept-language": "en-GB,en;q=0.9,ja;q=0.5"}).text
        japanese = one.get("/", headers={"accept-language": "ja,en;q=0.5"}).text
        assert '<html lang="ja">' in japanese and "どの表" in japanese
        one.get("/?lang=ja")
        assert '<html lang="ja">' in one.get("/runs", headers={"accept-language": "en"}).text
        assert '<html lang="en">' in one.get("/runs?lang=en").text


def test_a_training_that_fails_shows_its_reason(client: httpx.Client) -> None:
    """A refusal of the audit, and a table that cannot be trained at all."""
    table = upload(client, "same.csv", ("text,label\n" + "".join(f"t{n},one\n" for n in range(40))).encode())
    job = train(client, table.url, codec="labels", source="text", target="label")
    shown = wait_for(client, str(job.url), "fault")
    assert "one" in words_of(shown) and 'role="alert"' in shown.text
    assert words_of(client.get("/runs")).count("same") >= 1


def test_a_training_outlives_browser_and_server(tmp_path: Path) -> None:
    """The server is killed in the middle and opened again: the run goes on, is shown, stopped, and goes on."""
    (tmp_path / "moods.csv").write_bytes(MOODS.read_bytes())
    with page_server(tmp_path, settings=LONG) as first:
        client = first.client()
        table = re.search(r'href="(/tables/\w+)"', client.get("/").text)
        assert table is not None
        job = train(client, table.group(1))
        run = str(wait_for(client, str(job.url), STEPPING).url.path)
        first.kill()
    with page_server(tmp_path, settings=LONG) as second:
        client, other = second.client(), second.client()
        before = step_of(wait_for(client, run, STEPPING))
        assert client.post(f"{run}/resume", data={"x": ""}).status_code == 200  # it goes on already: nothing happens
        assert step_of(wait_for(other, run, STEPPING)) >= before > 0
        client.post(f"{run}/stop", data={"x": ""})
        stopped = wait_for(client, run, "Go on")
        assert "interrupted" in stopped.text
        client.post(f"{run}/resume", data={"x": ""})
        wait_for(other, run, STEPPING)
        client.post(f"{run}/stop", data={"x": ""})
        wait_for(client, run, "Go on")
    journal = [
        json.loads(line)["event"] for line in (tmp_path / ".terakoya" / "journal.jsonl").read_text().splitlines()
    ]
    assert journal == ["training started", "training stopped", "training resumed", "training stopped"]


def step_of(page: httpx.Response) -> int:
    found = re.search(r"step ([\d,]+) of", page.text)
    return int(found.group(1).replace(",", "")) if found else 0


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run whose exam has 10,000 rows."""
    folder = tmp_path_factory.mktemp("large")
    finished_run(folder / "runs", "large", items=10_000)
    return folder


def test_ten_thousand_exam_rows_are_shown_page_by_page(large: Path) -> None:
    """Every view of the run; how long each takes is measured by benchmarks.speed.page_views."""
    with page_server(large) as server:
        client = server.client()
        run = re.search(r'href="(/runs/\w+)"', client.get("/runs").text)
        assert run is not None
        for address in ("/", "/runs", run.group(1), f"{run.group(1)}/live", "/try"):
            response = client.get(address)
            assert response.status_code == 200, address
            assert len(response.content) < 100_000, address


def test_ctrl_c_ends_the_server_quietly(tmp_path: Path) -> None:
    """No traceback, and exit code 0."""
    with page_server(tmp_path) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        assert server.process.stdout is not None and "Traceback" not in server.process.stdout.read()


def test_rows_of_a_table_of_several_files_are_shown_from_their_own_file(client: httpx.Client, home: Path) -> None:
    """A finding's rows are lines of the file that is named with each; only files of the check can be looked at."""
    folder = home / "several"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "a.csv").write_text("文,気分\n雨が降り続いた,かなしい\n妹が笑った,うれしい\n", encoding="utf-8")
    (folder / "parts" / "b.csv").write_text("文,気分\n妹が笑った,かなしい\n鍵をなくした,かなしい\n", encoding="utf-8")
    config = folder / "several.toml"
    config.write_text(
        '[task]\ndata = "parts/*.csv"\nsource = "文"\ntarget = "気分"\ncodec = "labels"\n', encoding="utf-8"
    )
    job = home / ".terakoya" / "jobs" / "c0ffee"  # a check that has ended, with what an audit finds
    job.mkdir(parents=True)
    known = {"id": job.name, "kind": "check", "arguments": ["doctor", str(config)], "name": "check", "started": 0.0}
    (job / "job.json").write_text(json.dumps(known))
    found = {"findings": list(commands.audit(str(config)))}
    (job / "output.txt").write_text(json.dumps(found, default=printing._plain), encoding="utf-8")
    shown = client.get(f"/checks/{job.name}")
    links = re.findall(r'<a href="(/checks/\w+/rows\?[^"]+)">([^<]+)</a>', shown.text)
    by_file = {html.unescape(words).partition(":")[0]: html.unescape(link) for link, words in links}
    assert by_file.keys() == {"parts/a.csv", "parts/b.csv"}, words_of(shown)
    rows = words_of(client.get(by_file["parts/b.csv"]))
    assert "b.csv" in rows and "妹が笑った" in rows and "雨が降り続いた" not in rows and "鍵をなくした" not in rows
    assert "うれしい" in words_of(client.get(by_file["parts/a.csv"]))
    place = by_file["parts/b.csv"].partition("?")[0]
    for wrong in ("file=99&line=2", "file=../several.toml&line=2", "line=2", "file=-1&line=2"):
        assert client.get(f"{place}?{wrong}").status_code == 404
