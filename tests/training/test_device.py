"""What the device can do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from terakoya.config import make_config
from terakoya.training import device as devices
from terakoya.training.preflight.precision import precision_findings


@pytest.mark.parametrize(
    ("device", "pretrained", "dtype", "gpu", "found"),
    [
        ("auto", True, "auto", True, "bf16"),
        ("cuda", True, "auto", True, "bf16"),
        ("auto", False, "auto", True, "no"),  # built-in models keep their bits
        ("cpu", True, "auto", True, "no"),
        ("auto", True, "float32", True, "no"),  # what the user sets is kept
        ("auto", True, "auto", False, "no"),
    ],
)
def test_bfloat16_is_used_where_the_hardware_has_it(
    device: str, pretrained: bool, dtype: str, gpu: bool, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the time and half the activations on a GPU, and nothing changes where there is none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: gpu)
    assert devices.precision(device, pretrained=pretrained, dtype=dtype) == found


@pytest.mark.parametrize(
    ("device", "pretrained", "dtype", "found"),
    [
        ("cpu", True, "mixed", "bf16"),
        ("cpu", True, "auto", "no"),  # not by itself
        ("cpu", True, "float32", "no"),
        ("cpu", False, "mixed", "no"),
        ("mps", True, "mixed", "no"),
    ],
)
def test_a_processor_computes_in_bfloat16_where_that_is_set(
    device: str, pretrained: bool, dtype: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.precision(device, pretrained=pretrained, dtype=dtype) == found


@pytest.mark.parametrize(
    ("device", "units", "slow"), [("cpu", False, True), ("cpu", True, False), ("mps", False, False)]
)
def test_a_processor_without_matrix_units_is_known(
    device: str, units: bool, slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "has_matrix_units", lambda: units)
    assert devices.mixed_precision_is_slow(device) is slow


@pytest.mark.parametrize(("dtype", "units", "count"), [("mixed", False, 1), ("mixed", True, 0), ("auto", False, 0)])
def test_mixed_precision_that_costs_time_is_reported(
    dtype: str, units: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "has_matrix_units", lambda: units)
    config = make_config({"name": "x", "model": {"base": "owner/name", "dtype": dtype}, "task": {"data": "rows.csv"}})
    model = SimpleNamespace(module=torch.nn.Linear(2, 2))
    sample: Any = SimpleNamespace(setup=SimpleNamespace(config=config), model=model)
    probe: Any = None
    found = list(precision_findings(sample, probe))
    assert [one.where for one in found] == ["model.dtype"] * count
    assert all("float32" in one.do for one in found)
