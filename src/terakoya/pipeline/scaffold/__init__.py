"""The start of a task of one's own: a small table that can be run as it is, and the smallest config."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from terakoya.config.explain import SCHEMA_COMMENT, SCHEMA_FILE, json_schema
from terakoya.data.formats.many_files import checked_files, is_pattern, place_of
from terakoya.data.formats.remote import is_remote
from terakoya.errors import ConfigError
from terakoya.i18n import _, in_language
from terakoya.runs import safe_name, write_json, write_text

_GOOD_ENOUGH = re.compile(r"^good_enough = 0(?= |$)", re.MULTILINE)
_COMMENT = re.compile(r'^(?P<code>(?:[^#"]|"[^"]*")*#[ ]?)(?P<text>[^:].*)$')


def write(folder: Path, lang: str = "en") -> list[Path]:
    """A table and a config to start from (FOLDER/NAME.toml and NAME.csv), and the JSON schema with which an editor
    completes and checks the config.

    folder  must not exist yet; its name becomes the name of both files
    lang    language of the comments in the config
    Returns the paths of the three files, the config first. Raises ConfigError where something is already there.
    """
    name = safe_name(folder.name)
    _refuse_existing(folder)
    folder.mkdir(parents=True)
    ours = resources.files("terakoya.pipeline.scaffold")
    table, config = folder / f"{name}.csv", folder / f"{name}.toml"
    write_text(table, (ours / "table.csv").read_text(encoding="utf-8"))
    template = (ours / "config.toml").read_text(encoding="utf-8")
    lines = [_translated(line, lang) for line in template.splitlines()]
    write_text(config, "\n".join([SCHEMA_COMMENT, *lines]).replace("NAME", name) + "\n")
    write_json(folder / SCHEMA_FILE, json_schema(lang))
    return [config, table, folder / SCHEMA_FILE]


def write_for_table(folder: Path, data: Path, given: Mapping[str, str], lang: str = "en") -> list[Path]:
    """A commented config for a table that exists (FOLDER/NAME.toml), made by looking at it, and the JSON schema.

    folder  must not exist yet; its name becomes the name of the config
    data    the table, or a pattern, whose first file is looked at; it stays where it is, and a .txt is copied under a
            suffix that says what separates its cells
    given   what the user says himself of it: "encoding", "source", "target", "codec"
    lang    language of the comments
    Returns the paths of the files, the config first. Raises ConfigError where the folder exists, DataError where the
    table cannot be read.
    """
    from terakoya.pipeline.scaffold.table_profile import config_lines, look_at

    name = safe_name(folder.name)
    _refuse_existing(folder)
    pattern, home = place_of(data)
    several = is_pattern(pattern)
    files = checked_files(pattern, home, [], given.get("encoding", "")) if several else []
    profile = look_at(files[0].path if several else data, given)
    folder.mkdir(parents=True)
    made, table = [], data
    if not several and data.suffix.lower() == ".txt":
        table = folder / f"{name}{'.tsv' if profile.delimiter == chr(9) else '.csv'}"
        table.write_bytes(data.read_bytes())
        made = [table]
    place = pattern
    if not is_remote(pattern):
        there = Path.cwd() / table if several else table.resolve()  # a pattern is no file, and no link either
        place = Path(os.path.relpath(there, folder.resolve())).as_posix()
    lines = [SCHEMA_COMMENT]
    for code, says in config_lines(profile, name, place):
        shown = in_language(says, lang).replace("\n", " ") if says else ""
        lines.append(f"{code}  # {shown}" if code and shown else f"# {shown}" if shown else code)
    config = folder / f"{name}.toml"
    write_text(config, "\n".join(lines) + "\n")
    write_json(folder / SCHEMA_FILE, json_schema(lang))
    return [config, *made, folder / SCHEMA_FILE]


def set_good_enough(config: Path, good_enough: float) -> None:
    """Write the mean score that is good enough into a config that was just made.

    config       of `write` or `write_for_table`
    good_enough  mean score, 0 to 1
    """
    text = config.read_text(encoding="utf-8")
    write_text(config, _GOOD_ENOUGH.sub(f"good_enough = {good_enough:g}", text, count=1))


def _refuse_existing(folder: Path) -> None:
    if folder.exists():
        raise ConfigError(
            _("this already exists"),
            where=str(folder),
            do=_("Choose another name; nothing was changed."),
        )


def comment(line: str) -> tuple[str, str]:
    """A line of TOML as (what stands before its comment, the comment); the second is "" where it has none.

    line  one line, without multi-line strings; `#:schema …`, which editors read, is no comment
    """
    found = _COMMENT.match(line)
    return (found["code"], found["text"]) if found else (line, "")


def _translated(line: str, lang: str) -> str:
    code, text = comment(line)
    return code + in_language(_(text), lang) if text else line
