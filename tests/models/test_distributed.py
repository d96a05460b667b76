"""Several processes train as one does, on one host and on two."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from checkpoints import FAMILIES
from distributed_worker import losses_of

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
            output, _ = process.communicate(timeout=500)
            assert process.returncode == 0, output[-2000:]
    finally:
        for process in processes:
            process.kill()


@functools.cache
def losses_of_one(case: str) -> list[float]:
    """In this process: importing torch costs more than a tiny training."""
    return losses_of(case)


def assert_losses_are_those_of_one(cases: Sequence[str], path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert list(found) == list(cases)
    for case, losses in found.items():
        one = losses_of_one(case)
        assert len(losses) == len(one) >= 8
        assert one[7] < one[0] or case == "sets"
        assert all(abs(a - b) / abs(a) <= 1e-5 for a, b in zip(one, losses, strict=True)), case


def test_two_and_four_processes_give_the_losses_of_one(base: Callable[[str], Path], tmp_path: Path) -> None:
    """Rows are divided among processes and gradients weighted by target tokens: every loss within 1e-5.

    The built-in model, the set head with its feature dropout, a causal base in full and an encoder-decoder with LoRA;
    and the same bases with their weights divided (FSDP2): steps, dev, a training resumed from its checkpoint, and the
    weights at the end. TERAKOYA_ALL_BASES=1 takes every family, in full and with LoRA, all of them on four processes as
    well (`make bench-processes`).
    """
    pretrained = [f"{base('gemma3')}:full", f"{base('t5')}:lora"]
    if os.environ.get("TERAKOYA_ALL_BASES"):
        pretrained = [f"{base(family)}:{adaptation}" for family in FAMILIES for adaptation in ("full", "lora")]
    whole = ["builtin", "sets", *pretrained]
    divided = [f"{case}:shard" for case in pretrained]
    of_four = whole if os.environ.get("TERAKOYA_ALL_BASES") else whole[:2]
    for count, cases in ((2, [*whole, *divided]), (4, of_four)):
        path = tmp_path / f"{count}.json"
        wait_for(
            [start_worker((), (*TORCHRUN, f"--nproc_per_node={count}", "--standalone"), (str(path), *cases), "lo")]
        )
        assert_losses_are_those_of_one(cases, path)


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
    case = f"{base('gemma3')}:full"
    with two_hosts():
        wait_for([
            start_worker(
                ("ip", "netns", "exec", name),
                (*TORCHRUN, "--nnodes=2", f"--node_rank={rank}", "--nproc_per_node=1",
                 f"--master_addr={HOSTS[0][2]}", "--master_port=29511"),
                (str(tmp_path / "two.json"), case),
                interface,
            )
            for rank, (name, interface, _) in enumerate(HOSTS)
        ])  # fmt: skip
    assert_losses_are_those_of_one([case], tmp_path / "two.json")
