"""The settings explain themselves: on the command line, on a page, in an editor."""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from importlib import resources
from pathlib import Path

import pytest

from terakoya.cli.main import main
from terakoya.config import Config, known_keys, make_config, read_config, renamed, with_overrides
from terakoya.config.explain import SCHEMA_FILE, explain, json_schema, settings, settings_page
from terakoya.config.renamed import RENAMED_VALUES, RenamedSettingWarning
from terakoya.errors import ConfigError
from terakoya.i18n import in_language
from terakoya.pipeline import scaffold

jsonschema = pytest.importorskip("jsonschema")


def test_every_setting_is_described_in_both_languages() -> None:
    """A setting without an explanation is one that only its author can use."""
    assert len(settings()) == len(list(known_keys()))
    sections = [(name, field.description) for name, field in Config.model_fields.items()]
    for name, description in [*((one.name, one.description) for one in settings()), *sections]:
        assert description, name
        assert in_language(description, "ja") != str(description), name
        assert re.search(r"[ぁ-んァ-ヶ一-龠]", in_language(description, "ja")), name


def test_what_auto_becomes_is_said_where_auto_is_possible() -> None:
    """`auto` is a promise of a value; the value is named."""
    for one in settings():
        if '"auto"' in one.type:
            for lang in ("en", "ja"):
                assert re.search(r"\bauto\b(?!\")", in_language(one.description, lang)), one.name


@pytest.mark.parametrize("special", ['""', "-1", "[]", "{}"])
def test_a_default_that_stands_for_something_else_says_for_what(special: str) -> None:
    """Nobody guesses what an empty text or -1 does."""
    for one in settings():
        if one.default.removesuffix(".0") == special:
            assert special in one.description or one.name in ("teacher.model", "teacher.licence", "teacher.recipe")


def test_a_key_a_section_or_all_may_be_named() -> None:
    assert [one.name for one in explain("train.steps")] == [one.name for one in explain("steps")] == ["train.steps"]
    assert {one.name for one in explain("logit_adjustment")} == {"train.logit_adjustment", "decode.logit_adjustment"}
    assert {one.section for one in explain("score")} == {"score"}
    assert explain() == settings()
    with pytest.raises(ConfigError, match=r"train\.stps.*\n.*'train\.steps'"):
        explain("train.stps")


def test_a_setting_shows_default_type_and_choices() -> None:
    (method,) = explain("decode.method")
    assert method.default == '"greedy"' and "expected-metric" in method.choices
    assert explain("train.replicas")[0].type == 'integer ≥ 1 or "auto"'
    assert explain("split.dev")[0].type == "number ≥ 0, < 1"


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_page_has_every_key(lang: str) -> None:
    page = settings_page(lang)
    assert all(f"| `{key}` |" in page for _, key, _ in known_keys())


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_schema_accepts_what_ships_and_refuses_what_a_config_refuses(lang: str) -> None:
    """An editor that underlines a correct line is switched off."""
    schema = json_schema(lang)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    shipped = [file for file in (resources.files("terakoya") / "experiments").iterdir() if file.name.endswith(".toml")]
    assert len(shipped) > 20
    for file in shipped:
        validator.validate(tomllib.loads(file.read_text(encoding="utf-8")))
    validator.validate({"task": "numerals"})
    for wrong in (
        {"train": {"step": 3}}, {"train": {"replicas": 0}}, {"train": {"betas": [0.9]}}, {"split": {"dev": 1.0}},
        {"decode": {"method": "best"}}, {"seed": -1}, {"sede": 1},
    ):  # fmt: skip
        assert not validator.is_valid(wrong), wrong
        with pytest.raises(ConfigError):
            make_config(wrong)


def test_a_new_task_brings_the_schema_that_its_config_names(tmp_path: Path) -> None:
    config, table, schema = scaffold.write(tmp_path / "moods")
    assert config.read_text(encoding="utf-8").startswith(f"#:schema ./{SCHEMA_FILE}\n")
    assert schema == config.with_name(SCHEMA_FILE) and schema.is_file() and table.is_file()
    assert read_config(config).task.data == "moods.csv"


def test_an_old_name_works_and_names_the_new_one_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config of last year runs, and its author learns the new word without being nagged."""
    monkeypatch.setattr(renamed, "_announced", set())
    file = tmp_path / "old.toml"
    for (section, key), names in RENAMED_VALUES.items():
        for old, new in names.items():
            file.write_text(f'[{section}]\n{key} = "{old}"\n', encoding="utf-8")
            with pytest.warns(RenamedSettingWarning, match=f"'{old}'.*'{new}'"):
                config = read_config(file, announce=True)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert (
                    read_config(file, announce=True) == config == with_overrides(Config(), [f"{section}.{key}={old}"])
                )
            assert getattr(getattr(config, section), key) == new


def test_the_config_of_an_old_run_opens_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can edit the record of a run; its reader is not warned."""
    monkeypatch.setattr(renamed, "_announced", set())
    file = tmp_path / "config.toml"
    file.write_text('[model]\nforward = "quick"\n', encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_config(file).model.forward == "fused"


def test_the_command_line_explains_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """What the page says, the terminal says, in the reader's language; an unknown key is a usage error."""
    assert main(["explain", "train.steps", "--lang", "ja"]) == 0
    assert explain("train.steps")[0].default in (shown := capsys.readouterr().out) and "最適化" in shown
    assert main(["explain", "train", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) > 30 and found[0].keys() >= {"section", "key", "default", "description", "description_ja"}
    assert main(["explain", "train.stps"]) == 2
    assert "train.steps" in capsys.readouterr().err
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def test_an_old_name_is_one_line_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(renamed, "_announced", set())
    table = tmp_path / "table.csv"
    table.write_text("source,target\na,b\n", encoding="utf-8")
    config = tmp_path / "config.toml"
    config.write_text('[task]\ndata = "table.csv"\n[model]\nforward = "quick"\n', encoding="utf-8")
    main(["audit", str(config), "--lang", "ja"])
    lines = [line for line in capsys.readouterr().err.splitlines() if "quick" in line]
    assert len(lines) == 1 and "fused" in lines[0] and "改名" in lines[0]
