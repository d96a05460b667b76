"""Several processes train as one does, on one host and on two."""

from __future__ import annotations

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

from terakoya.errors import ConfigError
from terakoya.pipeline import run as pipeline

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


def assert_same_losses(first: Path, second: Path) -> None:
    one, two = (json.loads(path.read_text(encoding="utf-8")) for path in (first, second))
    assert one.keys() == two.keys()
    for case, losses in one.items():
        assert len(losses) == len(two[case]) == 8
        assert losses[-1] < losses[0] or case == "sets"
        assert all(abs(a - b) / abs(a) <= 1e-5 for a, b in zip(losses, two[case], strict=True)), case


def assert_losses_do_not_depend_on_processes(cases: Sequence[str], counts: Sequence[int], place: Path) -> None:
    """One launch for each number of processes, all cases in it: importing torch costs more than a tiny training."""
    for count in (1, *counts):
        launcher = (*TORCHRUN, f"--nproc_per_node={count}", "--standalone") if count > 1 else ()
        wait_for([start_worker((), launcher, (str(place / f"{count}.json"), *cases), "lo")])
    for count in counts:
        assert_same_losses(place / "1.json", place / f"{count}.json")


def test_two_and_four_processes_give_the_losses_of_one(base: Callable[[str], Path], tmp_path: Path) -> None:
    """Rows are divided among processes and gradients weighted by target tokens: every loss within 1e-5.

    The built-in model, the set head, a causal base in full and an encoder-decoder with LoRA; TERAKOYA_ALL_BASES=1 takes
    every family, in full and with LoRA (`make bench-processes`).
    """
    pretrained = [f"{base('gemma3')}:full", f"{base('t5')}:lora"]
    if os.environ.get("TERAKOYA_ALL_BASES"):
        pretrained = [f"{base(family)}:{adaptation}" for family in FAMILIES for adaptation in ("full", "lora")]
    assert_losses_do_not_depend_on_processes(["builtin", "sets", *pretrained], (2, 4), tmp_path)


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
    wait_for([start_worker((), (), (str(tmp_path / "one.json"), case), "lo")])
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
    assert_same_losses(tmp_path / "one.json", tmp_path / "two.json")


def test_a_whole_run_under_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each process would make a run of its own, and the exam would be opened once in each of them."""
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="one of several"):
        pipeline.run("kannume", run_dir=tmp_path / "runs")
    assert not list(tmp_path.iterdir())
