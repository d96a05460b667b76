"""The page in a real browser, from disk: it predicts as the skill does, and no request leaves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import terakoya as tk
from terakoya.saved_model import Skill, read_skill
from tests.browser import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(number_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (found,) = tk.export(number_run, "page", output=tmp_path_factory.mktemp("pages"))
    return found.artifact


def _sources(skill: Skill) -> list[str]:
    lines = (skill.folder.parent / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["source"] for line in lines]


def test_it_predicts_like_the_skill(browser: Browser, page: Path, number_run: Path) -> None:
    """Every exam item, by the page's own engine; nothing is requested."""
    skill = read_skill(number_run)
    sources = _sources(skill)
    browser.open(page)
    script = """(() => {
      const data = (id) => document.getElementById(id).textContent;
      const skill = openSkill(data("skill"), data("weights"), DIGEST);
      return %s.map((text) => skill.predict(text)).map((one) => [one.text, one.raw, one.probability]);
    })()"""
    found = browser.run(script % json.dumps(sources))
    for one, (text, raw, probability) in zip(skill.predict(sources), found, strict=True):
        assert (one.text, one.raw) == (text, raw)
        assert one.probability == pytest.approx(probability, abs=1e-5)
    assert browser.requested == []


def test_a_visitor_can_use_it(browser: Browser, page: Path, number_run: Path) -> None:
    """Type, press the button, read prediction and probability; in both languages."""
    skill = read_skill(number_run)
    source = next(one for one in _sources(skill) if skill(one) is not None)
    browser.open(page)
    for language, word in (("ja", "予測する"), ("en", "Predict")):
        browser.run(f"document.getElementById('{language}').click()")
        assert browser.run("document.getElementById('predict').textContent") == word
    browser.run(f"document.getElementById('source').value = {json.dumps(source)}")
    browser.run("document.getElementById('predict').click()")
    assert browser.run("document.getElementById('output').textContent") == skill(source)
    assert "%" in browser.run("document.getElementById('probability').textContent")
    assert browser.run("document.getElementById('damaged').hidden") is True
    browser.run("document.getElementById('source').value = 'xyz'; document.getElementById('predict').click()")
    assert browser.run("document.getElementById('output').textContent") == "I do not know"
    assert browser.run("document.getElementById('reason').textContent") != ""
    assert browser.run("document.querySelectorAll('#facts h2').length") >= 3


def test_nothing_can_leave(browser: Browser, page: Path) -> None:
    """The page requests nothing; requests, images and scripts that somebody adds are refused by its own policy."""
    browser.open(page)
    assert browser.requested == []
    assert browser.run("fetch('https://example.com').then(() => 'sent', () => 'refused')") == "refused"
    script = """new Promise((done) => {
      const image = new Image();
      document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));
      image.src = 'https://example.com/a.png';
    })"""
    assert browser.run(script) == "img-src"
    added = "Object.assign(document.createElement('script'), { textContent: 'globalThis.ran = 1' })"
    browser.run(f"(() => {{ document.body.append({added}); }})()")
    assert browser.run("globalThis.ran === undefined") is True


def test_a_damaged_page_says_so(browser: Browser, page: Path, tmp_path: Path) -> None:
    """With one weight changed it shows that, and predicts nothing."""
    html = page.read_text(encoding="utf-8")
    start = html.index('id="weights">') + 5000
    changed = tmp_path / "index.html"
    changed.write_text(html[:start] + ("A" if html[start] != "A" else "B") + html[start + 1 :], encoding="utf-8")
    browser.open(changed)
    assert browser.run("document.getElementById('damaged').hidden") is False
    assert browser.run("document.getElementById('predict').disabled") is True
