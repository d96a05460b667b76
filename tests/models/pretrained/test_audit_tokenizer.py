"""The audit gets the tokenizer of a pretrained base before any weight is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import checkpoint

from terakoya.config import ModelConfig
from terakoya.models.pretrained import build
from terakoya.models.protocol import Pair, Query
from terakoya.pipeline import commands


@pytest.fixture(scope="module", params=["gemma3", "t5", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("bases") / request.param, request.param)


def test_the_audit_tokenizer_encodes_targets_as_the_model_does(base: Path) -> None:
    """An audit with another tokenizer than the training's would find what is not there."""
    rows = [Pair(Query(f"三万{n}"), f"(3000{n}) 🎻", "") for n in range(4)]
    model = build.build(ModelConfig(base=str(base)), rows, (), seed=0)
    reader = build.reader(ModelConfig(base=str(base)), {row.target for row in rows})
    for row in rows:
        assert [*reader.encode(row.target), model.end] == model.target_ids(row.target)
        assert reader.decode(reader.encode(row.target)) == row.target


def table(folder: Path, base: Path, rows: list[tuple[str, str]], more: str = "") -> str:
    lines = "".join(f"{source},{target}\n" for source, target in rows)
    (folder / "rows.csv").write_text("source,target\n" + lines, encoding="utf-8")
    text = f'[task]\ndata = "rows.csv"\n[split]\ndev = 0.2\nexam = 0.3\n[model]\nbase = "{base}"\n{more}'
    (folder / "rows.toml").write_text(text, encoding="utf-8")
    return str(folder / "rows.toml")


def test_the_audit_of_a_config_reports_what_its_base_cannot_encode(tmp_path: Path) -> None:
    """An emoji that becomes an unknown token is a label that is never learnt: reported before the GPU is rented."""
    base = checkpoint(tmp_path / "t5", "t5")
    rows = [(f"文{n}です", "うん" if n % 2 else "いや🪭") for n in range(40)]
    without = table(tmp_path, base, rows, 'new_tokens = "none"\n')
    found = {(one.check, one.where): one for one in commands.audit(without)}
    assert found["tokenizer-loses", "target"].level == "stop"
    accepted = {
        one.check for one in commands.audit(without, overrides=["model.new_tokens=needed"]) if one.where == "target"
    }
    assert "tokenizer-loses" not in accepted


def test_targets_that_the_codec_refuses_are_still_reported_by_the_audit(tmp_path: Path) -> None:
    """Collecting the tokens that targets need must not end at the one that the codec refuses."""
    base = checkpoint(tmp_path / "gemma", "gemma3")
    rows = [(f"文{n}です", "abc" if n == 7 else str(n)) for n in range(40)]
    path = table(tmp_path, base, rows)
    found = {one.check: one for one in commands.audit(path, overrides=["task.codec=number"])}
    assert found["unreadable-targets"].level == "stop"


def test_the_audit_counts_what_would_be_cut(tmp_path: Path) -> None:
    """A model trained on a truncated target never ends its output."""
    base = checkpoint(tmp_path / "gemma", "gemma3")
    rows = [(f"文{n}です", "うんとながい" * 9 + str(n)) for n in range(40)]
    found = {one.check: one for one in commands.audit(table(tmp_path, base, rows, "max_target = 8\n"))}
    assert found["too-long"].level == "stop"
    assert "40 targets" in found["too-long"].what


def test_a_base_out_of_reach_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the audit refuses as a run would, and names what it could not reach."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from terakoya.errors import TerakoyaError

    with pytest.raises(TerakoyaError, match="nobody/nothing"):
        commands.audit(table(tmp_path, Path("nobody/nothing"), [(f"文{n}", str(n)) for n in range(20)]))


def test_no_weights_are_opened(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a tokenizer must not cost the memory of the model."""
    import transformers

    def never(*_: object, **__: object) -> None:
        raise AssertionError("weights were opened")

    for maker in (transformers.AutoModelForCausalLM, transformers.AutoModelForSeq2SeqLM):
        monkeypatch.setattr(maker, "from_pretrained", never)
    assert build.reader(ModelConfig(base=str(base)), {"(1)"}).encode("(1)")
