"""Confidence that can be used: calibrated on dev, the same from both ways of opening a model, told on the exam."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from terakoya.cli.main import main
from terakoya.decoding.confidence import confidence_from_json, confidence_to_json
from terakoya.errors import ConfigError, CorruptError
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.runs import Run, seal
from terakoya.saved_model import FILE, read_skill

KANJI = "〇一二三四五六七八九"
SETTINGS = ["train.steps=400", "train.evaluate_every=400", "score.resamples=100", "seed=3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads the kanji of three digits, most of them right, with 300 rows of dev."""
    folder = tmp_path_factory.mktemp("confidence")
    pairs = [("".join(KANJI[int(digit)] for digit in f"{n:03}"), f"{n:03}") for n in range(1000)]
    kinds = ("train", "dev", "train", "exam", "train", "dev", "train", "exam", "dev", "train")
    rows = [(*pair, kinds[n * 7 % 10]) for n, pair in enumerate(pairs)]
    (folder / "a.csv").write_text("source,target,split\n" + "".join(",".join(row) + "\n" for row in rows), "utf-8")
    (folder / "a.toml").write_text('[task]\ndata = "a.csv"\nsplit = "split"\n[model]\nbase = "tiny"\n', "utf-8")
    done = pipeline.run(str(folder / "a.toml"), overrides=SETTINGS, run_dir=folder / "runs", anyway=True)
    return Path(done.folder)


def _lines(path: Path, texts: list[str], *settings: str) -> list[dict[str, object]]:
    return list(commands.predict(path, texts, overrides=list(settings)))


def _scores(path: Path) -> dict[str, object]:
    return dict(json.loads((path / "scores.json").read_text("utf-8"))["confidence"])


def test_predictions_and_the_record_have_the_calibrated_probability(run: Path) -> None:
    recorded = [json.loads(line) for line in (run / "predictions.jsonl").read_text("utf-8").splitlines()]
    line = _lines(run, [recorded[0]["source"]])[0]
    assert line["probability"] == pytest.approx(recorded[0]["probability"], abs=1e-5)
    assert line["uncalibrated"] == pytest.approx(recorded[0]["uncalibrated"], abs=1e-5)
    assert abs(line["probability"] - line["uncalibrated"]) > 1e-4  # type: ignore[operator]


def test_both_ways_of_opening_a_model_give_the_same_calibrated_probability(run: Path) -> None:
    texts = ["一二三", "九〇九", "五", "ありがとう", "七七七七"]
    without, with_torch = (read_skill(run, predict_only=only).predict(texts) for only in (True, False))
    for one, other in zip(without, with_torch, strict=True):
        assert (one.text, one.withheld, one.novel) == (other.text, other.withheld, other.novel)
        assert one.probability == pytest.approx(other.probability, abs=1e-4)
        assert one.uncalibrated == pytest.approx(other.uncalibrated, abs=1e-4)


@pytest.mark.parametrize("source", ["Д", "Bonjour", "오늘 날씨", "ありがとう", "zzz", "今日は良い天気"])
def test_a_source_in_another_language_is_withheld_although_the_model_is_sure(run: Path, source: str) -> None:
    """Such inputs were answered with a probability of .999."""
    line = _lines(run, [source], "decode.unknown=predict")[0]
    assert (line["prediction"], line["withheld"]) == (None, "novelty")
    told = _lines(run, [source], "decode.unknown=predict", "decode.novel=predict")[0]
    assert "withheld" not in told


def test_sources_like_those_of_training_are_not_withheld(run: Path) -> None:
    exam = [json.loads(line)["source"] for line in (run / "predictions.jsonl").read_text("utf-8").splitlines()]
    assert sum("withheld" in line for line in _lines(run, exam)) == _scores(run)["novel"] == 0


def test_a_promise_withholds_what_it_does_not_cover_and_is_told_on_the_exam(run: Path) -> None:
    exam = [json.loads(line) for line in (run / "predictions.jsonl").read_text("utf-8").splitlines()]
    lines = _lines(run, [one["source"] for one in exam], "decode.promise=0.95")
    given = [(line, one) for line, one in zip(lines, exam, strict=True) if line["prediction"] is not None]
    assert all(line.get("withheld", "promise") == "promise" for line in lines)
    right = sum(line["prediction"] == one["target"] for line, one in given) / len(given)
    assert right >= 0.95
    copy = run.parent / "copy"  # beside it, where its data lies
    shutil.copytree(run, copy)
    commands.evaluate(copy, overrides=["decode.promise=0.95"])
    told = json.loads(next(copy.glob("evaluations/*/scores.json")).read_text("utf-8"))["confidence"]
    assert told["promised"] == 0.95
    assert told["covered"]["value"] == len(given) / len(exam)
    assert told["right"]["value"] == right
    assert told["right"]["low"] < right


def test_what_dev_cannot_promise_is_refused_with_what_it_can(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"0\.995 right predictions cannot be promised with this dev set") as refused:
        _lines(run, ["一二三"], "decode.promise=0.995")
    advised = str(refused.value.do).partition("--set ")[2].partition(" can be kept")[0]
    assert _lines(run, ["一二三"], advised)[0]["prediction"] is not None
    with pytest.raises(ConfigError, match="other ones"):
        _lines(run, ["一二三"], "decode.promise=0.9", "decode.constrained=false")


def test_a_model_folder_keeps_its_confidence_as_data(run: Path, tmp_path: Path) -> None:
    about = json.loads((run / "model" / FILE).read_text("utf-8"))
    confidence = confidence_from_json(about["confidence"])
    assert confidence_to_json(confidence) == about["confidence"]
    assert len((run / "model" / FILE).read_text("utf-8").splitlines()) < 100
    older, damaged = tmp_path / "older", tmp_path / "damaged"
    for folder, values in ((older, None), (damaged, {**about["confidence"], "right": "10"})):
        shutil.copytree(run / "model", folder)
        (folder / FILE).write_text(json.dumps({**about, "confidence": values}), "utf-8")
        seal(folder)
    line = _lines(older, ["一二三"])[0]
    assert "uncalibrated" not in line
    with pytest.raises(ConfigError, match="was not measured on dev"):
        _lines(older, ["一二三"], "decode.promise=0.9")
    with pytest.raises(CorruptError, match="truncated or changed"):
        _lines(damaged, ["一二三"])


def _as_before_there_was_confidence(run: Path, copy: Path) -> Path:
    """The run as an older version left it: probabilities of the model itself, and nothing measured of them."""
    shutil.copytree(run, copy)
    about = json.loads((copy / "model" / FILE).read_text("utf-8"))
    about.pop("confidence")
    (copy / "model" / FILE).write_text(json.dumps(about), "utf-8")
    seal(copy / "model")
    with Run.resume(copy) as opened:
        lines = opened.read_lines("predictions.jsonl")
        old = [{**line, "probability": line["uncalibrated"]} for line in lines]
        opened.rewrite("predictions.jsonl", [{k: v for k, v in one.items() if k != "uncalibrated"} for one in old])
        scores = opened.read_json("scores.json")
        opened.write_json("scores.json", {name: value for name, value in scores.items() if name != "confidence"})
        opened.seal_results()
    return copy


def _measured(run: Path) -> tuple[object, ...]:
    about = json.loads((run / "model" / FILE).read_text("utf-8"))
    predictions = [{**line, "crc32": ""} for line in Run.open(run).read_lines("predictions.jsonl")]
    return about["confidence"], predictions, _scores(run)


def test_an_older_run_is_calibrated_without_training_and_is_then_like_a_new_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = _as_before_there_was_confidence(run, run.parent / tmp_path.name)
    weights = (old / "model" / "model.safetensors").read_bytes()
    assert read_skill(old).confidence is None
    for _again in range(2):  # a second time changes nothing
        assert main(["calibrate", str(old), "--lang", "en"]) == 0
        assert _measured(old) == _measured(run)
    said = capsys.readouterr().out
    assert "dev items are predicted rightly" in said
    assert "can be promised" in said
    assert (old / "model" / "model.safetensors").read_bytes() == weights
    assert pipeline.run(str(old)).folder == old  # its seals fit


def test_a_calibration_that_is_killed_between_two_files_goes_on(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = _as_before_there_was_confidence(run, run.parent / tmp_path.name)
    with monkeypatch.context() as patched:
        patched.setattr("terakoya.saved_model.seal", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            commands.calibrate(old)
    with pytest.raises(CorruptError):
        read_skill(old)
    commands.calibrate(old)
    assert _measured(old) == _measured(run)


def test_a_refitted_model_is_calibrated_with_the_weights_that_did_not_see_dev(tmp_path: Path) -> None:
    """On the final weights dev would be a part of the training set, and every probability look too low."""
    words = [
        (f"{a}{b}", label)
        for a, label in zip("雨雪海花犬猫", "☔⛄🌊🌸🐶🐱", strict=True)
        for b in "のはがをにでともや"
    ]
    (tmp_path / "a.csv").write_text("source,target\n" + "".join(",".join(row) + "\n" for row in words), "utf-8")
    (tmp_path / "a.toml").write_text('[task]\ndata = "a.csv"\ncodec = "labels"\n[split]\ndev = 0.3\n', "utf-8")
    settings = ["train.steps=30", "train.evaluate_every=10", "score.resamples=100", "score.curve_minutes=0"]
    run = Path(pipeline.run(str(tmp_path / "a.toml"), overrides=settings, run_dir=tmp_path, anyway=True).folder)
    assert any(line["check"] == "refit" for line in Run.open(run).read_lines("findings.jsonl"))
    before = json.loads((run / "model" / FILE).read_text("utf-8"))["confidence"]
    commands.calibrate(run)
    assert json.loads((run / "model" / FILE).read_text("utf-8"))["confidence"] == before
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ConfigError, match="trained on dev too"):
        commands.calibrate(run)
