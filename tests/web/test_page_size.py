"""The page stays small enough to be read in an evening: its code (docstrings apart), templates and style."""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path

import terakoya.web

WEB = Path(terakoya.web.__file__).parent
MOST_CODE, MOST_TEMPLATES = 1_500, 1_500
OURS = ("templates/*.j2", "static/page.css", "static/page.js", "static/*.css", "static/*.js")
VENDORED = (WEB / "static" / "htmx.min.js", Path(__file__).parent / "axe-core" / "axe.min.js")


def code_lines(source: str) -> int:
    """Lines that are neither blank nor a comment nor part of a docstring."""
    said: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        known = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if known and ast.get_docstring(node) is not None:
            said |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(1 for number, line in lines if number not in said and line.strip() and line.strip()[0] != "#")


def test_code_templates_and_style_stay_small() -> None:
    """1,500 lines of Python, and 1,500 of templates, style and script together."""
    assert sum(code_lines(path.read_text(encoding="utf-8")) for path in WEB.rglob("*.py")) <= MOST_CODE
    files = {path for pattern in OURS for path in WEB.glob(pattern)} - set(VENDORED)
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= MOST_TEMPLATES


def test_vendored_files_are_what_they_say() -> None:
    """Unchanged, with their source and their licence beside them."""
    for path in VENDORED:
        about = next(path.parent.glob("*SOURCE.txt")).read_text(encoding="utf-8")
        digest = re.search(r"sha256 ([0-9a-f]{64})", about)
        assert digest is not None and hashlib.sha256(path.read_bytes()).hexdigest() == digest.group(1)
        assert next(path.parent.glob("*LICENSE.txt")).is_file()


def test_no_template_needs_an_inline_script_or_style() -> None:
    """The policy would refuse it, and so would a reader."""
    for path in WEB.glob("templates/*.j2"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|hx-on|javascript:|\|safe", text), path.name
        assert not re.search(r"<script(?![^>]* src=)", text), path.name
