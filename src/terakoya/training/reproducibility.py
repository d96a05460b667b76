"""What the bits of a training rest on besides data and seed: settings, versions of what computes, the processor.

A training that goes on in another world is another training. Settings and versions are refused, unless it is wanted
anyway; what only rounds differently is said. Either way it stands in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from terakoya.config import Config
from terakoya.i18n import both
from terakoya.records import Finding
from terakoya.runs import versions
from terakoya.training.defaults import BUILT_IN

_COMPUTE = ("terakoya", "torch", "accelerate", "numpy")
_PRETRAINED = ("transformers", "tokenizers", "peft")


def world(config: Config) -> dict[str, Any]:
    """What a checkpoint should remember, as JSON can carry it."""
    names = _COMPUTE if config.model.base in BUILT_IN else (*_COMPUTE, *_PRETRAINED)
    installed = versions()
    # Paths hold from where a config lies, and what they lead to is told by the fingerprint of the data. Of training,
    # what says how it is watched and what it may take, and leaves every step as it is.
    apart: Any = {
        **dict.fromkeys(("lang", "name", "score", "teacher"), True),
        "task": {"use", "data", "dev", "exam"},
        "train": {"minutes", "keep", "on_oom", "guards", "on_collapse", "trackers"},
    }
    settings = config.model_dump(mode="json", exclude=apart)
    return {
        "settings": {
            f"{section}.{key}": value
            for section, keys in settings.items()
            for key, value in (keys.items() if isinstance(keys, dict) else [("", keys)])
        },
        "versions": {name: installed[name] for name in names if name in installed},
        "processor": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if config.device != "cpu" and torch.cuda.is_available() else "cpu",
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Finding]:
    """What is another world now than when the checkpoint was made; [] where nothing is, or nothing is known."""
    found = []
    if what := _different(before.get("settings"), now["settings"]):
        found.append(
            Finding(
                "changed-settings",
                "stop",
                both(
                    f"the training began with other settings (then → now): {what}",
                    f"学習を始めたときと設定が異なる（前 → 今）：{what}",
                ),
                where="config.toml",
                do=both(
                    "Put them back, or begin anew: terakoya run RUN/config.toml.",
                    "元に戻すか、新しく始めること：terakoya run RUN/config.toml。",
                ),
            )
        )
    if what := _different(before.get("versions"), now["versions"]):
        found.append(
            Finding(
                "changed-versions",
                "stop",
                both(
                    f"the training began with other versions (then → now): {what}; figures would be those of neither",
                    f"学習を始めたときと版が異なる（前 → 今）：{what}。数値はどちらの版のものともいえなくなる",
                ),
                do=both(
                    "Install the versions that it began with, or begin anew: terakoya run RUN/config.toml.",
                    "始めたときの版に戻すか、新しく始めること：terakoya run RUN/config.toml。",
                ),
            )
        )
    places = {name: before[name] for name in ("processor", "device") if name in before}
    if what := _different(places or None, {name: now[name] for name in places}):
        found.append(
            Finding(
                "changed-machine",
                "warn",
                both(
                    f"the training goes on on another machine (then → now): {what}; it is not comparable bit by bit",
                    f"別の機械で学習を続ける（前 → 今）：{what}。ビット単位では比べられない",
                ),
            )
        )
    return found


def _different(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """Every value that is another one; keys that only one side knows are differences too."""
    if before is None:
        return ""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key.rstrip('.')} {before.get(key)} → {now.get(key)}" for key in keys)
