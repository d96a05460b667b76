"""The page in a real browser: nothing runs but our script, nothing is asked for outside, the table filters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import sample_records
from browser import Browser
from hostile import HOSTILE
from terakoya.records import Finding
from terakoya.reporting import RunRecord, SweepRecord, html, sweep_html


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def choose(browser: Browser, control: str, value: str) -> int:
    """Set one control of the answers' table as a hand would; how many answers are found."""
    find = f"document.querySelector('[data-answers={control}]')"
    browser.run(f"{find}.value = {value!r}; {find}.dispatchEvent(new Event('input'))")
    return int(browser.run("document.querySelector('[data-answers=count]').dataset.found"))


def rows(browser: Browser) -> list[list[str]]:
    script = "[...document.querySelector('[data-answers=body]').rows].map(r => [...r.cells].map(c => c.textContent))"
    return list(browser.run(script))


def test_the_counters_count(browser: Browser, tmp_path: Path) -> None:
    """Were this page inert too, the counters would be broken and the next test would say nothing."""
    page = tmp_path / "bad.html"
    page.write_text("<img src='http://127.0.0.1:9/x.png'><script>pwned('1')</script><img src=x onerror=\"pwned('2')\">")
    browser.open(page)
    assert sorted(browser.executed) == ["1", "2"]
    assert "http://127.0.0.1:9/x.png" in browser.requested


def test_no_hostile_string_runs_or_asks_for_anything(browser: Browser, tmp_path: Path) -> None:
    """Hundreds of strings through every surface, all pages of the table turned: 0 executions, 0 requests."""
    items = tuple(
        {"source": text, "target": text, "raw": text, "prediction": text, "verdict": 0.0, "error": text,
         "tags": {"kind": text, text: "x"}, "probability": 0.5, "subset": text}
        for text in HOSTILE
    )  # fmt: skip
    findings = tuple(Finding(text, "stop", text, text, text) for text in HOSTILE)
    evil = replace(sample_records.numerals(20), name=HOSTILE[0], predictions=items, findings=findings)
    page = tmp_path / "hostile.html"
    page.write_text(html(evil, "ja"), encoding="utf-8")
    browser.open(page)
    seen = []
    for _ in range(len(HOSTILE) // 100 + 1):
        seen += rows(browser)
        browser.run("document.querySelector('[data-answers=following]').click()")
    assert len(seen) == len(HOSTILE)
    assert [row[0] for row in seen][:3] == list(HOSTILE[:3])
    assert not [char for row in seen for cell in row for char in cell if char in "\u202e\u2066\x1b\x00"]
    browser.run("document.querySelectorAll('details').forEach(item => item.open = true)")
    assert browser.run("document.images.length + document.links.length") == browser.run(
        "document.querySelectorAll('nav a').length"
    )
    assert browser.executed == []
    assert browser.requested == []


def test_the_table_filters_by_outcome_kind_and_text(browser: Browser, tmp_path: Path) -> None:
    """Every answer of the exam can be found again, without a server."""
    record = sample_records.numerals(1000)
    (tmp_path / "report.html").write_text(html(record, "en"), encoding="utf-8")
    browser.open(tmp_path / "report.html")
    wrong = [item for item in record.predictions if item["verdict"] < 1]
    assert choose(browser, "outcome", "") == 1000
    assert len(rows(browser)) == 100
    assert choose(browser, "outcome", "!right") == len(wrong)
    assert [row[0] for row in rows(browser)] == [item["source"] for item in wrong]
    unsure = sorted(wrong, key=lambda item: item["probability"])
    assert choose(browser, "order", "unsure") == len(wrong)
    assert [row[0] for row in rows(browser)] == [item["source"] for item in unsure]
    assert choose(browser, "outcome", "unreadable") == sum(item["prediction"] is None for item in wrong)
    choose(browser, "outcome", "")
    kinds = browser.run("[...document.querySelector('[data-answers=kind]').options].map(o => [o.textContent, o.value])")
    value = dict(kinds)["form: daiji"]
    assert choose(browser, "kind", value) == sum(item["tags"]["form"] == "daiji" for item in record.predictions)
    choose(browser, "kind", "")
    source = record.predictions[77]["source"]
    assert choose(browser, "text", source) == sum(
        source in text for text in ("\n".join((i["source"], i["target"])) for i in record.predictions)
    )
    assert rows(browser)[0][0].count(source)


def test_twenty_thousand_answers_stay_quick(browser: Browser, tmp_path: Path) -> None:
    """A large exam is searched while one types: a filter over 20,000 answers within a second."""
    record = sample_records.numerals(20_000)
    (tmp_path / "large.html").write_text(html(replace(record, steps=()), "en"), encoding="utf-8")
    browser.open(tmp_path / "large.html")
    assert choose(browser, "text", "三") > 1000
    took = browser.run(
        "(() => { const box = document.querySelector('[data-answers=text]'); const begun = performance.now();"
        "box.value = '七'; box.dispatchEvent(new Event('input')); return performance.now() - begun })()"
    )
    assert took < 1000


def test_letters_and_emoji_are_drawn_by_fonts_that_have_them(browser: Browser, tmp_path: Path) -> None:
    """No boxes in the charts: the browser tells which font drew what."""
    (tmp_path / "emoji.html").write_text(html(sample_records.emoji(100), "ja"), encoding="utf-8")
    fonts = browser.open(tmp_path / "emoji.html").fonts("figure svg text")
    emoji = [names for text, names in fonts.items() if text in ("✨", "😀", "🎉")]
    assert len(emoji) == 3
    assert all("Emoji" in name for names in emoji for name in names)
    assert any("CJK" in name or "Gothic" in name or "Sans" in name for name in fonts["ステップ"])


def test_a_phone_needs_no_sideways_scrolling(browser: Browser, tmp_path: Path) -> None:
    """Wide tables scroll inside their frame; the page itself fits 390 points."""
    for name, record in (("numerals", sample_records.numerals(120)), ("emoji", sample_records.emoji(80))):
        (tmp_path / f"{name}.html").write_text(html(record, "ja"), encoding="utf-8")
        browser.open(tmp_path / f"{name}.html", width=390)
        assert browser.run("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [1100, 390])
def test_long_texts_side_by_side_are_seen_whole(browser: Browser, tmp_path: Path, width: int) -> None:
    """A character's answers beside the baseline's: the last column lay outside the frame, on a phone all but one."""
    record = sample_records.numerals(40)
    line = "峠の茶屋でございやす。お客人、どうぞ一杯の湯をあがっておくんなせえ。" * 2
    items = [{**item, "source": line, "target": line, "prediction": line, "verdict": 0.07,
              "beside": {"who": "constant", "prediction": line, "verdict": 0.1}}
             for item in record.predictions]  # fmt: skip
    page = tmp_path / "talk.html"
    page.write_text(html(replace(record, predictions=tuple(items)), "ja"), encoding="utf-8")
    browser.open(page, width=width)
    seen = "Array.from(document.querySelectorAll('table.cards'), t => [t.scrollWidth, t.parentElement.clientWidth])"
    tables = browser.run(seen)
    assert len(tables) >= 2 and all(inner <= frame for inner, frame in tables), tables
    first = "document.querySelector('table.side tbody tr')"
    shown = browser.run(f"Array.from({first}.cells, c => c.getBoundingClientRect().right)")
    assert len(shown) == 6 and max(shown) <= width
    if width < 600:  # each cell says what it is
        told = f"Array.from({first}.cells, c => getComputedStyle(c, '::before').content)"
        assert browser.run(told)[0] == '"入力"'


def test_the_series_sorts_by_a_click(browser: Browser, tmp_path: Path) -> None:
    """The best run comes to the top, by number and not by letters."""
    plain = sample_records.numerals(20)
    named = [("a", 0.5), ("b", 0.9), ("c", 0.101)]
    runs = tuple(replace(plain, name=name, scores=(replace(plain.scores[0], value=value),)) for name, value in named)
    (tmp_path / "series.html").write_text(sweep_html(SweepRecord("s", (*runs, RunRecord("none"))), "en"))
    browser.open(tmp_path / "series.html")
    order = "[...document.querySelector('table.sortable').tBodies[0].rows].map(row => row.cells[0].textContent)"
    browser.run("[...document.querySelectorAll('th button')].find(b => b.textContent === 'score').click()")
    assert [name for name in browser.run(order) if name != "none"] == ["b", "a", "c"]
    browser.run("[...document.querySelectorAll('th button')].find(b => b.textContent === 'score').click()")
    assert [name for name in browser.run(order) if name != "none"] == ["c", "a", "b"]


def test_differing_characters_are_marked_and_stay_text(browser: Browser, tmp_path: Path) -> None:
    """In every row of the table, even where the data are hostile or hold characters of two code units."""
    evil = "<img src=x onerror=\"pwned('3')\">"
    pairs = (("1月15日", "1月5日"), ("𠮷野家", "吉野家"), (f"a{evil}", f"b{evil}!"), ("same", "same"))
    items = tuple(
        {"source": target, "target": target, "raw": said, "prediction": said, "verdict": float(target == said)}
        for target, said in pairs
    )
    page = tmp_path / "marks.html"
    page.write_text(html(replace(sample_records.numerals(20), predictions=items), "en"), encoding="utf-8")
    browser.open(page)
    shown = rows(browser)
    assert [(row[1], row[2]) for row in shown] == list(pairs)
    script = (
        "[...document.querySelector('[data-answers=body]').rows]"
        ".map(r => [...r.querySelectorAll('mark')].map(m => m.textContent))"
    )
    assert browser.run(script) == [["1"], ["𠮷", "吉"], ["a", "b", "!"], []]
    assert browser.executed == []
