"""Cores that may be used: affinity and control groups bind as much as the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.config import TrainConfig
from terakoya.models.cores import available_cores
from terakoya.models.protocol import ModelInfo
from terakoya.training import defaults


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(8)))


def groups(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Mounted control groups and the file that names the process's own."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="ascii")
    (folder / "own").write_text(own, encoding="ascii")
    return folder, folder / "own"


def test_an_affinity_mask_limits_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: {1, 5, 6})
    assert available_cores(*groups(tmp_path, "0::/\n", {})) == 3


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/a/b\n", {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        (
            "3:cpu,cpuacct:/x\n2:memory:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        (
            "3:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"},
            8,
        ),
    ],
)
def test_a_quota_of_a_control_group_limits_the_cores(
    tmp_path: Path, own: str, files: dict[str, str], cores: int
) -> None:
    """Version 2 and version 1; the tightest of all groups above counts, rounded up to whole cores."""
    assert available_cores(*groups(tmp_path, own, files)) == cores


def test_threads_of_a_training_respect_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """`train.threads` of a large model is one for every core that may be used, not for every core there is."""
    monkeypatch.setattr(defaults, "available_cores", lambda: 2)
    assert defaults.resolve(TrainConfig(), ModelInfo("some/base", "decoder", 10**8, 10**8, 100), 50).threads == 2
    monkeypatch.setattr(defaults, "available_cores", lambda: 1)
    assert defaults.resolve(TrainConfig(), ModelInfo("small", "decoder", 1000, 1000, 10), 50).replicas == 1
