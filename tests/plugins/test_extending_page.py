"""docs/extending.md: what it shows is run, and it names every door and every member that a door needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from terakoya.codec.choose import _METHODS
from terakoya.config import parse_config
from terakoya.errors.third_party import entry_points

ROOT = Path(__file__).parent.parent.parent
PAGES = ("extending.md", "extending.ja.md")


def _blocks(page: str) -> list[tuple[str, str, str]]:
    """(language, title or "", code) of every block."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r'```(\w+)(?: title="([^"]+)")?\n(.*?)```', text, re.S)


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs_from_top_to_bottom(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who pastes it block by block sees no error; each comment says what the line before it gives."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for language, title, code in _blocks(page):
        if title:
            Path(title).write_text(code, encoding="utf-8")
        if title == "shout.toml":
            parse_config(code, where=title)
        if language == "python" and not title:
            exec(compile(code, page, "exec"), names)
    assert names["result"].scores[0].metric == "same_length"  # type: ignore[attr-defined]
    assert names["close"].signature == "close|letters:1|v:1"  # type: ignore[attr-defined]
    message = str(names["message"])
    assert "broken.py, line 2: 'task' failed: ZeroDivisionError: division by zero" in message


@pytest.mark.parametrize("page", PAGES)
def test_the_page_names_every_door(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert all(f"`{group}`" in text for group in entry_points.GROUPS.values())
    assert all(f"`{name}(" in text for name in _METHODS)


def test_both_languages_show_the_same_code() -> None:
    assert _blocks("extending.md") == _blocks("extending.ja.md")


def test_other_pages_lead_there() -> None:
    """A page that no page names is not found."""
    assert "extending.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "extending.md" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
