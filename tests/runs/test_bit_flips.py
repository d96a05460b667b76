"""A flipped bit is noticed: in a journal at its line, in the results of a run by the file's name."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from benchmarks.faults.bit_flips import flip, make_ledger, make_run, read_run, tallies, try_flips
from terakoya.errors import CorruptError
from terakoya.generation.teacher.ledger import Ledger
from terakoya.pipeline import run as pipeline
from terakoya.runs import Journal, Run, read_lines
from terakoya.runs.journal import journal_bytes
from terakoya.runs.result import read_result

OLD = '{"n": 1, "text": "古い"}\n{"n": 2}\n'.encode()
RECORDS = [{"n": 1, "text": "三万八千"}, {"n": 2}, {}, {"n": 4, "deep": {"crc32": "00000000"}}]


def written(path: Path, before: bytes = b"") -> bytes:
    path.write_bytes(before)
    journal = Journal(path)
    for record in RECORDS:
        journal.append(record)
    journal.close()
    return path.read_bytes()


def test_every_bit_of_every_line_is_guarded(tmp_path: Path) -> None:
    """All of them, line breaks and checksums included: noticed at the line in which the bit lies."""
    path = tmp_path / "a.jsonl"
    whole = written(path)
    assert list(read_lines(path)) == RECORDS
    for bit in range(8 * len(whole)):
        path.write_bytes(whole)
        flip(path, bit)
        number = whole[: bit // 8].count(b"\n") + 1
        with pytest.raises(CorruptError, match=rf"line {number}\b"):
            list(read_lines(path))


def test_a_writer_does_not_go_on_behind_a_flipped_bit(tmp_path: Path) -> None:
    """The end of a damaged last line looks like one that a kill has cut: it must not be dropped."""
    path = tmp_path / "a.jsonl"
    whole = written(path)
    for bit in range(8 * (len(whole) - 1), 8 * len(whole)):
        path.write_bytes(whole)
        flip(path, bit)
        damaged = path.read_bytes()
        with pytest.raises(CorruptError, match="line 4"):
            Journal(path).append({"n": 5})
        assert path.read_bytes() == damaged


def test_lines_of_an_older_version_are_covered_by_the_first_checksum(tmp_path: Path) -> None:
    """Old journals open, go on, and are guarded from then on; a flip that is no JSON is named at once."""
    path = tmp_path / "a.jsonl"
    whole = written(path, OLD)
    assert list(read_lines(path)) == [{"n": 1, "text": "古い"}, {"n": 2}, *RECORDS]
    for bit in range(8 * len(whole)):
        path.write_bytes(whole)
        flip(path, bit)
        with pytest.raises(CorruptError, match=r"line \d"):
            list(read_lines(path))


def test_an_old_journal_without_checksums_still_opens(tmp_path: Path) -> None:
    """Nothing paid for before the update is lost."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(OLD)
    assert [record["n"] for record in read_lines(path)] == [1, 2]
    path.write_bytes(OLD[:-1])
    assert [record["n"] for record in read_lines(path)] == [1, 2]
    path.write_bytes(OLD[:-4])
    assert [record["n"] for record in read_lines(path)] == [1]


@pytest.mark.parametrize("change", ["removed", "repeated", "exchanged", "inserted", "from another journal"])
def test_a_line_that_was_moved_is_noticed(change: str, tmp_path: Path) -> None:
    """Checksums are chained: lines that are right by themselves must also follow each other."""
    path = tmp_path / "a.jsonl"
    lines = written(path).splitlines(keepends=True)
    other = journal_bytes([{"n": 7}, {"n": 8}]).splitlines(keepends=True)
    changed = {
        "removed": [lines[0], *lines[2:]],
        "repeated": [lines[0], lines[1], *lines[1:]],
        "exchanged": [lines[1], lines[0], *lines[2:]],
        "inserted": [lines[0], b'{"n": 9}\n', *lines[1:]],
        "from another journal": [lines[0], other[1], *lines[2:]],
    }[change]
    path.write_bytes(b"".join(changed))
    with pytest.raises(CorruptError, match=r"line [123] was changed"):
        list(read_lines(path))


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_line_that_a_kill_has_cut_is_no_damage(cut: int, tmp_path: Path) -> None:
    """Wherever a write ended: the lines before it are there, and the journal goes on."""
    path = tmp_path / "a.jsonl"
    whole = written(path)
    path.write_bytes(whole[:-cut])
    kept = RECORDS if cut == 1 else RECORDS[: whole[:-cut].count(b"\n")]
    assert list(read_lines(path)) == kept
    journal = Journal(path)
    journal.append({"n": 5})
    journal.close()
    assert list(read_lines(path)) == [*kept, {"n": 5}]


@pytest.mark.parametrize("line", ["{}", '{"n": "1"}', '{"n": true}', '{"n": null}', "[1]", "7", '"n"', "null"])
def test_a_line_that_is_json_but_wrong_is_refused_with_its_number(line: str, tmp_path: Path) -> None:
    """No KeyError of ours: which line it is, and which value."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(CorruptError, match="line 2"):
        list(read_lines(path, {"n": int}))


def test_a_thousand_flips_in_a_ledger_are_noticed(tmp_path: Path) -> None:
    """The short form of benchmarks/faults/bit_flips.py."""
    journal = make_ledger(tmp_path / "ledger", requests=12)
    tally = try_flips([journal], lambda: Ledger(journal.parent, max_concurrent=1, max_tokens=8), 300, Random(1))
    assert (tally.noticed, tally.at_line) == (300, 300), tally.missed


# ── the results of a run ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("finished"))


def test_the_results_of_a_run_are_sealed_when_it_ends(finished: Path) -> None:
    """Scores, predictions, findings, manifest, and the seal itself: one bit, and the file is refused by name."""
    read_run(finished)
    names = ("scores.json", "predictions.jsonl", "findings.jsonl", "manifest.json", "seal.json")
    paths = [finished / name for name in names if (finished / name).is_file()]
    assert len(paths) >= 4
    tally = try_flips(paths, lambda: read_run(finished), 200, Random(2))
    assert tally.noticed == 200, tally.missed
    read_run(finished)


@pytest.mark.parametrize("name", ["scores.json", "predictions.jsonl", "manifest.json"])
def test_a_result_that_was_edited_by_hand_is_refused(name: str, finished: Path) -> None:
    """Valid JSON, a better score: the file is named, and nothing is believed."""
    path = finished / name
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0", b"9", 3))
    try:
        with pytest.raises(CorruptError, match=name):
            read_run(finished)
        path.unlink()
        with pytest.raises(CorruptError):
            read_run(finished)
    finally:
        path.write_bytes(whole)
    read_run(finished)


def test_a_run_that_goes_on_is_not_refused_for_its_own_seal(tmp_path: Path) -> None:
    """Whoever writes the results again removes the seal first, and seals them again at the end."""
    with Run.create(tmp_path, "k") as run:
        run.append("findings.jsonl", {"check": "a"})
        run.finish("interrupted")
    assert (run.path / "seal.json").is_file()
    with Run.resume(run.path) as again:
        again.mark_resumed()
        assert not (run.path / "seal.json").exists()
        again.append("findings.jsonl", {"check": "b"})
        assert len(again.read_lines("findings.jsonl")) == 2
        again.finish("done")
    assert Run.open(run.path).state == "done"
    assert len(Run.open(run.path).read_lines("findings.jsonl")) == 2


def test_a_run_killed_before_its_seal_is_sealed_when_it_is_looked_at_again(finished: Path) -> None:
    """A kill between the last manifest and the seal must not leave results that nothing guards."""
    (finished / "seal.json").unlink()
    read_run(finished)
    pipeline.run(str(finished))
    assert (finished / "seal.json").is_file()
    read_run(finished)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scores.json", "{}"), ("scores.json", "[]"), ("scores.json", '{"scores": [{}], "verdict": {}}'),
        ("scores.json", '{"scores": 7, "verdict": {"state": "learned", "words": {}}}'),
        ("predictions.jsonl", '{"source": "a"}\n'), ("predictions.jsonl", "[]\n"),
        ("findings.jsonl", '{"check": 7}\n'), ("findings.jsonl", '{"level": "warn"}\n'),
    ],
)  # fmt: skip
def test_results_that_are_json_but_wrong_are_refused_by_name(name: str, text: str, finished: Path) -> None:
    """Of an old run, which has no seal: no KeyError of ours."""
    before = {path: path.read_bytes() for path in (finished / name, finished / "seal.json") if path.is_file()}
    (finished / "seal.json").unlink()
    (finished / name).write_text(text, encoding="utf-8")
    try:
        with pytest.raises(CorruptError, match=name):
            read_result(finished)
    finally:
        (finished / name).unlink()
        for path, data in before.items():
            path.write_bytes(data)


def test_all_kinds_of_files_are_guarded(tmp_path: Path) -> None:
    """Journal, results, checkpoint, saved model: a few flips each; `make crash-tests` takes a thousand."""
    found = tallies(20, tmp_path)
    assert len(found) == 4
    assert {kind: tally.missed for kind, tally in found.items() if tally.noticed < tally.flips} == {}
