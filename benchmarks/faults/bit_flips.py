"""Single flipped bits: in a ledger's journal, the results of a run, a checkpoint and a saved model.

    python -m benchmarks.faults.bit_flips [--flips 1000] [--write]

Each flip is noticed when the file is refused by name; in a journal also by the number of its line.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.disk_scenarios import fill
from benchmarks.reporting import markdown_table, write_results
from terakoya.errors import TerakoyaError
from terakoya.generation.teacher.ledger import JOURNAL, Ledger
from terakoya.generation.teacher.protocol import NoResponse, RawResponse, TeacherRequest
from terakoya.generation.teacher.spending import RequestCost
from terakoya.pipeline import run as pipeline
from terakoya.records import Turn
from terakoya.runs import Run, seal, verify
from terakoya.runs.result import read_result

_LINE = re.compile(r"(?:line |:)(\d+)\b")


@dataclass
class Tally:
    """Counts over all flips in one kind of file."""

    flips: int = 0
    noticed: int = 0
    at_line: int = 0  # of a journal: noticed at the line that holds the flipped bit
    missed: str = ""  # the first flip that was not noticed


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def try_flips(paths: list[Path], read: Callable[[], object], flips: int, rng: random.Random) -> Tally:
    """Flip random bits, one at a time, and read.

    paths  the files, each drawn equally often
    read   must raise an error that names the file
    """
    tally = Tally()
    for number in range(flips):
        path = paths[number % len(paths)]
        whole = path.read_bytes()
        bit = rng.randrange(8 * len(whole))
        flip(path, bit)
        tally.flips += 1
        try:
            read()
        except TerakoyaError as error:
            tally.noticed += str(path) in str(error) or str(path.parent) in str(error)
            named = _LINE.search(str(error).replace(str(path), ""))
            tally.at_line += bool(named) and int(named[1]) == whole[: bit // 8].count(b"\n") + 1  # type: ignore[index]
        else:
            tally.missed = tally.missed or f"{path.name}, bit {bit}"
        path.write_bytes(whole)
    return tally


def make_ledger(folder: Path, requests: int = 40) -> Path:
    """A ledger with responses, failures, and a request without an outcome; returns its journal."""

    async def go() -> None:
        book = Ledger(folder, max_concurrent=4, max_tokens=8)
        for number in range(requests):
            request = TeacherRequest("emoji", str(number), "", (Turn("user", f"文{number}"),), "m", 8, 0.0, 0)
            reservation = await book.reserve(request, 500)
            if number % 9 == 4:
                book.record_failure(reservation, NoResponse("the connection broke", sent=True))
                continue
            book.record_response(reservation, RawResponse(200, f'{{"choices": [{{"text": "🍎 {number}"}}]}}', 0.5))
            book.record_cost(reservation, RequestCost(100 + number, "provider", 30, 5))
        await book.reserve(request, 500)
        await book.close()

    folder.mkdir(parents=True)
    asyncio.run(go())
    return folder / JOURNAL


def make_run(folder: Path) -> Path:
    """A finished run of the built-in model; returns its folder."""
    rows = "".join(
        f"{word}{end},{word[::-1]}\n" for word in ("あか", "あお", "しろ", "くろ") for end in "一二三四五六七八"
    )
    (folder / "rows.csv").write_text("source,target\n" + rows, encoding="utf-8")
    text = '[task]\ndata = "rows.csv"\n[model]\nbase = "tiny"\n[train]\nsteps = 6\nthreads = 1\nevaluate_every = 3\n'
    (folder / "words.toml").write_text(text + "[score]\nresamples = 100\n", encoding="utf-8")
    return pipeline.run(str(folder / "words.toml"), run_dir=folder / "runs", anyway=True).folder


def read_run(run: Path) -> None:
    """Read what a finished run found out, as `run`, `report` and `compare` do."""
    opened = Run.open(run)
    assert opened.manifest
    for name in ("predictions.jsonl", "findings.jsonl"):
        opened.read_lines(name)
    opened.read_json("scores.json")
    read_result(run)


def tallies(flips: int, folder: Path, seed: int = 0) -> dict[str, Tally]:
    """Counts for each kind of file."""
    rng, found = random.Random(seed), dict[str, Tally]()
    journal = make_ledger(folder / "ledger")
    found["journal of a ledger"] = try_flips(
        [journal], lambda: Ledger(journal.parent, max_concurrent=1, max_tokens=8), flips, rng
    )
    run = make_run(folder)
    names = ("scores.json", "predictions.jsonl", "findings.jsonl", "manifest.json", "seal.json")
    results = [run / name for name in names if (run / name).is_file()]
    found["results of a run"] = try_flips(results, lambda: read_run(run), flips, rng)
    place = folder / "checkpoint"
    place.mkdir()
    fill(place, 7)
    seal(place, step=7)
    files = [path for path in place.rglob("*") if path.is_file()]
    found["checkpoint"] = try_flips(files, lambda: verify(place), flips, rng)
    model = folder / "model"
    shutil.copytree(run / "model", model)
    files = [path for path in model.rglob("*") if path.is_file()]
    found["saved model"] = try_flips(files, lambda: verify(model), flips, rng)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = tallies(args.flips, Path(folder), args.seed)
    rows = [
        (kind, tally.flips, tally.noticed, tally.at_line if "journal" in kind else "", tally.missed)
        for kind, tally in found.items()
    ]
    page = "\n".join(
        [
            "# Flipped bits",
            "",
            "`python -m benchmarks.faults.bit_flips --write`: one random bit of one file is flipped, and the file is "
            "read. Noticed: refused, with its name.",
            "",
            markdown_table(("files", "flips", "noticed", "at its line", "first one missed"), rows),
        ]
    )
    print(page)
    if args.write:
        values = {kind: {"flips": tally.flips, "noticed": tally.noticed} for kind, tally in found.items()}
        write_results("bit_flips", page.rstrip() + "\n", values)
    return 1 if any(tally.noticed < tally.flips for tally in found.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
