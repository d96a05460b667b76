"""P18: a setting of the data that decides nothing is refused before anything is trained.

Settings of model, training and decoding: tests/training/test_preflight.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.config import with_overrides
from terakoya.config.reading import parse_config
from terakoya.pipeline.dataset import audit_dataset, load_dataset
from terakoya.registry import Experiment

TABLE = '[task]\ndata = "words.csv"\n'
FILES = TABLE + 'dev = "other.csv"\nexam = "other.csv"\n'
PERSONA = '[task]\nuse = "persona"\n'
OWN_FILE = '[task]\nuse = "swap.py"\n'

# Config, a setting that does nothing there.
IDLE = [
    (TABLE, "task.options={turns=1}"), (TABLE, "task.separator=|"), (TABLE, "score.exam_items=50"),
    (TABLE, "split.dev_items=5"), (TABLE, "split.exam_items=5"), (TABLE, "split.stratify=kind"),
    (TABLE, "split.fold=2"),
    (TABLE + 'split = "part"\n', "split.dev=0.3"), (TABLE + 'split = "part"\n', "split.salt=x"),
    (TABLE + 'split = "part"\n', "split.method=tail"), (TABLE + "[split]\nfolds = 5\n", "split.dev=0.3"),
    (TABLE + "[split]\nfolds = 5\n", "split.method=exact"),
    (TABLE + 'split = "part"\n[split]\nfolds = 5\n', "task.split=part"),
    (TABLE + '[split]\nmethod = "exact"\ndev_items = 5\n', "split.dev=0.3"),
    (TABLE + '[split]\nmethod = "stratified"\n', "split.exam_items=5"),
    (TABLE + '[split]\nmethod = "tail"\n', "split.salt=x"),
    (TABLE + 'dev = "other.csv"\n', "split.dev=0.3"), (FILES, "split.exam=0.3"), (FILES, "split.method=tail"),
    (FILES, "split.folds=5"),
    (PERSONA, "task.source=question"), (PERSONA, "task.target=answer"), (PERSONA, "task.group=who"),
    (PERSONA, "task.split=part"), (PERSONA, "task.encoding=cp932"), (PERSONA, "task.dev=other.csv"),
    (PERSONA, "task.exam=other.csv"), (PERSONA, "task.notation=pds"), (PERSONA, "score.exam_items=50"),
    (OWN_FILE, "split.dev=0.3"), (OWN_FILE, "task.source=question"),
]  # fmt: skip
USEFUL = [
    (TABLE, "split.dev=0.3"), (TABLE, "split.salt=x"), (TABLE, "task.encoding=utf-8"), (TABLE, "split.folds=5"),
    (TABLE, "task.split=part"), (TABLE + '[split]\nmethod = "exact"\n', "split.dev_items=5"),
    (TABLE + '[split]\nmethod = "stratified"\n', "split.stratify=kind"), (FILES, "task.group=kind"),
    (PERSONA, "split.dev=0.3"), (PERSONA, "task.options={turns=1}"),
]  # fmt: skip
TASK = """
from terakoya.records import Example, Split
from terakoya.task import Task

def task():
    rows = tuple(Example(f"{one}{two}", f"{two}{one}") for one in "あいうえお" for two in "かきくけこ")
    return Task(name="swap", split=Split(rows[:15], rows[15:20], rows[20:]))
"""


def _unused(folder: Path, text: str, setting: str) -> list[str]:
    """The keys that an audit says to do nothing."""
    rows = [f"語{n:03},{n:03}語,{'ab'[n % 2]},{('train', 'dev', 'exam')[n % 3]}" for n in range(90)]
    (folder / "words.csv").write_text("\n".join(["source,target,kind,part", *rows]))
    (folder / "other.csv").write_text("source,target,kind\nか1,1か,a\nか2,2か,b\nか3,3か,a\n")
    (folder / "swap.py").write_text(TASK)
    config = with_overrides(parse_config(text, where="test"), [setting])
    found = audit_dataset(load_dataset(Experiment("test", config, folder)))
    stops = [finding for finding in found if finding.check == "no-effect"]
    assert all(finding.level == "stop" and finding.where in finding.do for finding in stops)
    return [finding.where for finding in stops]


@pytest.mark.parametrize(("text", "setting"), IDLE, ids=str)
def test_a_setting_of_the_data_that_decides_nothing_is_refused(text: str, setting: str, tmp_path: Path) -> None:
    """It was ignored in silence: with options on a table, or a share for files of one's own, nothing changed."""
    assert setting.partition("=")[0] in _unused(tmp_path, text, setting)


@pytest.mark.parametrize(("text", "setting"), USEFUL, ids=str)
def test_a_setting_of_the_data_that_decides_something_passes(text: str, setting: str, tmp_path: Path) -> None:
    assert _unused(tmp_path, text, setting) == []
