"""A tokenizer is tried in a child process before it is opened: once for its contents, not at every command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from terakoya.config import ModelConfig
from terakoya.errors import CorruptError
from terakoya.models.pretrained import build, tokenizer_probe
from terakoya.models.pretrained.limited_child import ChildFailed
from terakoya.models.protocol import Pair, Query

Base = Callable[[str], Path]


def _probe_in_a_new_process(folder: Path) -> None:
    tokenizer_probe._fault.cache_clear()
    tokenizer_probe.probe_tokenizer(folder, "qwen")


def test_a_tokenizer_that_came_through_is_not_tried_again(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is of the contents: another file of the same name and size is tried."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "qwen"
    shutil.copytree(base("qwen2"), folder)
    _probe_in_a_new_process(folder)

    def dies(*_args: object, **_named: object) -> None:
        raise ChildFailed("it took too much time or memory")

    monkeypatch.setattr(tokenizer_probe, "run_limited", dies)
    _probe_in_a_new_process(folder)
    file = folder / "tokenizer.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(": ", ":\t", 1), encoding="utf-8")
    for _again in range(2):  # what did not come through is never kept
        with pytest.raises(CorruptError, match="too much time or memory"):
            _probe_in_a_new_process(folder)


def test_a_home_that_cannot_be_written_costs_time_alone(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("a file stands where the folder would be", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    _probe_in_a_new_process(base("qwen2"))


def test_a_prompt_of_the_source_alone_uses_the_prefix_tree(base: Base) -> None:
    """A check of few tokens proved nothing, and rows without an instruction were padded."""
    pairs = [Pair(Query("一万五千"), "15000"), Pair(Query("二"), "2")]
    model = build.build(ModelConfig(base=str(base("gemma3")), head="sequence", template="plain"), pairs, (), seed=0)
    assert model.layout == "tree"
