"""Code on third-party data in a child process, with limits of time, memory and output: whatever it does, it may die.

Chat templates are programs, and tokenizers hold patterns and tables that can loop for ever, exhaust the memory or bring
the native library down. None of that reaches the process that holds a model.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import IO, Any

from terakoya.i18n import _

_LONGEST = 1 << 20  # bytes of the child's output
_LIMITS = r"""
import json, sys
try:
    import resource
    seconds, memory, output = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (output, output))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
"""


class ChildFailed(Exception):
    """The child ended without a result; `args[0]` says how, in one line."""


def run_limited(code: str, request: Any, *, seconds: int, memory: int, largest_file: int = _LONGEST) -> Any:
    """The JSON that a program writes to its standard output, run by a fresh Python without the user's settings.

    code     the program; `json` and `sys` are imported, the request stands on its standard input
    request  JSON-ready
    seconds  of processor time; it may wait ten times as long
    memory   bytes of address space
    largest_file  bytes of the largest file that it may write, its standard output included
    Raises ChildFailed where it fails, exceeds a limit, or writes no JSON.
    """
    limits = (str(seconds), str(memory), str(largest_file))
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", _LIMITS + code, *limits],
                input=json.dumps(request).encode(),
                stdout=output,
                stderr=errors,
                timeout=10 * seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ChildFailed(_TOO_MUCH) from error
        if done.returncode:
            # Ended by a signal, or by Python for want of memory: the last line of a traceback says no more.
            last = _last_line(errors) if done.returncode > 0 else ""
            raise ChildFailed(_TOO_MUCH if not last or last == "MemoryError" else last)
        output.seek(0)
        try:
            return json.loads(output.read())
        except ValueError as error:
            raise ChildFailed(_TOO_MUCH) from error


_TOO_MUCH = _("it took too much time or memory")


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
