"""Trials as jobs of Slurm, through submitit: an array, a time limit, requeued where that ends or a node dies.

The sweep's folder lies on a disk that all nodes see, as Slurm's users have it. Jobs outlive the process that submitted
them: their numbers are kept, and the same command waits for them instead of submitting them again.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, TerakoyaError, need
from terakoya.i18n import _
from terakoya.runs import read_json, write_json
from terakoya.sweeps.engines.protocol import Ended
from terakoya.sweeps.engines.worker import run_task
from terakoya.sweeps.schema import NeedsConfig
from terakoya.sweeps.trial import TrialTask

ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}
QUERY_SECONDS = 5.0  # between two queries to Slurm, whose controller serves everybody


class SlurmTask:
    """What submitit runs on a node, and submits again when Slurm ends the job before its trial is done."""

    def __call__(self, task: TrialTask) -> TerakoyaError | None:
        """Run `task`; returns what the sweep is to end with, which submitit would give back as a text only."""
        try:
            run_task(task)
        except TerakoyaError as error:
            return error
        return None

    def checkpoint(self, task: TrialTask) -> Any:
        """The same `task` again: its run folder has the newest checkpoint."""
        return need("submitit", extra="slurm").helpers.DelayedSubmission(self, task)


class OnSlurm:
    """Trials as Slurm jobs.

    name    of the sweep, which the jobs bear
    needs   of one trial
    folder  of the sweep
    """

    parallel = 16  # what a search keeps queued: Slurm itself decides how many run

    def __init__(self, name: str, needs: NeedsConfig, folder: Path) -> None:
        self._submitit = need("submitit", extra="slurm")
        if shutil.which("sbatch") is None:
            raise ConfigError(
                _("there is no Slurm on this machine: sbatch was not found"),
                where="--on slurm",
                do=_("Run the command on a login node of the cluster, or use --on local."),
            )
        self._needs, self._folder = needs, folder.resolve()
        self._jobs_file = self._folder / "slurm" / "jobs.json"
        self._executor = self._submitit.SlurmExecutor(self._folder / "slurm", max_num_timeout=1000)
        self._executor.update_parameters(**_parameters(name, needs))
        self._jobs: dict[str, tuple[TrialTask, Any]] = {}
        self._started: Counter[str] = Counter()
        self._queried_at = 0.0

    def submit(self, tasks: Sequence[TrialTask]) -> None:
        """Queue `tasks` as one array; those that an earlier command has queued are waited for."""
        queued = self._known_jobs()
        here = {task.key: queued[f"{task.key}:{task.exam}"] for task in tasks if f"{task.key}:{task.exam}" in queued}
        alive = self._alive(here.values())
        new = [task for task in tasks if here.get(task.key) not in alive]
        for task in tasks:
            if task not in new:
                number = here[task.key]
                self._jobs[task.key] = (task, self._submitit.SlurmJob(folder=self._folder / "slurm", job_id=number))
        if not new:
            return
        with self._executor.batch():
            jobs = [self._executor.submit(SlurmTask(), task) for task in new]
        for task, job in zip(new, jobs, strict=True):
            self._jobs[task.key] = (task, job)
        queued |= {f"{task.key}:{task.exam}": job.job_id for task, job in zip(new, jobs, strict=True)}
        write_json(self._jobs_file, queued)

    def wait(self, seconds: float) -> Sequence[Ended]:
        """What has ended; waits up to `seconds`."""
        until = time.monotonic() + seconds
        while not (ended := self._ended()) and time.monotonic() < until:
            time.sleep(min(0.5, seconds))
        return ended

    def _ended(self) -> list[Ended]:
        ended = [self._collect(*found) for found in list(self._jobs.values()) if found[1].paths.result_pickle.is_file()]
        if not ended and time.monotonic() - self._queried_at > QUERY_SECONDS:
            self._queried_at = time.monotonic()
            alive = self._alive([job.job_id for _task, job in self._jobs.values()])
            gone = [found for found in self._jobs.values() if found[1].job_id not in alive]
            ended = [again for task, job in gone if (again := self._gone(task, job)) is not None]
        return ended

    def _collect(self, task: TrialTask, job: Any) -> Ended:
        del self._jobs[task.key]
        outcome, result = self._submitit.core.utils.pickle_load(job.paths.result_pickle)
        if outcome != "error":
            return Ended(task, error=result)
        last = str(result).strip().rpartition("\n")[2]
        return Ended(task, lost=_("its job {job} failed: {reason}", job=job.job_id, reason=last))

    def _gone(self, task: TrialTask, job: Any) -> Ended | None:
        """A job that Slurm no longer knows and that left no result: cancelled, or killed with its node."""
        if job.paths.result_pickle.is_file():
            return self._collect(task, job)
        del self._jobs[task.key]
        self._started[task.key] += 1
        if self._started[task.key] <= self._needs.retries:
            self.submit([task])
            return None
        return Ended(task, lost=_("its job {job} ended {count} times", job=job.job_id, count=self._needs.retries + 1))

    def _alive(self, numbers: Any) -> set[str]:
        """Which jobs are queued or running."""
        wanted = set(numbers)
        if not wanted:
            return set()
        jobs = ",".join(sorted({number.partition("_")[0] for number in wanted}))
        command = [
            "squeue",
            "--noheader",
            "--array",
            "--states=all",
            "--Format=JobArrayID:64,State:32",
            f"--jobs={jobs}",
        ]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        if listed.returncode != 0:
            if "Invalid job id" in listed.stderr:
                return set()
            return wanted  # the controller does not respond now: nothing is known to have ended
        states = (line.split() for line in listed.stdout.splitlines() if line.strip())
        return {number for number, state in states if state not in ENDED} & wanted

    def _known_jobs(self) -> dict[str, str]:
        return dict(read_json(self._jobs_file)) if self._jobs_file.is_file() else {}

    def close(self) -> None:
        """Jobs go on in Slurm; the same command waits for them."""


def _parameters(name: str, needs: NeedsConfig) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "job_name": f"terakoya-{name}",
        "time": needs.minutes,
        "cpus_per_task": math.ceil(needs.cpus),
        "ntasks_per_node": 1,
        "nodes": 1,
        "stderr_to_stdout": True,
        "additional_parameters": dict(needs.sbatch) | {"requeue": True},
    }
    if needs.gpus:
        parameters["gpus_per_node"] = math.ceil(needs.gpus)
    if needs.memory_gb:
        parameters["mem"] = f"{math.ceil(needs.memory_gb * 1024)}M"
    if needs.partition:
        parameters["partition"] = needs.partition
    return parameters
