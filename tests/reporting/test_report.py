"""The record: remade from the folder alone, honest about what is missing, and inert whatever the data holds."""

from __future__ import annotations

import csv as tables
import io
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import sample_records
from hostile import HOSTILE
from terakoya.data.statistics import dataset_statistics
from terakoya.errors import CorruptError
from terakoya.records import Example, Finding, Split
from terakoya.reporting import (
    ComparedSettings,
    RunRecord,
    SweepRecord,
    breakdowns,
    charts,
    csv,
    html,
    index_page,
    language,
    markdown,
    read_record,
    sweep_html,
    sweep_markdown,
)
from terakoya.reporting.blocks import format_value
from terakoya.reporting.escaping import short, spreadsheet_cell, visible
from terakoya.runs import Run

FIXTURE = Path(__file__).parents[1] / "fixtures" / "runs" / "format-1"
# Everything that a page of ours is made of; `script` is checked by itself.
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "nav", "section", "div", "span"),
    *("h1", "h2", "h3", "p", "ul", "li", "a", "bdi", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd"),
    *("details", "summary", "pre", "figure", "figcaption", "noscript", "small"),
    *("svg", "g", "path", "rect", "line", "circle", "text", "tspan", "defs", "clippath"),
    *("script", "select", "option", "input", "button", "output"),
}
HEADINGS = (
    "概要・結論",
    "評価指標",
    "推論テスト",
    "分析",
    "次のステップ",
    "データセット統計",
    "実験環境",
    "試行",
    "生成コスト",
)
SWEEP_HEADINGS = (HEADINGS[0], *HEADINGS[5:8], HEADINGS[2], HEADINGS[1], *HEADINGS[3:5], HEADINGS[8])


class Page(HTMLParser):
    """What a browser would see: elements, attributes, the text of each element, scripts apart."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self._inside == "script" else self.text).append(data)

    def island(self) -> dict[str, Any]:
        found = [text for text in self.scripts if text.startswith("{")]
        assert len(found) == 1
        return dict(json.loads(found[0]))


@pytest.fixture(scope="module")
def numerals() -> RunRecord:
    return sample_records.numerals(300)


@pytest.fixture(scope="module")
def pages(numerals: RunRecord) -> dict[str, str]:
    return {lang: html(numerals, lang) for lang in ("en", "ja")}


@pytest.fixture(scope="module")
def hostile() -> RunRecord:
    """Hostile text wherever text can stand."""
    items = tuple(
        {
            "source": text, "target": text, "raw": text, "prediction": text if number % 3 else None,
            "verdict": float(number % 2), "subset": text if number % 50 == 0 else "",
            "tags": {HOSTILE[number % 3]: HOSTILE[number % 40]}, "probability": 0.5, "error": HOSTILE[number % 7],
        }
        for number, text in enumerate(HOSTILE)
    )  # fmt: skip
    plain = sample_records.numerals(50)
    evil = HOSTILE[0]
    split = Split(tuple(Example(text, evil, tags=((text, text),)) for text in HOSTILE), (), ())
    return replace(
        plain,
        name=evil,
        predictions=items,
        findings=tuple(Finding(text, "warn", text, text, text) for text in HOSTILE[:60]),
        config={evil: evil, "task": {"use": HOSTILE[1]}},
        manifest={**plain.manifest, "model": {"name": evil}, "versions": {evil: evil}, "fingerprints": {evil: evil}},
        scores=(*plain.scores, replace(plain.scores[1], who=evil, subset="")),
        dataset=dataset_statistics(split),
        cost={evil: evil},
    )


# ── remade from the folder ──────────────────────────────────────────────────────────────────────────────


def test_a_record_is_remade_from_the_folder_alone() -> None:
    """`terakoya report RUN` needs nothing but what the run left behind."""
    record = read_record(FIXTURE)
    assert record.name == "format-1"
    assert record.main is not None
    assert (record.main.value, record.main.n) == (0.5, 2)
    assert [step.dev for step in record.steps] == [None, {"exact": 0.5}]
    assert record.findings[0].values["items"] == 12.0
    page = html(record, "ja")
    assert "判断できない" in page
    assert "約30問" in page
    assert "三兆" in page


def test_a_run_that_was_killed_at_once_still_has_a_record(tmp_path: Path) -> None:
    """The record of a run without steps, scores or answers says so instead of failing."""
    Run.create(tmp_path, "k").close()
    record = read_record(next(path for path in tmp_path.iterdir()))
    for lang, words in (("en", "no score yet"), ("ja", "スコアがない")):
        assert words in markdown(record, lang)
        assert words in html(record, lang)
    assert "interrupted" in markdown(record, "en")
    assert markdown(RunRecord("nothing at all"), "en")
    assert html(RunRecord("nothing at all"), "ja")


def test_a_damaged_line_names_its_folder(tmp_path: Path) -> None:
    """Values are never made up for a line that lost its fields."""
    with Run.create(tmp_path, "k") as run:
        run.append("steps.jsonl", {"step": 1})
    with pytest.raises(CorruptError, match="no Step"):
        read_record(run.path)


def test_perplexity_of_an_older_run_is_read(tmp_path: Path) -> None:
    """scores.json of format 2 and older has it under another key."""
    with Run.create(tmp_path, "k") as run:
        run.write_json("scores.json", {"scores": [], "verdict": {}, "foreseen": {"unit": "character"}})
    assert read_record(run.path).perplexity == {"unit": "character"}


def test_a_loss_that_was_not_finite_comes_back_and_leaves_a_gap(tmp_path: Path, numerals: RunRecord) -> None:
    """A NaN in the log is shown in words and does not break the chart or the JSON of the page."""
    steps = (*numerals.steps[:5], replace(numerals.steps[5], loss=math.nan, plain=math.nan))
    with Run.create(tmp_path, "k") as run:
        for step in steps:
            run.append("steps.jsonl", step)
    record = read_record(run.path)
    assert math.isnan(record.steps[-1].plain)
    assert "nan" in markdown(record, "en")
    assert "NaN" not in charts.chart(record, "loss", "en")


# ── what it says ────────────────────────────────────────────────────────────────────────────────────────


def test_the_record_has_the_logs_own_form(numerals: RunRecord, pages: dict[str, str]) -> None:
    """Who knows the two logs finds every heading, in their order, in both formats."""
    for text in (markdown(numerals, "ja"), pages["ja"]):
        positions = [text.index(heading) for heading in HEADINGS]
        assert positions == sorted(positions)
    assert "## Summary and conclusion" in markdown(numerals, "en")


def test_scores_have_their_interval_n_and_openings(numerals: RunRecord) -> None:
    """No score without its interval, and no exam without the number of times it was opened."""
    text = markdown(numerals, "en")
    main = numerals.main
    assert main is not None
    value, low, high = (format_value(number) for number in (main.value, main.low, main.high))
    sentence = f"exact {value}, 95% interval {low} to {high}, on 300 items."
    assert sentence in text
    assert "opened for the first time" in text
    assert "3回開封" in markdown(sample_records.emoji(60), "ja")


def test_causes_come_from_findings_and_next_steps_from_what_they_propose(numerals: RunRecord) -> None:
    """Nothing is invented: without findings there is no cause and no proposal."""
    text = markdown(numerals, "en")
    proposal = "Raise the share of large magnitudes in the sampler."
    assert text.count(proposal) == 2
    bare = markdown(replace(numerals, findings=()), "en")
    assert proposal not in bare
    assert "found nothing" in bare
    assert "No finding proposes a next step." in bare


def test_a_score_that_is_not_perfect_does_not_look_perfect() -> None:
    """0.99985 is not 1.000."""
    assert [format_value(value) for value in (1.0, 0.0, 0.5, 0.99985, 0.999999, 0.00002)] == [
        "1.000", "0.000", "0.500", "0.9999", "0.9999990", "0.00002",
    ]  # fmt: skip


def test_each_kind_is_scored_with_its_interval(numerals: RunRecord) -> None:
    """Accuracy by form and by magnitude, in the order of their values."""
    kinds = breakdowns.by_kind(numerals)
    assert set(kinds) == {"form", "magnitude"}
    assert [kind.name for kind in kinds["magnitude"]] == [str(size) for size in range(4, 16)]
    assert sum(kind.n for kind in kinds["form"]) == 300
    assert all(kind.low <= kind.value <= kind.high for values in kinds.values() for kind in values)


def test_collapse_is_seen_in_the_distribution_of_predictions() -> None:
    """✨ and 😀 for everything: the model's share stands beside the data's."""
    shares = {item.name: item for item in breakdowns.label_shares(sample_records.emoji(300))}
    assert shares["✨"].model > 2 * shares["✨"].data
    assert not breakdowns.label_shares(sample_records.numerals(50))


def test_a_chart_keeps_emoji_and_japanese_as_text(numerals: RunRecord) -> None:
    """Boxes on an axis tell nothing: the letters are text in the reader's own fonts."""
    svg = charts.chart(sample_records.emoji(200), "predictions", "ja")
    assert "✨" in svg
    assert "割合" in svg
    assert "font-family" not in svg
    assert "事前分布のエントロピー" in charts.chart(numerals, "loss", "ja")


def test_every_phrase_exists_in_both_languages(numerals: RunRecord) -> None:
    """A Japanese record has no English heading left in it, and the other way round."""
    japanese = re.compile(r"[ぁ-んァ-ヶ]")
    english = markdown(replace(numerals, predictions=()), "en")
    assert not japanese.search(english)
    assert language("ja") == "ja"
    assert language("en") == "en"


def test_the_locale_chooses_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --lang, a Japanese machine gets a Japanese record."""
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    assert language() == "ja"
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert language() == "en"


def test_the_data_are_counted_for_each_side() -> None:
    """Counts, lengths and labels as they stand in the manifest."""
    train = (Example("あい", "😀 ✨"), Example("うえお", "✨"))
    report = dataset_statistics(Split(train, (), (Example("か", "😀"),)), str.split)
    assert report["splits"]["train"]["examples"] == 2
    assert report["splits"]["train"]["source"] == {"mean": 2.5, "median": 2.5, "max": 3}
    assert report["splits"]["dev"] == {"examples": 0, "groups": 0}
    assert sorted(map(tuple, report["answers"])) == [("✨", 2), ("😀", 2)]
    assert json.loads(json.dumps(report)) == report


def test_exam_items_of_the_source_of_the_training_examples_are_counted(numerals: RunRecord) -> None:
    """An exam made by the program that made the training rows is easier than data that others wrote, and says so."""
    train = (Example("一", "1", origin="rule"), Example("本", "📚", origin="hand s0001"))
    exam = (
        Example("二", "2", origin="rule", group="a"),
        Example("弐", "2", origin="rule", group="a"),
        Example("空", "☁️", origin="hand s0002"),
        Example("参拾", "30", origin="others.csv", subset="by hand"),
    )
    statistics = dataset_statistics(Split(train, (), exam))
    assert statistics["exam_parts"] == {
        "": {"items": 3, "groups": 2, "same_source": 3},
        "by hand": {"items": 1, "groups": 1, "same_source": 0},
    }
    assert "3 of 4 exam items come from the program" in markdown(replace(numerals, dataset=statistics), "en")


# ── series ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_series_stands_side_by_side_with_what_differed(numerals: RunRecord) -> None:
    """One row a run, the keys that were varied, the forest plot, and the runs that failed with their reason."""
    runs = tuple(
        replace(numerals, name=f"run-{note}", config={"task": {"notation": note}}) for note in ("plain", "pds")
    )
    sweep = SweepRecord("notations", runs, ("task.notation",), failed={"run-x": "loss is NaN in step 3"})
    page = sweep_html(sweep, "en")
    assert page.count("<tr>") >= 4
    assert "All runs, with 95% intervals" in page
    assert "loss is NaN in step 3" in page
    assert "| run-pds | pds |" in sweep_markdown(sweep, "en")


def test_a_sweep_is_reported_in_the_order_of_the_logs(numerals: RunRecord) -> None:
    """Both logs are sweeps: what came out, the data, the machine, trials with causes and cures, what comes next."""
    warned = Finding("learning-rate", "warn", "the rate is high", do="Take 1e-4.")
    alone = Finding("collapse", "stop", "one answer for all", do="Train sets.")
    runs = (replace(numerals, name="a", findings=(warned,)), replace(numerals, name="b", findings=(warned, alone)))
    compared = ComparedSettings("groups", "plain", "groups and plain cannot be report apart", decided=False, needed=390)
    titles = {"a": "groups, seed 0", "b": "plain, seed 0"}
    sweep = SweepRecord("n", runs, ("task.notation",), ("Best on dev: groups.",), {}, "a", titles, {}, (compared,))
    report = sweep_markdown(sweep, "ja")
    headings = [line[3:] for line in report.splitlines() if line.startswith("## ")]
    assert [heading.partition("（")[0] for heading in headings] == list(SWEEP_HEADINGS)
    (causes,) = (block for block in report.split("\n\n") if block.startswith("| 試行 | 重要度"))
    assert [line.split(" | ")[:3] for line in causes.splitlines()[2:]] == [
        ["| plain, seed 0", "停止", "collapse"], ["| 2件すべて", "警告", "learning-rate"],
    ]  # fmt: skip
    assert "groups and plain cannot be report apart" in report
    following = report[report.index("## 次のステップ") :]
    assert "Take 1e-4." in following and "Train sets." in following
    assert "約390問" in report
    assert report.index("Best on dev") < report.index("有意に異なる設定はない（比較1件）")


def test_a_sweep_without_a_single_run_still_says_why() -> None:
    """Every trial failed: that is what the report is for then."""
    sweep = SweepRecord("s", (), ("seed",), ("Nothing was trained.",), {"width 16": "out of memory"})
    for report in (sweep_markdown(sweep, "en"), sweep_html(sweep, "en")):
        assert "out of memory" in report and "width 16" in report and "Nothing was trained." in report


def test_runs_of_different_exams_get_no_common_plot(numerals: RunRecord) -> None:
    """Figures from different exams are not laid side by side as if they were one."""
    sweep = SweepRecord("mixed", (numerals, sample_records.emoji(60)))
    page = sweep_html(sweep, "en")
    assert "cannot be compared" in page
    assert "All runs, with 95% intervals" not in page
    assert "cannot be compared" in sweep_markdown(sweep, "en")


def test_the_index_leads_to_every_run(numerals: RunRecord) -> None:
    """`report --all`: one page, a link to each report beside it, names of every kind."""
    page = Page(index_page([replace(numerals, name="絵文字 1"), RunRecord("empty")], "ja"))
    links = [attributes.get("href") for tag, attributes in page.elements if tag == "a"]
    assert sorted(str(link) for link in links) == ["%E7%B5%B5%E6%96%87%E5%AD%97%201/report.html", "empty/report.html"]
    assert index_page([], "en")


# ── inert ───────────────────────────────────────────────────────────────────────────────────────────────


def sweep_of(hostile: RunRecord) -> SweepRecord:
    """Hostile text wherever a series can hold some."""
    compared = tuple(ComparedSettings(text, text, text, decided=True, needed=300) for text in HOSTILE[:60])
    runs = (hostile, replace(hostile, name="b"))
    titles, failed = {run.name: HOSTILE[2] for run in runs}, {HOSTILE[0]: HOSTILE[1]}
    return SweepRecord(HOSTILE[3], runs, (HOSTILE[4],), HOSTILE[:60], failed, "b", titles, {}, compared)


def test_hostile_strings_stay_text_in_a_sweep(hostile: RunRecord) -> None:
    """Names of trials, reasons and comparisons hold whatever somebody wrote into a config."""
    sweep = sweep_of(hostile)
    for lang in ("en", "ja"):
        page = Page(sweep_html(sweep, lang))
        assert {tag for tag, _ in page.elements} <= ELEMENTS
        assert sum(tag == "script" for tag, _ in page.elements) == 1
        for _, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "action")]
            assert str(attributes.get("href") or "#").startswith("#")
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    made = Page(reader.render(sweep_markdown(sweep, "en")))
    tags = {tag for tag, _ in made.elements}
    assert tags <= {"h1", "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"}
    for source in (sweep_html(sweep, "en"), sweep_markdown(sweep, "en")):
        assert not re.search(r"[\u202a-\u202e\u2066-\u2069\x00-\x08\x1b\x7f\x9b]", source)


def test_three_hundred_hostile_strings_stay_text_in_html(hostile: RunRecord) -> None:
    """No element, handler, link or script of theirs; the table's data comes back character by character."""
    assert len(HOSTILE) >= 300
    for lang in ("en", "ja"):
        source = html(hostile, lang)
        page = Page(source)
        assert {tag for tag, _ in page.elements} <= ELEMENTS
        assert sum(tag == "script" for tag, _ in page.elements) == 2
        for tag, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "action")], (
                tag
            )
            assert str(attributes.get("href") or "#").startswith("#")
        assert [row[0] for row in page.island()["items"]] == list(HOSTILE)
        # Nothing that turns, hides or steers is left as itself outside of escapes in the island.
        assert not re.search(r"[\u202a-\u202e\u2066-\u2069\x00-\x08\x1b\x7f\x9b]", source)
        shown = "".join(page.text)
        for item in hostile.findings:
            assert visible(item.what).strip() in shown


def test_three_hundred_hostile_strings_stay_text_in_markdown(hostile: RunRecord) -> None:
    """Read by a Markdown reader that lets markup through, nothing but text comes out of them."""
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    source = markdown(hostile, "en")
    page = Page(reader.render(source))
    tags = {tag for tag, _ in page.elements}
    assert tags <= {"h1", "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"}
    assert all(set(attributes) <= {"style"} for _, attributes in page.elements)
    shown = " ".join("".join(page.text).split())
    for item in hostile.findings:
        assert " ".join(visible(item.what).split()) in shown, item.what
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\x00-\x08\x1b\x7f\x9b]", source)


def test_a_table_in_markdown_keeps_its_columns(hostile: RunRecord) -> None:
    """A bar or a line break in the data shifts no column."""
    lines = [line for line in markdown(hostile, "en").splitlines() if line.startswith("| warning |")]
    assert len(lines) == 60
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {6}


def test_the_csv_comes_back_as_it_was_asked_and_answered(hostile: RunRecord) -> None:
    """A table for programs is verbatim; one for spreadsheets holds no formula."""
    rows = list(tables.DictReader(io.StringIO(csv(hostile), newline="")))
    assert [row["source"] for row in rows] == list(HOSTILE)
    assert [row["match"] for row in rows] == [str(bool(number % 2)).lower() for number in range(len(HOSTILE))]
    guarded = list(tables.reader(io.StringIO(csv(hostile, for_spreadsheet=True), newline="")))
    assert guarded[0] == ["source", "target", "inference", "match"]
    assert not [cell for row in guarded for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert [row[0] for row in guarded[1:]] == [spreadsheet_cell(text) for text in HOSTILE]


def test_a_formula_is_named_by_an_apostrophe() -> None:
    """Every beginning that a spreadsheet computes."""
    assert [spreadsheet_cell(text) for text in ("=1", "+1", "-1", "@x", "\tx", "\rx", "1=1", "")] == [
        "'=1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "1=1", "",
    ]  # fmt: skip


def test_what_cannot_be_seen_is_shown_by_name() -> None:
    """A reader sees that a mark is there; emoji made of several characters stay whole."""
    assert visible("a\u202eb\x1b[31m\n\x00") == "a⟨U+202E⟩b␛[31m⏎␀"
    for whole in ("👨‍👩‍👧‍👦", "❤️", "1️⃣", "か\u3099", "三万八千"):
        assert visible(whole) == whole
    assert short("👨‍👩‍👧‍👦" * 5, 3) == "👨‍👩‍👧‍👦👨‍👩‍👧‍👦…"
    assert len(short("a\u0301" + "\u0301" * 10_000, 5)) < 100


def test_the_page_allows_one_script_and_nothing_from_outside(pages: dict[str, str]) -> None:
    """The policy names our script by its hash; there is no address in the page to ask for anything."""
    source = pages["en"]
    page = Page(source)
    policy = next(str(item["content"]) for tag, item in page.elements if item.get("http-equiv"))
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert not [item for _, item in page.elements if {"src", "srcset", "data", "action"} & set(item)]
    assert not re.findall(r"(?:url\(|@import|https?://)", source.replace("http://www.w3.org/2000/svg", ""))


def test_twenty_thousand_answers_make_a_page_of_reasonable_size() -> None:
    """A large exam can still be opened on a phone: rows are made from compact data, a hundred at a time."""
    record = sample_records.numerals(20_000)
    source = html(record, "en")
    assert len(source.encode()) < 3_000_000
    assert len(Page(source).island()["items"]) == 20_000


def test_reports_need_nothing_heavy_to_be_imported() -> None:
    """`import terakoya.reporting` is light: charts and templates are loaded when a page is made."""
    heavy = ("torch", "numpy", "scipy", "altair", "vl_convert", "jinja2", "pydantic")
    body = f"import sys, terakoya.reporting; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_packages_for_charts_the_report_is_whole_and_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`make run` installs neither altair nor vl-convert; tables, verdict and predictions need neither."""
    record = read_record(FIXTURE)
    assert "<svg" in html(record) and "terakoya[charts]" not in html(record)
    monkeypatch.setattr(charts, "available", lambda: False)
    for lang, heading in (("en", "Scores"), ("ja", "評価指標")):
        page = Page(html(record, lang))
        text = "".join(page.text)
        assert "pip install 'terakoya[charts]'" in text and heading in text
        assert not any(name == "svg" for name, _ in page.elements)
