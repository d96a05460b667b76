"""Documentation follows the code: settings page, READMEs, shipped experiments, lessons and glossary."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import terakoya
from terakoya.cli.main import app
from terakoya.config import known_keys, parse_config

ROOT = Path(__file__).parent.parent
HOUSE_WORDS = (
    "task", "codec", "teacher", "exam", "finding", "verdict", "ledger", "guard", "preflight", "run", "seal",
)  # fmt: skip


def test_the_settings_page_is_generated_from_the_config() -> None:
    """A default that changed in the code and not on the page misleads whoever reads the page."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "docs" / "make.py")
    assert spec is not None and spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    for lang, name in make.LANGUAGES.items():
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert page == make.settings(lang), "run: python docs/make.py"


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_page_of_errors_is_made_from_the_code(lang: str) -> None:
    """Whoever looks an exit code up finds what the command line returns today."""
    import terakoya.errors
    from terakoya.errors.reference import error_classes, exit_codes

    spec = importlib.util.spec_from_file_location("make", ROOT / "docs" / "make.py")
    assert spec is not None and spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    page = (ROOT / "docs" / make.ERRORS[lang]).read_text(encoding="utf-8")
    assert page == make.errors(lang), "run: python docs/make.py"
    classes = set(terakoya.errors.TerakoyaError.__subclasses__())
    assert {error for error in classes if error.__module__ == "terakoya.errors"} == set(error_classes())
    for error in error_classes():
        assert f"| {error.exit_code} | `{error.__name__}` |" in page
    assert {0, 1, 70, 141} < {one.code for one in exit_codes()}
    assert lang == "en" or not re.findall(r"\| (?:[A-Za-z,]+ ){4}", page)


def test_every_setting_is_on_the_page() -> None:
    """A setting nobody can find is a setting nobody has."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for _, key, _ in known_keys():
        assert f"`{key}`" in page


def test_both_readmes_explain_every_command() -> None:
    """The README explains every command that `--help` lists, in both languages."""
    commands = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    for name in ("README.md", "README.ja.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        missing = [command for command in commands if f"terakoya {command}" not in text]
        assert not missing, f"{name} does not mention {missing}"


def test_every_config_in_the_readme_is_a_config() -> None:
    """A copied example is a valid config."""
    for name in ("README.md", "README.ja.md"):
        for block in re.findall(r"```toml\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.S):
            if "[grid]" not in block:
                parse_config(block, where=name)


def test_every_experiment_that_ships_is_a_config() -> None:
    """A shipped experiment that cannot be read fails here, not for the user who runs it."""
    from terakoya import registry

    for experiment in registry.experiments():
        assert experiment.description, f"{experiment.name} does not say in its first line what it is for"


def test_every_lesson_names_an_existing_test() -> None:
    """The test that a lesson names exists: a renamed test would leave the lesson untested."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8"))
    assert len(named) > 38
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{test}"


def test_the_glossary_explains_every_house_word() -> None:
    """A word that only this project uses is explained beside the field's term, in both languages."""
    english = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    japanese = (ROOT / "docs" / "glossary.ja.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \*\*(\w+)\*\* \|", english, flags=re.M) == list(HOUSE_WORDS)
    assert re.findall(r"^\| \*\*\w+\*\*（(\w+)） \|", japanese, flags=re.M) == list(HOUSE_WORDS)


def test_every_benchmark_that_is_named_exists() -> None:
    """A command of the Makefile or of a page runs a benchmark that is there."""
    for page in (ROOT / "Makefile", ROOT / "README.md", ROOT / "README.ja.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        named = [name.replace(".", "/") + ".py" for name in re.findall(r"-m (benchmarks(?:\.\w+)+)", text)]
        named += re.findall(r"benchmarks/[\w/]+\.(?:py|md|json|jsonl)\b", text)
        missing = [name for name in named if not (ROOT / name).is_file()]
        assert not missing, f"{page.name} names {missing}"


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_the_tree_in_the_readme_is_the_folder(name: str) -> None:
    """A newcomer looks for each room where the README says it is."""
    tree = re.search(r"```\nsrc/terakoya/\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.S)
    assert tree is not None
    named = {line.split()[0].rstrip("/") for line in tree.group(1).splitlines()}
    folder = ROOT / "src" / "terakoya"
    there = {
        path.name
        for path in folder.iterdir()
        if (path.suffix == ".py" or (path.is_dir() and any(path.iterdir())))
        and path.name not in ("__main__.py", "__pycache__")
    }
    assert named == there


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_the_readme_has_no_link_that_an_index_page_cannot_follow(name: str) -> None:
    """A package index shows the README without the repository around it."""
    text = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert all(target.startswith(("https://", "#")) for target in targets), targets


@pytest.mark.parametrize("name", ["README.md", "README.ja.md", "CONTRIBUTING.md", "docs/index.md", "docs/python.md"])
def test_every_path_that_a_page_names_exists(name: str) -> None:
    """What stands in backticks and looks like a path of the repository is one."""
    text = (ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"`((?:docs|src|tests|benchmarks|examples|scripts)/[\w./-]+)`", text)
    missing = [path for path in named if "NAME" not in path and not (ROOT / path.rstrip("/")).exists()]
    assert not missing


def test_the_site_has_no_dead_link_and_asks_nobody_outside(tmp_path: Path) -> None:
    """`make docs` in both languages; a page that loads fonts or scripts from elsewhere is none for offline use."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert (tmp_path / "site" / "ja" / "index.html") in pages
    for page in pages:
        loaded = re.findall(
            r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"?(https?:[^\" >]+)", page.read_text(encoding="utf-8")
        )
        assert not [address for address in loaded if "canonical" not in address], page
    reference = (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    for name in terakoya.__all__:
        if not name.startswith("__") and name not in ("Config", "Split"):
            assert name in reference, name
