"""Files audited: as a run would see them where they are small, streamed where they are not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic_data import emoji_v1

from benchmarks.faults.audit_defects import BEGIN, END, format_tables
from benchmarks.faults.injected_faults import DEFECTS
from benchmarks.reporting import RESULTS, ROOT
from terakoya.config import Config, make_config
from terakoya.data.audit import audit_table, single_pass, tables
from terakoya.data.audit import thresholds as line
from terakoya.errors import DataError
from terakoya.records import Finding


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every file counts as a large one."""
    monkeypatch.setattr(tables, "HELD", -1)
    return


def written(folder: Path, *, extra: str = "", size: int = 1000) -> Path:
    path = folder / "v1.csv"
    rows = "".join(f"{row.source},{row.target}\n" for row in emoji_v1()[:size])
    path.write_text(f"source,target\n{rows}{extra}", encoding="utf-8")
    return path


def config(codec: str = "labels", **task: object) -> Config:
    return make_config({"task": {"codec": codec, **task}})


def raised(found: list[Finding]) -> set[tuple[str, str]]:
    return {(one.check, one.level) for one in found if one.level != "note"}


def test_a_stream_finds_what_a_held_table_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that grows must not lose its faults on the way."""
    extra = "けしき,🎉\nけしき,✨\nけしき,✨\n空,\ufffd\n海,\n"
    path = written(tmp_path, extra=extra)
    held = audit_table(path, config())
    monkeypatch.setattr(tables, "HELD", -1)
    streamed = audit_table(path, config())
    assert raised(held) == raised(streamed)
    assert {check for check, _ in raised(held)} >= {"label-skew", "label-density", "empty", "unreadable-targets"}


@pytest.mark.usefixtures("streaming")
def test_a_stream_sees_leaks_in_the_authors_column(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = "".join(f"s{n},{n},{'test' if n % 4 == 0 else 'train'}\n" for n in range(4000))
    path.write_text(f"source,target,side\n{rows}S8 ,8,train\n", encoding="utf-8")
    found = {one.check: one for one in audit_table(path, config("number", split="side"))}
    assert found["leak"].level == "stop" and found["leak"].values["normal_form"] == 1


@pytest.mark.usefixtures("streaming")
def test_the_memory_of_a_stream_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a fair sample is kept: shares stay, and the finding says that it is a sample."""
    monkeypatch.setattr(line, "FINGERPRINTS_KEPT", 1000)
    path = tmp_path / "x.csv"
    path.write_text("source,target\n" + "".join(f"s{n // 2},t{n // 2}\n" for n in range(8000)), encoding="utf-8")
    found = {one.check: one for one in audit_table(path, config("text"))}["duplicates"]
    assert "in a sample of 1 in" in found.what and abs(found.values["share"] - 0.5) < 0.01


def test_samples_are_fair_and_bounded() -> None:
    kept: single_pass.HashSample[int] = single_pass.HashSample(100)
    for number in range(100_000):
        kept.add(single_pass.hash64(str(number)), number)
    assert 40 <= len(kept.kept()) <= 100 and abs(sum(kept.kept()) / len(kept.kept()) - 50_000) < 12_000
    even: single_pass.EvenSample[int] = single_pass.EvenSample(100)
    for number in range(100_000):
        even.add(number)
    assert 100 <= len(even.items) < 200 and len({b - a for a, b in zip(even.items, even.items[1:], strict=False)}) == 1


def test_a_file_that_is_no_table_is_refused_before_anything(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("source,target\n")
    with pytest.raises(DataError, match="0 rows"):
        audit_table(tmp_path / "x.csv", config("text"))
    with pytest.raises(DataError, match="no such file"):
        audit_table(tmp_path / "y.csv", config("text"))


def test_the_audit_runs_without_torch(tmp_path: Path) -> None:
    """Data are looked at on machines that will never train."""
    path = written(tmp_path, size=200)
    script = (
        "import sys; from pathlib import Path; from terakoya.config import make_config\n"
        "from terakoya.data.audit import audit_table\n"
        "found = audit_table(Path(sys.argv[1]), make_config({'task': {'codec': 'labels'}}))\n"
        "assert found and not {'torch', 'transformers', 'datasets', 'polars'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_findings_are_the_same_in_every_process(tmp_path: Path) -> None:
    """A report that changes with PYTHONHASHSEED cannot be compared with yesterday's."""
    path = written(tmp_path, size=200)
    script = (
        "import sys, json; from pathlib import Path; from terakoya.config import make_config\n"
        "from terakoya.data.audit import audit_table\n"
        "found = audit_table(Path(sys.argv[1]), make_config({'task': {'codec': 'labels'}}))\n"
        "print(json.dumps([[one.check, one.level, one.what, one.rows, dict(one.values)] for one in found]))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(said) == 1 and json.loads(said.pop())


def test_the_page_shows_what_was_measured() -> None:
    """The table of docs/audit.md is made from the results, and both know every kind of defect that is injected."""
    results = json.loads((RESULTS / "audit_defects.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == format_tables(results).strip()
    assert [one["name"] for one in results["defects"]] == [defect.name for defect in DEFECTS]
    assert [one["checks"] for one in results["defects"]] == [list(defect.checks) for defect in DEFECTS]
