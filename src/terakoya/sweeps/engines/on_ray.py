"""Trials as tasks of a Ray cluster (Moritz et al., 2018): placed by their needs, retried where a node dies.

With a common disk a worker writes into the sweep's folder. Without one its files travel through Ray's object store, and
the run folder comes back the same way (shipping.py).
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, Interrupted, TerakoyaError, need
from terakoya.i18n import _
from terakoya.runs import write_text
from terakoya.runs.progress import Listener
from terakoya.sweeps.engines.protocol import Ended
from terakoya.sweeps.engines.shipping import input_files, install_trial, pack_trial, restore_replaced, unpack_inputs
from terakoya.sweeps.engines.worker import run_task
from terakoya.sweeps.schema import NeedsConfig
from terakoya.sweeps.trial import TrialRunner, TrialTask

NOT_HERE = "not here"  # what a worker returns that does not see the sweep's folder


class OnRay:
    """Trials on a Ray cluster.

    address   "ray://HOST:PORT" of a cluster's client server; "": the cluster of RAY_ADDRESS or of this host, else one
              that is started here
    needs     of one trial
    runner    of the sweep
    listener  is notified when a trial goes through the object store
    """

    def __init__(self, address: str, needs: NeedsConfig, runner: TrialRunner, listener: Listener) -> None:
        self._ray = need("ray", extra="ray")
        self._runner, self._listener = runner, listener
        self._token = f"{socket.gethostname()}-{uuid.uuid4().hex}"
        self._marker = runner.folder.resolve() / "trials" / ".dispatcher"
        write_text(self._marker, self._token)
        self._tasks: dict[Any, TrialTask] = {}
        self._stored: dict[str, Any] = {}
        self._ship = False
        self._connect(address)
        options: dict[str, Any] = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "max_retries": needs.retries}
        if needs.memory_gb:
            options["memory"] = int(needs.memory_gb * 2**30)
        self._remote = self._ray.remote(**options)(_work)
        self.parallel = self._fitting(needs)

    def _connect(self, address: str) -> None:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self._ray.init(address=address or None, log_to_driver=False, logging_level="ERROR", namespace="terakoya")
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise ConfigError(
                _("no Ray cluster can be reached ({error})", error=str(error).partition("\n")[0]),
                where=f"--on {address or 'ray'}",
                do=_(
                    "Check that it runs (ray status on its head), or use --on ray without an address, which starts one "
                    "on this machine."
                ),
            ) from error

    def _fitting(self, needs: NeedsConfig) -> int:
        """How many trials fit at the same time; a trial that no node could take now is refused."""
        wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory_gb * 2**30}
        wanted = {name: amount for name, amount in wanted.items() if amount}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        fitting = [min(int(node.get(name, 0) / amount) for name, amount in wanted.items()) for node in nodes]
        if not any(fitting):
            self._listener.note(_("No node of the cluster has what [needs] names; waiting for one that has."))
        return max(1, sum(fitting))

    def submit(self, tasks: Sequence[TrialTask]) -> None:
        """Queue `tasks`."""
        for task in tasks:
            self._submit(task, self._ship)

    def _submit(self, task: TrialTask, ship: bool) -> None:
        files: dict[str, Any] = {}
        earlier = None
        if ship:
            restore_replaced(task.folder, task.key)
            earlier = [self._ray.put(pack_trial(task.folder, task.key))]
            files = {str(path): self._store(path) for path in input_files(task)}
        reference = self._remote.options(name=f"trial {task.key[:8]}").remote(task, self._token, files, earlier)
        self._tasks[reference] = task

    def _store(self, path: Path) -> Any:
        """A file in the object store, once for all trials; in a list, so that only who needs it fetches it."""
        if str(path) not in self._stored:
            self._stored[str(path)] = [self._ray.put(path.read_bytes())]
        return self._stored[str(path)]

    def wait(self, seconds: float) -> Sequence[Ended]:
        """What has ended; waits up to `seconds`."""
        done, _open = self._ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        return [ended for reference in done if (ended := self._collect(reference)) is not None]

    def _collect(self, reference: Any) -> Ended | None:
        task = self._tasks.pop(reference)
        errors = self._ray.exceptions
        try:
            returned = self._ray.get(reference)
        except errors.RayTaskError as raised:
            cause = raised.cause
            if isinstance(cause, TerakoyaError):
                return Ended(task, error=cause)
            raise
        except errors.TaskCancelledError:
            return Ended(task, error=Interrupted(_("stopped"), do=_("Continue with the same command.")))
        except errors.OutOfMemoryError as error:
            return Ended(task, lost=_("out of memory; raise needs.memory_gb ({error})", error=_first_line(error)))
        except (errors.RayError, ConnectionError) as error:
            return Ended(task, lost=_("Ray gave it up: {error}", error=_first_line(error)))
        if returned == NOT_HERE:
            if not self._ship:
                self._listener.note(_("Workers do not see this disk: run folders travel through Ray's object store."))
            self._ship = True
            self._submit(task, True)
            return None
        if isinstance(returned, bytes):
            with self._runner.locked(task.trial) as mine:
                if mine and self._runner.result(task.trial).state == ("trained" if task.exam else "open"):
                    install_trial(task.folder, task.key, returned)
        return Ended(task)

    def close(self) -> None:
        """Ctrl-C for every task, which keeps a checkpoint where the disk is common; then leave the cluster."""
        for reference in self._tasks:
            self._ray.cancel(reference)
        if self._tasks:
            self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=30)
        self._ray.shutdown()
        self._marker.unlink(missing_ok=True)


def _work(task: TrialTask, token: str, files: Mapping[str, Any], earlier: Any) -> str | bytes:
    """On a node: run the task in the sweep's folder where that is seen from here, else below a folder of its own."""
    ray = need("ray", extra="ray")
    marker = task.folder / "trials" / ".dispatcher"
    if marker.is_file() and marker.read_text(encoding="utf-8") == token:
        run_task(task, _dead_hosts(ray))
        return ""
    if earlier is None:
        return NOT_HERE
    root = Path(tempfile.mkdtemp(prefix="terakoya-trial-"))
    try:
        contents = {path: ray.get(stored[0]) for path, stored in files.items()}
        moved = unpack_inputs(task, root, contents, ray.get(earlier[0]))
        run_task(moved)
        return pack_trial(moved.folder, moved.key)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _dead_hosts(ray: Any) -> set[str]:
    nodes = ray.nodes()
    alive = {node["NodeManagerHostname"] for node in nodes if node["Alive"]}
    return {node["NodeManagerHostname"] for node in nodes} - alive - {socket.gethostname()}


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
