"""Redaction: the value of an environment variable named like a secret never reaches a run folder.

A provider may quote the key in its error message, and a message may become a finding, so every text passes here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

_SECRET = re.compile(r"(?i)(^|_)(key|token|secret|password|passwd|credentials?)($|_)")
# Shorter values are words and numbers that may occur in data by coincidence.
_SHORTEST = 16


def without_secrets(value: Any, environment: Mapping[str, str] | None = None) -> Any:
    """`value` (text, or lists and dicts of it) with every secret of `environment` (default: the process's) replaced by
    its variable's name."""
    environment = os.environ if environment is None else environment
    secrets = {held: name for name, held in environment.items() if _SECRET.search(name) and len(held) >= _SHORTEST}
    return _without(value, secrets) if secrets else value


def _without(value: Any, secrets: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for held, name in secrets.items():
            if held in value:
                value = value.replace(held, f"[{name}]")
        return value
    if isinstance(value, dict):
        return {key: _without(item, secrets) for key, item in value.items()}
    return [_without(item, secrets) for item in value] if isinstance(value, list) else value
