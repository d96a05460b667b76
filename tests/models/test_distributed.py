"""Several processes teach as one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

WORKER = Path(__file__).parent / "distributed_worker.py"


def test_two_processes_give_the_losses_of_one(base: Callable[[str], Path], tmp_path: Path) -> None:
    """Rows are parted and weighed by their targets: every loss within 1e-5."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    surroundings = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1", f"--master_port={port}"]
    order = [str(base("gemma3"))]
    for start, out in (([], "one.json"), (torchrun, "two.json")):
        done = subprocess.run(
            [sys.executable, *start, str(WORKER), *order, str(tmp_path / out)],
            env=surroundings, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert len(one) == len(two) == 8 and one[-1] < one[0]
    assert all(abs(a - b) / abs(a) <= 1e-5 for a, b in zip(one, two, strict=True))
