"""Several processes train as one does, on one host and on two."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

WORKER = Path(__file__).parent / "distributed_worker.py"
TORCHRUN = ("-m", "torch.distributed.run")
# Two hosts on a link of their own: network namespaces joined by a veth pair, on addresses reserved for documentation.
# Named after this process: two suites on one machine must not take each other's hosts down.
ME = os.getpid()
HOSTS = ((f"terakoya-{ME}-0", f"tk{ME}a", "192.0.2.1"), (f"terakoya-{ME}-1", f"tk{ME}b", "192.0.2.2"))


def start_worker(
    prefix: Sequence[str], launcher: Sequence[str], arguments: Sequence[str], interface: str
) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, *launcher, str(WORKER), *arguments]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": interface, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(processes: Sequence[subprocess.Popen[str]]) -> None:
    try:
        for process in processes:
            output, _ = process.communicate(timeout=240)
            assert process.returncode == 0, output[-2000:]
    finally:
        for process in processes:
            process.kill()


def assert_same_losses(first: Path, second: Path) -> None:
    one, two = (json.loads(path.read_text()) for path in (first, second))
    assert len(one) == len(two) == 8
    assert one[-1] < one[0]
    assert all(abs(a - b) / abs(a) <= 1e-5 for a, b in zip(one, two, strict=True))


def test_two_processes_give_the_losses_of_one(base: Callable[[str], Path], tmp_path: Path) -> None:
    """Rows are divided among processes and gradients weighted by target tokens: every loss within 1e-5."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    checkpoint = str(base("gemma3"))
    two = (*TORCHRUN, "--nproc_per_node=2", "--master_addr=127.0.0.1", f"--master_port={port}")
    for launcher, out in (((), "one.json"), (two, "two.json")):
        wait_for([start_worker((), launcher, (checkpoint, str(tmp_path / out)), "lo")])
    assert_same_losses(tmp_path / "one.json", tmp_path / "two.json")


@contextmanager
def two_hosts() -> Iterator[None]:
    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    for name, _, _ in HOSTS:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    try:
        for name, _, _ in HOSTS:
            ip("netns", "add", name)
        (first, left, _), (second, right, _) = HOSTS
        ip("link", "add", left, "netns", first, "type", "veth", "peer", "name", right, "netns", second)
        for name, interface, address in HOSTS:
            ip("-n", name, "addr", "add", f"{address}/24", "dev", interface)
            ip("-n", name, "link", "set", interface, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name, _, _ in HOSTS:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="making network namespaces needs root")
def test_two_hosts_give_the_losses_of_one(base: Callable[[str], Path], tmp_path: Path) -> None:
    """The same over a network: what trains on a laptop trains on two rented machines."""
    assert shutil.which("ip"), "iproute2 is missing: scripts/install-tools.sh installs it, as `make test` does"
    checkpoint = str(base("gemma3"))
    wait_for([start_worker((), (), (checkpoint, str(tmp_path / "one.json")), "lo")])
    with two_hosts():
        wait_for([
            start_worker(
                ("ip", "netns", "exec", name),
                (*TORCHRUN, "--nnodes=2", f"--node_rank={rank}", "--nproc_per_node=1",
                 f"--master_addr={HOSTS[0][2]}", "--master_port=29511"),
                (checkpoint, str(tmp_path / "two.json")),
                interface,
            )
            for rank, (name, interface, _) in enumerate(HOSTS)
        ])  # fmt: skip
    assert_same_losses(tmp_path / "one.json", tmp_path / "two.json")
