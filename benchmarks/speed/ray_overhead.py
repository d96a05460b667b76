"""What Ray adds to a trial: seconds from its submission to its end, for trials that have nothing left to do.

    python -m benchmarks.speed.ray_overhead [--trials 30]

A cluster of three nodes with one CPU each on this machine. Every trial is trained already, so a task comes, looks and
goes. The first task of a node starts its worker and imports torch, which a trial in a process of its own pays as well;
the later ones are Ray's own share. Wall seconds, and CPU seconds of the sweep's own process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from clusters import RayCluster

from benchmarks.reporting import machine_summary
from terakoya.runs import write_json
from terakoya.runs.progress import SilentListener
from terakoya.sweeps.engines import make_engine
from terakoya.sweeps.plan import read_sweep, trials
from terakoya.sweeps.trial import TrialRunner, TrialTask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="ray-overhead-"))
    (place / "s.toml").write_text(
        f'name = "idle"\nexperiment = "kannume"\nseeds = {list(range(args.trials))}\n[grid]\n"train.steps" = [1]\n',
        encoding="utf-8",
    )
    config = read_sweep(place / "s.toml")
    runner = TrialRunner(config, place, place / "runs" / "series-idle", SilentListener())
    for trial in trials(config):
        values = {"name": trial.name, "state": "trained", "run": "", "dev": 0.0, "reason": ""}
        write_json(runner.folder / "trials" / f"{trial.key}.json", values)
    cluster = RayCluster(nodes=3)
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        began = time.monotonic()
        engine = make_engine("ray", runner)
        joined = time.monotonic() - began
        seconds, before = [], time.process_time()
        for trial in trials(config):
            started = time.monotonic()
            engine.submit([TrialTask(config, place, runner.folder, trial)])
            while not engine.wait(1.0):
                pass
            seconds.append(time.monotonic() - started)
        own = (time.process_time() - before) / args.trials
        engine.close()
    finally:
        cluster.close()
    warm = seconds[args.trials // 2 :]
    print(machine_summary(("ray", "torch")), f"load {os.getloadavg()[0]:.1f}")
    print(f"joining the cluster {joined:.1f} s, once; first task {seconds[0]:.2f} s (worker started, torch imported)")
    middle = statistics.median(warm)
    print(
        f"a later task: median {middle:.3f} s, largest {max(warm):.3f} s, n = {len(warm)}; of 60 s: {middle / 0.6:.2f}%"
    )
    print(f"CPU seconds of the sweep's own process a trial: {own:.4f}")


if __name__ == "__main__":
    main()
