"""A file that cannot be read says what is wrong with it, wherever it is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from terakoya.config import read_config
from terakoya.data.formats import read_rows
from terakoya.errors import ConfigError, DataError, TerakoyaError
from terakoya.errors.files import file_read_errors, parse_toml, read_text
from terakoya.generation.recipe import find_recipe
from terakoya.pipeline.predict import _read
from terakoya.sweeps.plan import read_sweep


def _folder(path: Path) -> None:
    path.mkdir()


def _shift_jis(path: Path) -> None:
    path.write_bytes("雨の日は家で本を読む。".encode("shift-jis"))


def _loop(path: Path) -> None:
    path.symlink_to(path)


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda path: None, "no such"),
    "folder": (_folder, "a folder"),
    "another encoding": (_shift_jis, "not utf-8"),
    "a link to itself": (_loop, "cannot be read"),
}
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "config": ("config.toml", read_config),
    "series": ("series.toml", read_sweep),
    "questions": ("questions.txt", lambda path: list(_read(str(path)))),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_says_what_is_wrong_and_where(tmp_path: Path, fault: str, reader: str) -> None:
    """And what to do about it, in both languages."""
    (make, says), (name, read) = BROKEN[fault], READERS[reader]
    path = tmp_path / name
    make(path)
    with pytest.raises(TerakoyaError) as refused:
        read(path)
    assert says in refused.value.words("en").lower() and name in refused.value.words("en")
    assert refused.value.do and refused.value.words("ja") != refused.value.words("en")


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_may_not_be_read(tmp_path: Path, reader: str) -> None:
    """Whoever runs the tests may be allowed everything, so the system's error is simulated."""
    name, read = READERS[reader]
    (tmp_path / name).write_text("", encoding="utf-8")
    with (
        patch.object(Path, "open", side_effect=PermissionError(13, "Permission denied")),
        pytest.raises(TerakoyaError, match="no permission to read"),
    ):
        read(tmp_path / name)


def test_a_path_that_is_none() -> None:
    """A NUL in it, or a name longer than a file system takes."""
    for path in (Path("a\0b"), Path("x" * 5000)):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_text(path)
        with pytest.raises(DataError):
            list(read_rows(Path(f"{path}.csv")))


def test_a_recipe_in_another_encoding_is_refused_by_file(tmp_path: Path) -> None:
    """It used to fall over; one of its files is named now."""
    place = tmp_path / "mine"
    place.mkdir()
    (place / "recipe.toml").write_text('[[step]]\nname = "a"\n', encoding="utf-8")
    _shift_jis(place / "prompt.txt")
    with pytest.raises(ConfigError, match="not UTF-8") as refused:
        find_recipe("mine", tmp_path)
    assert refused.value.where.endswith(f"mine{os.sep}prompt.txt")


def test_a_mark_at_the_start_belongs_to_no_text(tmp_path: Path) -> None:
    """As editors on Windows write it."""
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfkey = 1\n")
    assert parse_toml(read_text(path), str(path)) == {"key": 1}


def test_toml_that_is_none_is_refused_with_its_line() -> None:
    """Nested without end too."""
    for text in ("a = \n", "a = " + "[" * 5000):
        with pytest.raises(ConfigError, match="not valid TOML"):
            parse_toml(text, "a.toml")


def test_other_faults_pass(tmp_path: Path) -> None:
    """Only reading is explained."""
    with pytest.raises(ZeroDivisionError), file_read_errors(tmp_path):
        _ = 1 / 0
