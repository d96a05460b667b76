"""Freed memory stays with the process while it trains, and goes back afterwards."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

# A process of its own: what other tests left of the heap would hide the difference. Blocks below 32 MiB lie on it.
CHILD = """
import resource, torch
from terakoya.training import malloc

def step():
    held = [torch.ones(1 << 20) for _ in range(40)]  # 160 MiB

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

assert malloc.keep_freed_memory()
for _ in range(2):
    step()
before = faults()
for _ in range(5):
    step()
kept, full = faults() - before, resident()
malloc.release_freed_memory()
released, before = full - resident(), faults()
step()
print(kept, released, faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_a_step_does_not_fault_again_for_memory_that_the_last_one_freed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    kept, released, again = map(int, done.stdout.split())
    page, size = resource.getpagesize(), 160 << 20
    assert kept * page < size / 10
    assert released > size / 2, "afterwards the memory is the system's again"
    assert again * page > size / 2, "and a step faults for its pages, or this test counts nothing"
