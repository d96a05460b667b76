"""A sweep on several processes, on Ray, on Slurm: the record is that of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from clusters import SLURM_NODES, RayCluster, kill_slurm_node, postgres, ray_workers, slurm, start_slurmd
from sweep_records import figures, output, start, wait_until

from terakoya.errors import ConfigError, LockedError
from terakoya.i18n import in_language
from terakoya.runs import Lock
from terakoya.sweeps.engines import parse_engine
from terakoya.sweeps.engines.shipping import install_trial, pack_trial, restore_replaced
from terakoya.sweeps.plan import read_sweep
from terakoya.sweeps.run import sweep
from terakoya.sweeps.schema import NeedsConfig

SweepFile = Callable[..., Path]
NEEDS_ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="Slurm's daemons and mount namespaces need root"
)


@pytest.mark.parametrize(("text", "found"), [
    ("local", ("local", "")), ("local:4", ("local", "4")), ("ray", ("ray", "")), ("slurm", ("slurm", "")),
    ("ray://head:10001", ("ray", "ray://head:10001")),
])  # fmt: skip
def test_an_engine_is_named_as_its_users_write_it(text: str, found: tuple[str, str]) -> None:
    assert parse_engine(text) == found


@pytest.mark.parametrize("text", ["", "dask", "local:0", "slurm:4", "ray:4", "local://x", "slurm://x"])
def test_an_unknown_engine_is_refused_before_anything_is_read(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no engine"):
        sweep(tmp_path / "missing.toml", on=text)


def test_a_killed_process_costs_no_trial(sweep_file: SweepFile, expected: Mapping[str, Any]) -> None:
    """The standard library's pool breaks when one of its processes dies; the sweep makes another and goes on."""
    path = sweep_file()
    process = start(path, "local:2")
    wait_until(lambda: list((path.parent / "runs").glob("*/trials/*.log")))
    victim = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True, check=True
    )
    os.kill(int(victim.stdout.split()[0]), signal.SIGKILL)
    assert "started again" in output(process)
    assert figures(path) == expected
    assert "step 8/8" in next((path.parent / "runs").glob("*/trials/*.log")).read_text(encoding="utf-8")


def test_a_ray_node_dies_and_its_trial_goes_on_elsewhere(
    sweep_file: SweepFile, expected: Mapping[str, Any], ray_cluster: RayCluster
) -> None:
    """On a common disk a worker writes into the sweep's folder."""
    path = sweep_file()
    process = start(path, "ray", RAY_ADDRESS=ray_cluster.address)
    wait_until(lambda: list((path.parent / "runs").glob("*/trials/*.log")))
    ray_cluster.kill_node(ray_cluster.node_of(ray_workers()[0]))
    output(process)
    assert figures(path) == expected


def test_ctrl_c_and_the_same_command_again(sweep_file: SweepFile, ray_cluster: RayCluster) -> None:
    """Ray's tasks end with the command; what they had done is kept."""
    one = 'open = "all"\n[grid]\n"model.width" = [16]\n'
    path = sweep_file(one, steps=200)  # long enough to be stopped in
    whole = sweep_file(one, steps=200, folder="whole")
    sweep(whole, run_dir=whole.parent / "runs")
    process = start(path, "ray", RAY_ADDRESS=ray_cluster.address)
    wait_until(lambda: list((path.parent / "runs").glob("*/trials/*.log")))
    os.kill(process.pid, signal.SIGINT)
    output(process, 130)
    wait_until(lambda: not ray_workers())
    output(start(path, "ray", RAY_ADDRESS=ray_cluster.address))
    assert figures(path) == figures(whole)


def test_only_one_command_gives_a_sweep_to_an_engine(sweep_file: SweepFile, ray_cluster: RayCluster) -> None:
    """Two of them would run every trial twice where they see no common lock."""
    path = sweep_file()
    lock = Lock(path.parent / "runs" / "series-widths" / "trials" / ".dispatcher.lock")
    lock.acquire()
    try:
        assert "has been writing here" in output(
            start(path, "ray", RAY_ADDRESS=ray_cluster.address), LockedError.exit_code
        )
    finally:
        lock.release()


@NEEDS_ROOT
def test_nodes_without_the_disk_send_their_run_folders_back(sweep_file: SweepFile, expected: Mapping[str, Any]) -> None:
    """Two nodes that do not see the sweep's folder: mount namespaces, in which an empty one lies over it."""
    path = sweep_file()
    cluster = RayCluster(nodes=2, hidden=path.parent)
    try:
        text = output(start(path, "ray", RAY_ADDRESS=cluster.address))
    finally:
        cluster.close()
    assert "through Ray's object store" in text
    assert figures(path) == expected


@NEEDS_ROOT
def test_slurm_requeues_what_its_node_took_along(
    sweep_file: SweepFile, expected: Mapping[str, Any], tmp_path: Path
) -> None:
    """slurmctld, three slurmds and munge, as a cluster has them; a node is killed under its job."""
    path = sweep_file()
    with slurm(tmp_path / "slurm") as conf:
        process = start(path, "slurm", SLURM_CONF=str(conf))
        wait_until(lambda: list((path.parent / "runs").glob("*/trials/*.log")))
        kill_slurm_node(conf, SLURM_NODES[0])
        start_slurmd(conf, SLURM_NODES[0])
        output(process)
    assert figures(path) == expected


def test_hosts_without_a_common_disk_share_a_study_in_postgres(sweep_file: SweepFile) -> None:
    """Each has its run folders; settings and dev values are in the database, and nothing is trained twice."""
    search = (
        'open = "best"\n[search]\ntrials = {trials}\nstorage = "{url}"\n'
        '[search.space]\n"train.learning_rate" = {{ low = 1e-4, high = 1e-2, log = true }}\n'
    )
    with postgres() as url:
        first = sweep_file(search.format(trials=2, url=url), steps=6, folder="first")
        second = sweep_file(search.format(trials=4, url=url), steps=6, folder="second")
        here, there = (sweep(path, run_dir=path.parent / "runs") for path in (first, second))
    assert len(here.trials) == 2 and all(result.run for result in here.trials)
    assert len(there.trials) == 4 and sum(bool(result.run) for result in there.trials) == 2
    assert all(result.dev is not None for result in there.trials)
    own = {file.stem for path in (first, second) for file in (path.parent / "runs").glob("*/trials/*.json")}
    assert len(own) == 4


def test_a_database_that_does_not_answer_is_named(sweep_file: SweepFile) -> None:
    search = '[search]\ntrials = 1\nstorage = "{url}"\n[search.space]\n"model.width" = {{ choices = [16] }}\n'
    path = sweep_file(search.format(url="postgresql://somebody@127.0.0.1:9/none"))
    with pytest.raises(ConfigError, match=r"cannot be opened") as refusal:
        sweep(path, run_dir=path.parent / "runs")
    assert "terakoya[postgres]" in str(refusal.value)
    with pytest.raises(ConfigError, match="password"):
        read_sweep(sweep_file(search.format(url="postgresql://somebody:secret@host/none")))


def test_a_crash_while_a_run_folder_is_put_in_place_loses_none(tmp_path: Path) -> None:
    """Between two renames neither the old folder nor the new one lies where it should; the old one is put back."""
    for folder, text in (("here", "trained"), ("there", "examined")):
        (tmp_path / folder / "runs" / "k" / "run").mkdir(parents=True)
        (tmp_path / folder / "runs" / "k" / "run" / "manifest.json").write_text(text)
        (tmp_path / folder / "trials").mkdir()
    here = tmp_path / "here"
    (here / "replaced").mkdir()
    (here / "runs" / "k").rename(here / "replaced" / "k")
    restore_replaced(here, "k")
    assert (here / "runs" / "k" / "run" / "manifest.json").read_text() == "trained"
    install_trial(here, "k", pack_trial(tmp_path / "there", "k"))
    assert (here / "runs" / "k" / "run" / "manifest.json").read_text() == "examined"


def test_a_dead_hosts_lock_is_nobodys(tmp_path: Path) -> None:
    """On a network file system a dead host's name would refuse everybody for ever; who watches hosts says so."""
    path = tmp_path / "k.lock"
    path.write_text(json.dumps({"pid": 1, "host": "gone", "since": "yesterday"}))
    Lock(path).disown({"another"})
    assert Lock(path).holder()["host"] == "gone"
    Lock(path).disown({"gone"})
    assert Lock(path).holder() == {}


@pytest.mark.parametrize(("page", "lang"), [("scale.md", "en"), ("scale.ja.md", "ja")])
def test_the_page_on_scale_names_every_need_as_the_config_does(page: str, lang: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    for key, field in NeedsConfig.model_fields.items():
        assert f"| `{key}` |" in text
        assert in_language(field.description or "", lang) in text, key
