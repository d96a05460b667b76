"""System calls that fail: every write, fsync and rename of every scenario, one after another (needs strace).

    python -m benchmarks.faults.disk_fault_injection [--write]

For each scenario of disk_scenarios.py and each of EIO, ENOSPC and SIGKILL, the N-th call fails, N counted up until a
run gets through without a fault. Afterwards nothing is lost that counted as written, no file is half written, and the
same scenario goes on to its end. The order of calls is measured too: no rename of a file that was not fsynced, no
request before its intent is on the disk.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.disk_scenarios import (
    DISK_ERROR,
    FILES,
    PRICE,
    RECORDS,
    REQUESTS,
    ROWS,
    SCENARIOS,
    prepare,
    progress_file,
    request_number,
)
from benchmarks.reporting import ROOT, markdown_table, write_results
from terakoya.generation.teacher.ledger import JOURNAL, Ledger
from terakoya.runs import Run, read_lines

CALLS = {
    "write": "write",
    "fsync": "fsync,fdatasync",
    "rename": "rename,renameat,renameat2",
}
FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "SIGKILL": "signal=KILL"}
KILLED = {137, -9}
LIMIT = 200  # more calls than any scenario makes


@dataclass
class Tally:
    """Counts of one kind of injected fault."""

    injected: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # how the process ended
    violations: list[str] = field(default_factory=list)


def has_strace() -> bool:
    """Whether strace is there and may trace a process."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


def run_scenario(name: str, folder: Path, *strace: str) -> int:
    """The scenario in a process of its own, under strace where options are given; returns how it ended."""
    # Not with --seccomp-bpf: an injected SIGKILL is then not delivered.
    tracing = ["strace", "-f", "-qq", *strace] if strace else []
    command = [*tracing, sys.executable, "-B", "-m", "benchmarks.faults.disk_scenarios", name, str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    return ended.returncode


def inject(name: str, calls: str, fault: str, number: int, folder: Path) -> int:
    """The scenario whose `number`-th call of the kind `calls` suffers `fault`."""
    prepare(name, folder)
    which = CALLS[calls]
    return run_scenario(
        name, folder, "-o", "/dev/null", "-e", f"trace={which}", "-e", f"inject={which}:{FAULTS[fault]}:when={number}"
    )


def injected_faults(name: str, calls: str, fault: str, parent: Path, tally: Tally, step: int = 1) -> None:
    """Inject at the 1st, 2nd, 3rd … call (every `step`-th) until a run has no such call left."""
    for number in range(1, LIMIT, step):
        folder = parent / f"{name}-{calls}-{fault}-{number}"
        code = inject(name, calls, fault, number, folder)
        if count_calls(name, calls, parent) < number:
            return
        if fault == "SIGKILL" and code not in KILLED:  # fsyncs are shared, so that there may be fewer
            continue
        tally.injected += 1
        tally.ended["killed" if code in KILLED else str(code)] += 1
        wrong = violation(name, folder, code, fault)
        if wrong:
            tally.violations.append(f"{name}, {fault} at {calls} {number}: {wrong}")
        shutil.rmtree(folder)


def count_calls(name: str, calls: str, parent: Path, known: dict[tuple[str, str], int] = {}) -> int:  # noqa: B006
    """How many calls of this kind an undisturbed scenario makes; counted once."""
    if (name, calls) not in known:
        folder, log = parent / f"{name}-{calls}-count", parent / "count.log"
        prepare(name, folder)
        assert run_scenario(name, folder, "-o", str(log), "-e", f"trace={CALLS[calls]}") == 0
        known[name, calls] = sum(f"{call}(" in line for line in log.open() for call in CALLS[calls].split(","))
    return known[name, calls]


def violation(name: str, folder: Path, code: int, fault: str) -> str:
    """What is wrong after a fault; "" where nothing is."""
    if fault != "SIGKILL" and code not in {0, DISK_ERROR}:
        return f"ended with {code} instead of a message about the disk"
    marked = progress_file(folder).read_bytes()[0]
    try:
        if wrong := CHECKS[name](folder, marked):
            return wrong
        again = run_scenario(name, folder)
        return f"could not go on afterwards ({again})" if again else CHECKS[name](folder, 255)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _journal(folder: Path, marked: int) -> str:
    numbers = [line["n"] for line in read_lines(folder / "a.jsonl")]
    whole = numbers == list(range(len(numbers))) and len(numbers) >= min(marked, RECORDS)
    return "" if whole else f"{marked} records were written, and {numbers} are there"


def _checkpoint(folder: Path, marked: int) -> str:
    found = Run.open(next(folder.glob("k-*"))).latest_checkpoint()
    if found.findings or found.path is None:
        return "the newest checkpoint is damaged"
    whole = all((found.path / file).read_bytes() == bytes([found.step % 256]) * size for file, size in FILES.items())
    return "" if whole and found.step >= (300 if marked else 200) else f"checkpoint {found.step} is not whole"


def _run_files(folder: Path, marked: int) -> str:
    run = Run.open(next(folder.glob("k-*")))
    scores, predictions = run.read_json("scores.json")["version"], run.read_lines("predictions.jsonl")
    if scores not in {"old", "new" * 500} or (marked and scores == "old"):
        return "scores.json is neither the old nor the new one"
    return "" if len(predictions) in {0, 3} else f"{len(predictions)} predictions of 3"


def _table(folder: Path, marked: int) -> str:
    rows = [json.loads(line)["source"] for line in (folder / "data.jsonl").read_text(encoding="utf-8").splitlines()]
    if len(rows) == ROWS or (rows == ["古い"] and not marked):
        return ""
    return f"a table of {len(rows)} rows"


def _ledger(folder: Path, marked: int) -> str:
    book = Ledger(folder, max_concurrent=REQUESTS, max_tokens=8)
    kept = sum(book.response(request_number(number).key) is not None for number in range(REQUESTS))
    if marked == 255:
        return "" if kept == REQUESTS else f"{kept} of {REQUESTS} responses"
    sold = marked * PRICE
    return "" if book.committed >= sold else f"{sold} charged, and the ledger knows of {book.committed}"


CHECKS = {
    "journal": _journal, "checkpoint": _checkpoint, "run files": _run_files, "table": _table, "ledger": _ledger,
}  # fmt: skip


# ── the order of calls ──────────────────────────────────────────────────────────────────────────────────

_CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?:\((.*)| resumed>(.*))$")
_FD = re.compile(r"^(\d+)<([^>]*)>")
_QUOTED = re.compile(r'"([^"]*)"')


def unordered_renames(log: Path, folder: Path) -> list[str]:
    """Renames below `folder`, in a log of strace -y, of files with unsynced data, or without an fsync of the folder."""
    dirty: set[str] = set()
    pending: dict[str, str] = {}  # folder that must be fsynced → the file renamed into it
    wrong = []
    for call, text in _calls(log):
        target = _FD.match(text)
        path = target[2] if target else ""
        if call == "write" and path.startswith(str(folder)) and not path.endswith("progress"):
            dirty.add(path)
        elif call in {"fsync", "fdatasync"}:
            dirty.discard(path)
            pending.pop(path, None)
        elif call.startswith("rename"):
            old, new = _QUOTED.findall(text)[:2]
            wrong += [f"{name} was renamed before its data was on the disk" for name in dirty if name.startswith(old)]
            if "/.old-" not in new:  # on its way to be deleted
                pending[str(Path(new).parent)] = new
    return wrong + [f"the folder of {name} was not fsynced" for name in pending.values()]


def early_requests(log: Path) -> tuple[int, int]:
    """(requests sent, those sent before their intent was on the disk) in a log of strace -y of a generation."""
    written = synced = sent = early = 0
    begun: dict[str, int] = {}  # thread → intents written when its fsync began
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        thread = line.split(" ", 1)[0]
        if "write(" in line and JOURNAL in line and r"\"event\": \"intent\"" in line:
            written += 1
        elif "fdatasync(" in line and JOURNAL in line:
            begun[thread] = written
            if "unfinished" not in line and line.rstrip().endswith("= 0"):
                synced = max(synced, begun.pop(thread))
        elif "fdatasync resumed" in line and line.rstrip().endswith("= 0") and thread in begun:
            synced = max(synced, begun.pop(thread))
        elif "POST /v1/chat/completions" in line:
            sent += 1
            early += sent > synced
    return sent, early


def _calls(log: Path) -> Iterator[tuple[str, str]]:
    """(name, arguments) of each call in a log of strace -f; one that is interrupted counts where it begins."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _CALL.match(line)
        if match and match[3] is not None:
            yield match[2], match[3]


def order_of(name: str, parent: Path) -> list[str]:
    """Violations of the order of calls in an undisturbed scenario."""
    folder, log = parent / f"{name}-order", parent / f"{name}.log"
    prepare(name, folder)
    calls = ",".join(CALLS.values())
    assert run_scenario(name, folder, "-y", "-s", "300", "-o", str(log), "-e", f"trace={calls}") == 0
    return unordered_renames(log, folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if not has_strace():
        raise SystemExit("strace is missing, or may not trace here: scripts/install-tools.sh installs it")
    rows, wrong, values = [], [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name in SCENARIOS:
            wrong += order_of(name, Path(folder))
            for calls in CALLS:
                for fault in FAULTS:
                    tally = Tally()
                    injected_faults(name, calls, fault, Path(folder), tally)
                    wrong += tally.violations
                    ends = ", ".join(f"{how}: {count}" for how, count in sorted(tally.ended.items()))
                    rows.append((name, calls, fault, tally.injected, ends, len(tally.violations)))
                    values[f"{name}/{calls}/{fault}"] = {"injected": tally.injected, "wrong": tally.violations}
                    print(*rows[-1], flush=True)
    page = "\n".join(
        [
            "# System calls that fail",
            "",
            "`python -m benchmarks.faults.disk_fault_injection --write`: the N-th call of each kind fails by strace, "
            "for all N. Ended: 0, finished all the same; 6, refused with a message about the disk; killed. Wrong: "
            "something that counted as written was lost, a file was half written, or the same command could not go on.",
            "",
            markdown_table(("scenario", "call", "fault", "injected", "ended", "wrong"), rows),
            f"Injected: {sum(row[3] for row in rows):,}. Wrong: {len(wrong)}.",
            "",
            *(f"- {line}" for line in wrong),
        ]
    )
    print("\n".join(wrong))
    if args.write:
        write_results("disk_fault_injection", page.rstrip() + "\n", values)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
