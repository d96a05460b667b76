"""Freed memory stays with the process while it trains, and goes back afterwards."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

# A process of its own: what other tests left of the heap would hide the difference. Blocks below 32 MiB lie on it.
CHILD = """
import resource, sys, torch
from terakoya.training import pages

def step():
    held = [torch.ones(1 << 20) for _ in range(40)]  # 160 MiB

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

if sys.argv[1] == "keep":
    assert pages.keep()
for _ in range(2):
    step()
before = faults()
for _ in range(5):
    step()
again, full = faults() - before, resident()
pages.give_back()
print(again, full - resident())
"""


def child(what: str) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, what], capture_output=True, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    again, given = map(int, done.stdout.split())
    return again, given


@pytest.mark.skipif(sys.platform != "linux", reason="speaks of glibc")
def test_a_step_does_not_pay_again_for_the_pages_of_the_last() -> None:
    size = 160 << 20
    usual, _ = child("leave")
    kept, given = child("keep")
    assert usual * resource.getpagesize() > size, "without it every step pays, or this test shows nothing"
    assert kept * resource.getpagesize() < size / 10
    assert given > size / 2, "afterwards the memory is the system's again"
