"""Words are tested too: pages cannot drift from the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from terakoya.cli.main import app
from terakoya.config import known_keys, parse_config

ROOT = Path(__file__).parent.parent


def test_the_page_of_settings_is_made_from_the_config() -> None:
    """A default that changed in the code and not on the page misleads whoever reads the page."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "docs" / "make.py")
    assert spec is not None and spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == make.settings(), "run: python docs/make.py"


def test_every_setting_stands_on_the_page() -> None:
    """A setting nobody can find is a setting nobody has."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for _, key, _ in known_keys():
        assert f"`{key}`" in page


def test_every_command_has_its_paragraph() -> None:
    """What `--help` lists, the README explains, in both languages."""
    commands = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    for name in ("README.md", "README.ja.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        missing = [command for command in commands if f"terakoya {command}" not in text]
        assert not missing, f"{name} does not mention {missing}"


def test_every_config_in_the_readme_is_a_config() -> None:
    """Whoever copies an example gets what it promises."""
    for name in ("README.md", "README.ja.md"):
        for block in re.findall(r"```toml\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.S):
            if "[grid]" not in block:
                parse_config(block, where=name)


def test_every_experiment_that_ships_is_a_config() -> None:
    """An experiment that cannot be read is found here, not by the one who types its name."""
    from terakoya import registry

    for experiment in registry.experiments():
        assert experiment.says, f"{experiment.name} does not say in its first line what it is for"


def test_every_lesson_names_a_test_that_is_there() -> None:
    """A promise whose test was renamed away is no promise."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8"))
    assert len(named) > 38
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{test}"
