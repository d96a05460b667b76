"""Where a base cannot go is said before hours are spent on training it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from checkpoints import checkpoint

import terakoya as tk
from terakoya.records import Finding


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("table") / "numbers.jsonl"
    lines = [{"source": f"{number}円", "target": str(number)} for number in range(100, 160)]
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return file


CONFIG: Any = tk.Config  # its sections are given as dictionaries, as users do


def _note(table: Path, base: str, **more: object) -> Finding:
    config = CONFIG(name="n", task={"data": str(table), "codec": "number"}, model={"base": base}, **more)
    (found,) = [one for one in tk.doctor(config).findings if one.check == "exports"]
    assert found.level == "note" and found.where == "model.base"
    return found


@pytest.mark.parametrize(
    ("family", "possible", "obstacle"),
    [
        ("gemma3", "gguf · ct2 · hub", ""),
        ("t5", "ct2 · hub", "not to gguf (llama.cpp's server runs causal models"),
        ("lfm2", "hub", "not to gguf (the architecture 'lfm2' is not among those that are written here"),
    ],
)
def test_doctor_names_the_exports_of_a_base(
    table: Path, tmp_path: Path, family: str, possible: str, obstacle: str
) -> None:
    """T5 has no llama-server, an unknown architecture no converter; nothing was trained for that."""
    found = _note(table, str(checkpoint(tmp_path / family, family)))
    assert f"can be exported to {possible}" in found.what
    assert obstacle in found.what and bool(found.do) == bool(obstacle)


def test_a_setting_of_decoding_can_be_in_the_way(table: Path) -> None:
    """A built-in model goes to a page only where it decodes greedily."""
    assert "page · runtime · onnx · hub" in _note(table, "tiny").what
    found = _note(table, "tiny", decode={"method": "beam"})
    assert "can be exported to hub" in found.what and "not to page (sequences are decoded greedily" in found.what


def test_a_run_says_it_before_its_first_step(table: Path, tmp_path: Path) -> None:
    """In findings.jsonl, so in the record as well."""
    config = CONFIG(name="n", task={"data": str(table), "codec": "number"}, model={"base": "tiny"}, train={"steps": 2})
    result = tk.train(config, run_dir=tmp_path)
    lines = [json.loads(one) for one in (result.folder / "findings.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["check"] for one in lines].count("exports") == 1
