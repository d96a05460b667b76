"""Real engines on this machine: a Ray cluster of three nodes, Slurm with three nodes, a PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

MIB = 2**20
Started = TypeVar("Started")
SLURM_NODES = ("n1", "n2", "n3")


class RayCluster:
    """A head that runs no trial and nodes that do, each with its own raylet, as on several hosts."""

    def __init__(self, nodes: int = 3, cpus: int = 1, hidden: Path | None = None) -> None:
        from ray.cluster_utils import Cluster

        # Ray's own spelling of its settings. Other work on this machine is no reason to kill a worker.
        os.environ.update({"RAY_memory_monitor_refresh_ms": "0", "RAY_health_check_period_ms": "1000"})
        self._cpus, self._hidden = cpus, hidden
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 128 * MIB}
        self._cluster = _patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        self.address: str = self._cluster.address
        self.nodes = [self.add_node() for _ in range(nodes)]

    def add_node(self) -> subprocess.Popen[bytes]:
        """A node as `ray start` makes it, in a process group of its own; with `hidden` it does not see that folder."""
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--address={self.address}"]
        ray += [f"--num-cpus={self._cpus}", f"--object-store-memory={128 * MIB}", "--disable-usage-stats"]
        if self._hidden:
            ray = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(self._hidden), *ray]
        return _patiently(lambda: self._started(ray))

    def _started(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        assert process.stdout is not None
        said = b""
        for line in process.stdout:
            said += line
            if b"Ray runtime started" in line:
                return process
        raise RuntimeError(said.decode("utf-8", "replace"))

    def kill_node(self, number: int) -> None:
        """Everything that belongs to it dies at once; another node takes its place."""
        # By session: Ray puts its workers into process groups of their own.
        terminate(_pids(session=self.nodes[number].pid))
        self.nodes[number].wait()
        self.nodes[number] = self.add_node()

    def node_of(self, pid: int) -> int:
        """The number of the node whose worker this process is."""
        session = os.getsid(pid)
        return next(number for number, node in enumerate(self.nodes) if node.pid == session)

    def close(self) -> None:
        for node in self.nodes:
            terminate(_pids(session=node.pid))
            node.wait(timeout=60)
        self._cluster.shutdown()


def _patiently(start: Callable[[], Started]) -> Started:
    """Ray gives a node thirty seconds to come up, which a busy machine does not keep."""
    for _ in range(4):
        try:
            return start()
        except Exception as error:
            print(f"once more: {str(error)[-200:]}")
    return start()


def ray_workers(label: str = "ray::trial") -> list[int]:
    """Process ids of workers that run a trial."""
    return _pids(label=label)


def _pids(*, label: str = "", session: int = 0) -> list[int]:
    """Processes whose command begins with `label`, of one session where it is given."""
    listed = subprocess.run(["ps", "-eo", "pid=,sid=,args="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 2) for line in listed.splitlines() if len(line.split(None, 2)) == 3)
    return [int(pid) for pid, of, arguments in rows if arguments.startswith(label) and session in (0, int(of))]


@contextmanager
def slurm(place: Path) -> Iterator[Path]:
    """munged, slurmctld and three slurmds of our own, as root; yields the path of their slurm.conf."""
    for tool in ("slurmctld", "slurmd", "munged", "sbatch"):
        assert shutil.which(tool), f"{tool} is missing: scripts/install-tools.sh installs it, as `make test` does"
    ports = _free_ports(4)
    conf, munge = place / "slurm.conf", place / "munge"
    for folder in (munge, place / "state", *(place / "spool" / node for node in SLURM_NODES)):
        folder.mkdir(parents=True)
    munge.chmod(0o700)
    (munge / "key").write_bytes(os.urandom(1024))
    (munge / "key").chmod(0o400)
    conf.write_text(_slurm_conf(place, munge, ports), encoding="utf-8")
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        log = (place / f"{command[0]}.out").open("ab")
        started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))

    try:
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        start("munged", "--foreground", "--force", *(f"--{name}={munge / file}" for name, file in files.items()))
        start("slurmctld", "-D", "-f", str(conf))
        for node in SLURM_NODES:
            start("slurmd", "-D", "-f", str(conf), "-N", node)
        _wait_for_slurm(conf, place)
        yield conf
    finally:
        subprocess.run(["scancel", "--user=root"], env=os.environ | {"SLURM_CONF": str(conf)}, check=False)
        # A node that came back is no child of ours.
        terminate([int(file.read_text()) for file in place.glob("slurmd-*.pid")], signal.SIGTERM)
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:  # a slurmd that waits for steps of a job that a kill took along
                process.kill()
                process.wait()


def start_slurmd(conf: Path, node: str) -> None:
    """A node that was killed comes back."""
    subprocess.run(["slurmd", "-f", str(conf), "-N", node], check=True)


def kill_slurm_node(conf: Path, node: str) -> None:
    """slurmd and the jobs that it started are killed; the controller is told, as it would notice by itself later."""
    jobs = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if _is_job(path, conf, node)]
    terminate([int((conf.parent / f"slurmd-{node}.pid").read_text()), *jobs])
    _control(conf, "update", f"nodename={node}", "state=down", "reason=killed")


def slurm_workers(conf: Path, node: str) -> list[int]:
    """Process ids of Python processes that run a trial on a node."""
    jobs = [path.parent for path in Path("/proc").glob("[0-9]*/environ") if _is_job(path, conf, node)]
    return [int(job.name) for job in jobs if b"submitit.core._submit" in _command(job)]


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile


def _is_job(path: Path, conf: Path, node: str) -> bool:
    try:
        environment = path.read_bytes().split(b"\0")
    except OSError:
        return False  # it has ended meanwhile
    return {f"SLURM_CONF={conf}".encode(), f"SLURMD_NODENAME={node}".encode()} <= set(environment)


def _control(conf: Path, *words: str) -> None:
    environment = os.environ | {"SLURM_CONF": str(conf)}
    subprocess.run(["scontrol", *words], env=environment, check=True, capture_output=True)


def _wait_for_slurm(conf: Path, place: Path) -> None:
    environment, deadline = os.environ | {"SLURM_CONF": str(conf)}, time.monotonic() + 30
    while True:
        asked = subprocess.run(
            ["sinfo", "-h", "-o", "%D %t"], env=environment, capture_output=True, text=True, check=False
        )
        if asked.stdout.strip() == f"{len(SLURM_NODES)} idle":
            return
        logs = "\n".join(path.read_text(errors="replace")[-800:] for path in place.glob("*.log"))
        assert time.monotonic() < deadline, f"Slurm did not start: {asked.stdout} {asked.stderr}\n{logs}"
        time.sleep(0.2)


def _slurm_conf(place: Path, munge: Path, ports: Sequence[int]) -> str:
    host = socket.gethostname().partition(".")[0]
    values = {
        "ClusterName": "here", "SlurmctldHost": host, "SlurmctldPort": ports[0], "SlurmUser": "root",
        "SlurmdUser": "root", "AuthType": "auth/munge", "AuthInfo": f"socket={munge / 'socket'},cred_expire=5",
        "StateSaveLocation": place / "state", "SlurmdSpoolDir": place / "spool" / "%n",
        "SlurmctldPidFile": place / "slurmctld.pid", "SlurmdPidFile": place / "slurmd-%n.pid",
        "SlurmctldLogFile": place / "slurmctld.log", "SlurmdLogFile": place / "slurmd-%n.log",
        "ProctrackType": "proctrack/pgid", "TaskPlugin": "task/none", "SwitchType": "switch/none",
        "MpiDefault": "none", "ReturnToService": 2, "SlurmdTimeout": 30, "KillWait": 5, "MinJobAge": 300,
        "SchedulerParameters": "sched_interval=1,bf_interval=1", "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU", "JobRequeue": 1, "RebootProgram": "/bin/true",
        "AccountingStorageType": "accounting_storage/none", "JobAcctGatherType": "jobacct_gather/none",
    }  # fmt: skip
    lines = [f"{name}={value}" for name, value in values.items()]
    nodes = zip(SLURM_NODES, ports[1:], strict=True)
    lines += [f"NodeName={node} NodeHostname={host} Port={port} CPUs={os.cpu_count()}" for node, port in nodes]
    return "\n".join([*lines, "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP", ""])


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server with an empty database; yields its URL without a password."""
    # Not below pytest's folders, which the server's own user may not enter.
    place = Path(tempfile.mkdtemp(prefix="terakoya-postgres-"))
    try:
        with _server(place) as url:
            yield url
    finally:
        shutil.rmtree(place)


@contextmanager
def _server(place: Path) -> Iterator[str]:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert folders, "PostgreSQL is missing: scripts/install-tools.sh installs it, as `make test` does"
    (port,) = _free_ports(1)
    data = place / "data"
    place.chmod(0o755)
    data.mkdir()
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    if user:
        shutil.chown(data, user)
    as_user = {"user": user, "group": user, "extra_groups": []} if user else {}

    def run(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **as_user)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr

    run(str(folders[-1] / "initdb"), "-D", str(data), "-U", "terakoya", "-A", "trust", "--no-sync")
    options = f"-p {port} -k {data} -c fsync=off -c listen_addresses=127.0.0.1"
    run(str(folders[-1] / "pg_ctl"), "-D", str(data), "-l", str(data / "log"), "-w", "-o", options, "start")
    try:
        yield f"postgresql://terakoya@127.0.0.1:{port}/postgres"
    finally:
        run(str(folders[-1] / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def terminate(pids: Sequence[int], signum: signal.Signals = signal.SIGKILL) -> None:
    """Processes of our own, by their ids."""
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue
