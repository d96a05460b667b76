"""What the bits of a training depend on besides data and seed: settings, versions of what computes, the processor.

A training that is resumed in another environment is another training. Other settings and versions are refused, unless
the user insists; what only rounds differently is reported. Either way it stands in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from terakoya.config import Config
from terakoya.config.renamed import RENAMED_VALUES
from terakoya.i18n import _
from terakoya.records import Finding
from terakoya.runs import versions
from terakoya.training.defaults import BUILT_IN

_COMPUTE = ("terakoya", "torch", "accelerate", "numpy")
_PRETRAINED = ("transformers", "tokenizers", "peft")


def environment_fingerprint(config: Config) -> dict[str, Any]:
    """What a checkpoint remembers of its environment, as JSON can carry it.

    config  resolved
    Returns "settings" (by dotted key), "versions" (by package), "processor" and "device".
    """
    names = _COMPUTE if config.model.base in BUILT_IN else (*_COMPUTE, *_PRETRAINED)
    installed = versions()
    # Paths are relative to where a config lies, and what they lead to is in the fingerprint of the data. Of training,
    # settings that say how it is watched and what it may use leave every step as it is.
    excluded: Any = {
        **dict.fromkeys(("lang", "name", "score", "teacher"), True),
        "task": {"use", "data", "dev", "exam", "corrections"},
        "train": {"minutes", "keep", "on_oom", "guards", "on_collapse", "trackers"},
    }
    settings = config.model_dump(mode="json", exclude=excluded)
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


def recorded_environment(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fingerprint that a checkpoint holds, with the present names of settings; {} where it holds none.

    facts  of its training state; those of the first format have it as "world"
    """
    found: Mapping[str, Any] = facts.get("environment", facts.get("world", {}))
    if "settings" not in found:
        return found
    return {**found, "settings": {name: _current_value(name, value) for name, value in found["settings"].items()}}


def _current_value(name: str, value: Any) -> Any:
    section, _, key = name.partition(".")
    return RENAMED_VALUES.get((section, key), {}).get(value, value) if isinstance(value, str) else value


def environment_findings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Finding]:
    """How the environment differs from the one that a checkpoint was made in.

    before  the checkpoint's (`recorded_environment`); {} where it has none
    now     the present one
    Returns [] where nothing differs, or nothing is known.
    """
    found = []
    if changed := _differences(before.get("settings"), now["settings"]):
        found.append(
            Finding(
                "changed-settings",
                "stop",
                _("the training was started with other settings (then → now): {changed}", changed=changed),
                where="config.toml",
                do=_("Put them back, or start a new run: terakoya run RUN/config.toml."),
            )
        )
    if changed := _differences(before.get("versions"), now["versions"]):
        found.append(
            Finding(
                "changed-versions",
                "stop",
                _(
                    "the training was started with other versions (then → now): {changed}; its results would be those "
                    "of neither",
                    changed=changed,
                ),
                do=_(
                    "Install the versions that it was started with, or start a new run: terakoya run RUN/config.toml."
                ),
            )
        )
    machine = {name: before[name] for name in ("processor", "device") if name in before}
    if changed := _differences(machine or None, {name: now[name] for name in machine}):
        found.append(
            Finding(
                "changed-machine",
                "warn",
                _(
                    "the training is resumed on another machine (then → now): {changed}; it is not comparable bit by "
                    "bit",
                    changed=changed,
                ),
            )
        )
    return found


def _differences(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """Every value that differs; keys that only one of them has are differences too."""
    if before is None:
        return ""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key.rstrip('.')} {before.get(key)} → {now.get(key)}" for key in keys)
