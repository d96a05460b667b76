"""A user's table becomes examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terakoya.config import make_config
from terakoya.data.formats.examples import write_examples
from terakoya.data.table import stream_examples, table_task
from terakoya.errors import DataError
from terakoya.records import Example, Turn
from terakoya.task import Task


def made(tmp_path: Path, text: str, name: str = "x.csv", **task: object) -> Task:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return table_task(make_config({"task": {"data": name, **task}}), tmp_path)


ROWS = "".join(f"s{n},t{n},g{n % 5},{'test' if n % 3 == 0 else 'dev' if n % 3 == 1 else 'train'}\n" for n in range(30))


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    task = made(tmp_path, "japanese,arabic,group,part_of\n" + ROWS, source="japanese", target="arabic")
    assert task.examples[0] == Example("s0", "t0", origin="x.csv", row=2)


def test_a_split_column_is_respected(tmp_path: Path) -> None:
    task = made(tmp_path, "source,target,g,side\n" + ROWS, split="side")
    assert task.split is not None and task.split.method == "column"
    assert {example.source for example in task.split.exam} == {f"s{n}" for n in range(0, 30, 3)}


def test_a_group_column_keeps_its_rows_together(tmp_path: Path) -> None:
    task = made(tmp_path, "source,target,g,side\n" + ROWS, group="g")
    assert task.split is not None
    splits = [{e.group for e in side} for side in (task.split.train, task.split.dev, task.split.exam)]
    assert sum(map(len, splits)) == 5


def test_own_files_are_the_splits(tmp_path: Path) -> None:
    (tmp_path / "exam.csv").write_text("source,target\nq,a\n")
    task = made(tmp_path, "source,target,g,side\n" + ROWS, exam="exam.csv")
    assert task.split is not None
    assert [e.source for e in task.split.exam] == ["q"] and len(task.split.train) + len(task.split.dev) == 30
    with pytest.raises(DataError, match="exclude"):
        made(tmp_path, "source,target,g,side\n" + ROWS, exam="exam.csv", split="side")


def test_a_list_is_a_set_of_labels_and_nothing_else(tmp_path: Path) -> None:
    """Joined silently, a list of sentences would become one."""
    lines = "\n".join(json.dumps({"source": f"s{n}", "target": ["✨", "📚"]}) for n in range(9))
    assert made(tmp_path, lines, "x.jsonl", codec="labels").examples[0].target == "✨ 📚"
    with pytest.raises(DataError, match=r"x\.jsonl, line 1"):
        made(tmp_path, lines, "x.jsonl")
    with pytest.raises(DataError, match="holds a list"):
        made(tmp_path, '{"source": ["a"], "target": "b"}', "y.jsonl")


def test_what_was_written_reads_back_as_the_same_examples(tmp_path: Path) -> None:
    """`terakoya split` writes what `terakoya run` reads."""
    examples = [
        Example("q", "✨", origin="teacher", accepted=("📚",), tags=(("kind", "sns"),), turns=(Turn("user", "a"),)),
        Example("r", "🎉", origin="rules", subset="memorised"),
    ]
    write_examples(tmp_path / "x.jsonl", examples)
    wanted = make_config({"task": {"data": "x.jsonl"}}).task
    read = [example for example, _ in stream_examples(wanted, "x.jsonl", tmp_path)]
    assert [example.fingerprint for example in read] == [example.fingerprint for example in examples]
    assert [(e.origin, e.accepted, e.tags, e.turns, e.subset) for e in read] == [
        (e.origin, e.accepted, e.tags, e.turns, e.subset) for e in examples
    ]


def test_a_chat_is_known_by_all_of_its_turns(tmp_path: Path) -> None:
    def chat(first: str) -> str:
        said = [("user", first), ("assistant", "うん"), ("user", "なぜ"), ("assistant", "さあ")]
        return json.dumps({"messages": [{"role": role, "content": text} for role, text in said]})

    (tmp_path / "x.jsonl").write_text(chat("a") + "\n" + chat("b"))
    wanted = make_config({"task": {"data": "x.jsonl"}}).task
    one, two = (example for example, _ in stream_examples(wanted, "x.jsonl", tmp_path))
    assert (one.source, one.target) == (two.source, two.target) == ("なぜ", "さあ")
    assert one.fingerprint != two.fingerprint
