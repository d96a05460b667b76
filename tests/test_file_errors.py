"""What would never end, or lies elsewhere, is refused before it is opened, wherever a path is read."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from terakoya.cli.main import main
from terakoya.errors import CorruptError, DataError
from terakoya.errors.files import file_read_errors, require_plain_file, require_plain_folder, require_regular_file
from terakoya.runs import Index, Lock

Make = Callable[[Path], object]


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


SPECIAL: dict[str, Make] = {
    "pipe": os.mkfifo,
    "socket": a_socket,
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
}
LOOP: dict[str, Make] = {"link to itself": lambda path: path.symlink_to(path)}
COMMANDS = (
    ("run", "x.toml"),
    ("audit", "x.toml"),
    ("audit", "x.csv"),
    ("audit", "x.jsonl"),
    ("audit", "x.parquet"),
    ("run", "names-x.toml"),
    ("sweep", "x.toml"),
    ("generate", "x.toml", "--estimate"),
    ("compare", "x.csv", "x.csv"),
    ("predict", "nothing", "--input", "x.csv"),
    ("predict", "nothing", "--input", "x.txt"),
    ("evaluate", "nothing", "--data", "x.csv"),
    ("run", "x.toml", "--trust", "x.py"),
)


@pytest.fixture(autouse=True)
def _ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Waiting for a pipe is a failure; one stands in the folder, as the path of a socket is short."""

    def give_up(*_: object) -> None:
        raise AssertionError("the command does not end")

    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", SPECIAL | LOOP)
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_opens_a_special_file(
    words: tuple[str, ...], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names-x.toml").write_text('[task]\ndata = "x.csv"\n')
    for name in ("x.toml", "x.csv", "x.jsonl", "x.txt", "x.parquet", "x.py"):
        (SPECIAL | LOOP)[kind](tmp_path / name)
    assert main(list(words)) in (2, 3)
    assert "x." in (shown := capsys.readouterr().err) or "nothing" in shown


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_file_is_refused_before_the_block_begins(kind: str, tmp_path: Path) -> None:
    SPECIAL[kind](tmp_path / "x")
    with pytest.raises(DataError, match="pipe, socket or device"):
        require_regular_file(Path("x"))
    with pytest.raises(DataError, match="pipe, socket or device"), file_read_errors(Path("x")):
        raise AssertionError("the file was about to be opened")


def plain(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "one").write_text("1")
    (folder / "two").symlink_to("a/one")
    (folder / "twice").symlink_to("a")
    (folder / ".#lock").symlink_to("nobody@nowhere:1")


def test_a_folder_of_files_and_inner_links_is_plain(tmp_path: Path) -> None:
    plain(tmp_path)
    require_plain_folder(tmp_path)
    (tmp_path / "by-link").mkdir()
    (tmp_path / "by-link" / "link").symlink_to(tmp_path / "a")
    require_plain_folder(tmp_path / "by-link" / "link")
    with pytest.raises(CorruptError, match="leads out"):
        require_plain_folder(tmp_path / "by-link")
    require_plain_folder(tmp_path / "by-link", root=tmp_path)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (os.mkfifo, "pipe"),
        (a_socket, "pipe"),
        (lambda path: path.symlink_to("/etc/passwd"), "leads out"),
        (lambda path: path.symlink_to("../../elsewhere"), "leads"),
        (lambda path: path.symlink_to("nothing"), "nowhere"),
        (lambda path: path.symlink_to(path), "circle"),
        (lambda path: path.symlink_to(".."), "circle|leads out"),
        (lambda path: path.symlink_to("."), "circle"),
    ],
)
@pytest.mark.parametrize("place", ["x", "a/x", "a/b/x", "a/b/.x"])
def test_one_entry_makes_a_folder_no_plain_one(make: Make, word: str, place: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    plain(folder)
    os.chdir((folder / place).parent)
    make((folder / place).parent / Path(place).name)
    with pytest.raises(CorruptError, match=word) as caught:
        require_plain_folder(folder)
    assert Path(place).name in caught.value.where and caught.value.do


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """The index beside a stranger's run, and its lock, may be links to files of the user's."""
    (tmp_path / "mine").write_text("mine")
    for name in (".index.jsonl", ".index.lock"):
        runs = tmp_path / f"runs{name}"
        runs.mkdir()
        (runs / name).symlink_to(tmp_path / "mine")
        with pytest.raises(CorruptError, match="link"):
            Index(runs).open_exam("x", "y")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(CorruptError):
        Lock(tmp_path / "lock").acquire()
    with pytest.raises(CorruptError):
        require_plain_file(tmp_path / "lock")
    assert (tmp_path / "mine").read_text() == "mine"
