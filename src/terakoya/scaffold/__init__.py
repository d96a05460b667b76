"""A task of one's own begins here: a small table that can be run as it is, and the smallest config."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.runs import safe_name, write_text


def write(folder: Path) -> list[Path]:
    """FOLDER/NAME.toml and FOLDER/NAME.csv. Refuses where something is already there."""
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
    write_text(config, (ours / "config.toml").read_text(encoding="utf-8").replace("NAME", name))
    return [config, table]
