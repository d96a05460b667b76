"""An installed package, as importlib.metadata sees one: modules and a dist-info folder on the path."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    modules: Mapping[str, str],
    points: Mapping[str, str],
    package: str = "their-package",
) -> Path:
    """Install a package for the time of a test.

    folder   to make it in
    modules  file name → source
    points   "metrics near" → "their_module:near"
    package  its name; its version is 1.2.3
    """
    site = folder / f"site-{package}"
    info = site / f"{package.replace('-', '_')}-1.2.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2.3\n", encoding="utf-8")
    lines = [f"[terakoya.{key.split()[0]}]\n{key.split()[1]} = {value}\n" for key, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    for name, source in modules.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(source, encoding="utf-8")
        module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(str(site))
    return site
