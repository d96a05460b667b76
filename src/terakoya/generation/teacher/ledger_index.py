"""SQLite index of the ledger: one row per request, built from the journal and rebuilt when lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

INDEX = "index.sqlite"
_FORMAT = 1
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER);
CREATE TABLE requests (
  id TEXT PRIMARY KEY, step TEXT, source TEXT, reserved INTEGER, outcome TEXT DEFAULT 'unknown', status INTEGER,
  cost INTEGER, cost_by TEXT, tokens_in INTEGER, tokens_out INTEGER, seconds REAL, line INTEGER
);
CREATE VIEW costs AS SELECT step, outcome, cost_by, count(*) AS requests, sum(cost) / 1e9 AS cost FROM requests
  GROUP BY step, outcome, cost_by;
"""


def update_index(journal: Path, index: Path) -> None:
    """Update the SQLite file `index` to the last complete line of `journal`. Raises sqlite3.Error on a disk fault."""
    try:
        _update(journal, index)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # a full or read-only disk
        index.unlink()  # torn or of another program: the journal is authoritative
        _update(journal, index)


def usage(index: Path) -> Mapping[str, tuple[float, float]]:
    """Step → (mean prompt tokens, mean response tokens) from the file `index`; {} where it does not exist."""
    if not index.is_file():
        return {}
    with closing(sqlite3.connect(index)) as base:
        rows = base.execute(
            "SELECT step, avg(tokens_in), avg(tokens_out) FROM requests WHERE tokens_out IS NOT NULL GROUP BY step"
        ).fetchall()
    return {step: (float(tokens_in), float(tokens_out)) for step, tokens_in, tokens_out in rows}


def costs(index: Path) -> list[tuple[str, str, str, int, float]]:
    """(step, outcome, basis of the cost, requests, money) per group, from the file `index`."""
    with closing(sqlite3.connect(index)) as base:
        return base.execute("SELECT step, outcome, coalesce(cost_by, ''), requests, cost FROM costs").fetchall()


def _update(journal: Path, index: Path) -> None:
    with closing(sqlite3.connect(index)) as base, base:
        if base.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
            base.executescript(_TABLES + f"PRAGMA user_version = {_FORMAT};")
        done = base.execute("SELECT value FROM facts WHERE name = 'bytes'").fetchone()
        offset = done[0] if done else 0
        with journal.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                _take(base, json.loads(line), offset)
                offset += len(line)
        base.execute("INSERT OR REPLACE INTO facts VALUES ('bytes', ?)", (offset,))


def _take(base: sqlite3.Connection, record: Mapping[str, Any], offset: int) -> None:
    if record["event"] == "intent":
        # Without an outcome it counts as spent in full.
        base.execute(
            "INSERT OR REPLACE INTO requests (id, step, source, reserved, cost) VALUES (?, ?, ?, ?, ?)",
            (record["id"], record["step"], record["source"], record["reserved"], record["reserved"]),
        )
    elif record["event"] == "lost":
        base.execute("UPDATE requests SET outcome = 'lost', cost = ? WHERE id = ?", (record["cost"], record["id"]))
    elif record["event"] == "reply":
        # Until its cost is booked, the whole reservation counts.
        base.execute(
            "UPDATE requests SET outcome = 'reply', status = ?, seconds = ?, line = ? WHERE id = ?",
            (record["status"], record["seconds"], offset, record["id"]),
        )
    if record["event"] == "cost" or (record["event"] == "reply" and "cost" in record):  # one event in older journals
        base.execute(
            "UPDATE requests SET cost = ?, cost_by = ?, tokens_in = ?, tokens_out = ? WHERE id = ?",
            (record["cost"], record["by"], record["in"], record["out"], record["id"]),
        )
