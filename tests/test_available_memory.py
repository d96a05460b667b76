"""What the system tells of memory, under whichever limit is the tightest."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from terakoya.models import memory


def test_this_machine_says_what_it_has_left() -> None:
    left, held = memory.available_memory(), memory.resident_memory()
    if left is None or held is None:
        pytest.skip("this system does not tell")
    assert 0 < left < 1 << 50 and 10_000_000 < held < 1 << 45


def test_a_limit_of_the_shell_counts() -> None:
    """`ulimit -v`: what the process may still map, whatever the machine has."""
    most = 2_000_000_000
    result = subprocess.run(
        [sys.executable, "-c", "from terakoya.models.memory import available_memory; print(available_memory())"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 0 < int(result.stdout) < most


@pytest.mark.parametrize(
    ("limit", "used"), [("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")]
)
def test_a_container_counts(limit: str, used: str, tmp_path: Path) -> None:
    """The inactive page cache counts as free; "max" is no limit."""
    (tmp_path / limit).write_text("1000000\n", encoding="ascii")
    (tmp_path / used).write_text("900000\n", encoding="ascii")
    (tmp_path / "memory.stat").write_text("active_file 7\ninactive_file 50000\n", encoding="ascii")
    assert memory._group(tmp_path) == 150_000
    (tmp_path / limit).write_text("max\n", encoding="ascii")
    assert memory._group(tmp_path) is None
