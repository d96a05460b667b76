"""Run folders: opening, locking, sealing, and durable writing."""

from terakoya.runs.checkpoints import LatestCheckpoint
from terakoya.runs.disk import disk_faults, free_bytes, read_json, require_space, safe_name, write_json, write_text
from terakoya.runs.environment import git_commit, machine, versions
from terakoya.runs.folder import Run, State
from terakoya.runs.index import Index
from terakoya.runs.journal import Journal, read_lines, require_values
from terakoya.runs.lock import Lock
from terakoya.runs.sealing import is_sealed, seal, seal_of, verify
from terakoya.runs.secrets import without_secrets
from terakoya.runs.validation import FORMAT, runs_in

__all__ = [
    "FORMAT",
    "Index",
    "Journal",
    "LatestCheckpoint",
    "Lock",
    "Run",
    "State",
    "disk_faults",
    "free_bytes",
    "git_commit",
    "is_sealed",
    "machine",
    "read_json",
    "read_lines",
    "require_space",
    "require_values",
    "runs_in",
    "safe_name",
    "seal",
    "seal_of",
    "verify",
    "versions",
    "without_secrets",
    "write_json",
    "write_text",
]
