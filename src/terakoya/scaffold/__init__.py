"""The start of a task of one's own: a small table that can be run as it is, and the smallest config."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from terakoya.config.explain import SCHEMA_COMMENT, SCHEMA_FILE, json_schema
from terakoya.errors import ConfigError
from terakoya.i18n import _, both, in_language
from terakoya.runs import safe_name, write_json, write_text

_COMMENT = re.compile(r'^(?P<code>(?:[^#"]|"[^"]*")*#[ ]?)(?P<text>[^:].*)$')


def write(folder: Path, lang: str = "en") -> list[Path]:
    """A table and a config to start from (FOLDER/NAME.toml and NAME.csv), and the JSON schema with which an editor
    completes and checks the config.

    folder  must not exist yet; its name becomes the name of both files
    lang    language of the comments in the config
    Returns the paths of the three files, the config first. Raises ConfigError where something is already there.
    """
    name = safe_name(folder.name)
    if folder.exists():
        raise ConfigError(
            both("this already exists", "これはすでにある"),
            where=str(folder),
            do=both("Choose another name; nothing was changed.", "別の名前を選ぶこと。何も変えていない。"),
        )
    folder.mkdir(parents=True)
    ours = resources.files("terakoya.scaffold")
    table, config = folder / f"{name}.csv", folder / f"{name}.toml"
    write_text(table, (ours / "table.csv").read_text(encoding="utf-8"))
    template = (ours / "config.toml").read_text(encoding="utf-8")
    lines = [_translated(line, lang) for line in template.splitlines()]
    write_text(config, "\n".join([SCHEMA_COMMENT, *lines]).replace("NAME", name) + "\n")
    write_json(folder / SCHEMA_FILE, json_schema(lang))
    return [config, table, folder / SCHEMA_FILE]


def comment(line: str) -> tuple[str, str]:
    """A line of TOML as (what stands before its comment, the comment); the second is "" where it has none.

    line  one line, without multi-line strings; `#:schema …`, which editors read, is no comment
    """
    found = _COMMENT.match(line)
    return (found["code"], found["text"]) if found else (line, "")


def _translated(line: str, lang: str) -> str:
    code, text = comment(line)
    return code + in_language(_(text), lang) if text else line
