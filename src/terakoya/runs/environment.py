"""The environment recorded with a run: versions, machine, commit. No names of people or hosts."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("terakoya", "torch", "accelerate", "numpy", "transformers", "tokenizers", "peft", "safetensors")


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that can change results. Imports none of them."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def package_version() -> str:
    """This package's version as installed, such as "0.1.0"; "unknown" where only its folder is on the path."""
    try:
        return metadata.version("terakoya")
    except metadata.PackageNotFoundError:
        return "unknown"


def machine() -> dict[str, Any]:
    """System, processor, cores, memory in bytes."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": _cores(),
        "memory": _memory(),
    }


def git_commit(folder: Path) -> dict[str, Any] | None:
    """The commit checked out in `folder` and whether files differ from it; None outside a repository.

    The remote's address is not recorded: it may contain a token.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit.strip(), "changed": None if _runs_programs(folder) else _is_changed(folder)}


def _is_changed(folder: Path) -> bool:
    return bool(_git(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"))


def _runs_programs(folder: Path) -> bool:
    """Whether the repository's own settings name filters that `git status` would start: it may be somebody else's."""
    settings = _git(folder, "config", "--list", "--show-scope", "--name-only") or ""
    lines = (line.split("\t") for line in settings.lower().splitlines())
    return any(scope in ("local", "worktree") and name.startswith("filter.") for scope, name, *_more in lines)


def _git(folder: Path, *words: str) -> str | None:
    # No monitor and no hook of the repository: they are programs, and the folder may be somebody else's.
    harmless = ["-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"]
    command = ["git", "-C", str(folder), "--no-optional-locks", *harmless, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
