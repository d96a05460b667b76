"""Message catalogues: extracts every message of the package, updates the translations and compiles them.

make messages            after a message was added, changed or removed
make messages NEW=de     begins a catalogue for another language

What is left to translate is printed; a changed message keeps its old translation, marked fuzzy, until it was read
again. The compiled files are committed, so that neither installation nor a checkout needs Babel.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from terakoya.pipeline.scaffold import comment

SRC = Path(__file__).resolve().parent.parent / "src" / "terakoya"
LOCALE = SRC / "locale"
_WIDTH = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--new", default="", help="code of a language to begin")
    new = parser.parse_args().new
    if new:
        (LOCALE / new / "LC_MESSAGES").mkdir(parents=True, exist_ok=True)
        write(Catalog(locale=new, project="terakoya", fuzzy=False), LOCALE / new / "LC_MESSAGES" / "terakoya.po")
    template = extract()
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/terakoya.po")):
        catalogue = read(path)
        catalogue.update(template, update_creation_date=False)
        write(catalogue, path)
        left = [entry.id for entry in catalogue if entry.id and (entry.fuzzy or not entry.string)]
        print(f"{path.parent.parent.name}: {len(catalogue)} messages, {len(left)} to translate")
        for message in left:
            print(f"  {message}")
    return 0


def extract() -> Catalog:
    """Every message of the package: `_("…")` in Python, and the comments of TOML files that users are shown."""
    methods: list[tuple[str, Any]] = [
        ("**.py", "python"),
        ("web/templates/*.j2", "jinja2.ext:babel_extract"),
        ("pipeline/scaffold/*.toml", _comments),
        ("experiments/**.toml", _first_comment),
    ]
    catalogue = Catalog()
    for file, line, message, comments, context in extract_from_dir(SRC, methods, keywords={"_": None}):
        place = (f"src/terakoya/{Path(file).as_posix()}", line)
        catalogue.add(message, locations=[place], auto_comments=comments, context=context)
    return catalogue


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def write(catalogue: Catalog, path: Path) -> None:
    """The .po file for people and the .mo file for programs."""
    for entry in catalogue:
        entry.flags -= {"python-format", "python-brace-format"}  # Babel takes "95% interval" for a format
    with path.open("wb") as file:
        write_po(file, catalogue, width=_WIDTH, sort_by_file=True, ignore_obsolete=True, include_lineno=False)
    with path.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalogue)


def _comments(file: Any, *_rules: Any, **_options: Any) -> Iterator[tuple[int, str, str, list[str]]]:
    """Every comment: of the config that `terakoya new` writes."""
    for number, line in enumerate(file.read().decode("utf-8").splitlines(), 1):
        text = comment(line)[1]
        if text:
            yield number, "_", text, []


def _first_comment(file: Any, *_rules: Any, **_options: Any) -> Iterator[tuple[int, str, str, list[str]]]:
    """The first line where it is a comment: what an experiment or a series is for, in `terakoya list`."""
    text = comment(file.readline().decode("utf-8").rstrip("\r\n"))[1]
    if text:
        yield 1, "_", text, []


if __name__ == "__main__":
    raise SystemExit(main())
