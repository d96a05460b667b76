"""One config: what differs is written, the whole is kept, and every fault is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terakoya.config import Config, known_keys, make_config, parse_config, read_config, with_overrides, write_config
from terakoya.errors import ConfigError


def test_the_whole_config_reads_back_as_itself() -> None:
    """A run is repeated a year later from the file that it left."""
    config = make_config({"task": {"use": "numerals", "options": {"forms": ["kanji"], "exam_seed": 3}}, "seed": 7})
    assert parse_config(write_config(config)) == config
    text = write_config(Config())
    assert all(f"{key} = " in text for section, key, _ in known_keys() if section)


@given(st.text(max_size=40))
def test_any_text_survives_being_written(text: str) -> None:
    """Names and paths are people's: quotes, line breaks and all."""
    config = make_config({"name": text, "task": {"data": text}})
    assert parse_config(write_config(config)) == config


def test_task_may_be_a_name_alone() -> None:
    assert make_config({"task": "numerals"}).task.use == "numerals"


def test_all_faults_are_reported_at_once_and_each_names_its_neighbour() -> None:
    """A file is mended once."""
    with pytest.raises(ConfigError) as refusal:
        make_config({"train": {"epoch": 3, "schedule": "cosin"}, "sed": 1}, where="kannume.toml")
    message = str(refusal.value)
    assert "kannume.toml[train]: unknown key 'epoch'\nDid you mean 'epochs'?" in message
    assert "cosine" in message
    assert "'sed'" in message and "'seed'" in message


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.steps=100", ("train", "steps"), 100),
        ("train.learning_rate=1e-5", ("train", "learning_rate"), 1e-5),
        ("train.betas=[0.9, 0.99]", ("train", "betas"), (0.9, 0.99)),
        ("model.revision=007", ("model", "revision"), "007"),
        ('model.revision="007"', ("model", "revision"), "007"),
        (r'model.base_prompt="a {source}\nb"', ("model", "base_prompt"), "a {source}\nb"),
        (r"model.base_prompt='a {source}\nb'", ("model", "base_prompt"), r"a {source}\nb"),
        (r'model.base="C:\data\qwen"', ("model", "base"), r"C:\data\qwen"),
        ('model.base="tiny"', ("model", "base"), "tiny"),
        ("task.data=1.0", ("task", "data"), "1.0"),
        ("decode.verify=true", ("decode", "verify"), True),
    ],
)
def test_an_override_keeps_its_type_and_text_stays_text(override: str, key: tuple[str, str], value: object) -> None:
    """`--set model.revision=007` is not 7."""
    config = with_overrides(Config(), [override])
    assert getattr(getattr(config, key[0]), key[1]) == value


@pytest.mark.parametrize("override", ["steps", "=3", "a.b.c.d=1", "train=3", "train.steps=many", "seed.x=1"])
def test_an_override_that_is_none_is_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        with_overrides(Config(), [override])


@pytest.mark.parametrize("override", ["train.batch_size=0", "train.evaluate_every=0", "train.warmup=-1"])
def test_a_number_that_cannot_be_trained_with_is_refused(override: str) -> None:
    """The first two divided by zero and ended as faults of ours; the third was taken."""
    with pytest.raises(ConfigError, match="must be at least"):
        with_overrides(Config(), [override])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"[task\n", "TOML"),
        ("名前 = 1".encode("cp932"), "UTF-8"),
        (b"seed = 007\n", "TOML"),
        (b"x = " + b"[" * 5000, "TOML"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=word):
        read_config(path)
    with pytest.raises(ConfigError, match="no such"):
        read_config(tmp_path / "none.toml")


def test_nothing_changes_a_config() -> None:
    with pytest.raises(Exception, match="frozen"):
        Config().train.steps = 3  # type: ignore[misc]
