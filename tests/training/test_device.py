"""What the device can do."""

from __future__ import annotations

import pytest
import torch

from terakoya.training import device as devices


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
