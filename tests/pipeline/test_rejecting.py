"""A model that is trained to reject ill-formed sources: the same from every way of opening it, and in its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terakoya.errors import ConfigError
from terakoya.exporters.exporter import ExportOptions, find_exporter
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.saved_model import read_skill

KANJI = "〇一二三四五六七八九"
SETTINGS = ["train.steps=400", "train.evaluate_every=400", "score.resamples=100", "decode.reject=true", "seed=3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads the kanji of four digits, and is shown other lengths as ill-formed."""
    folder = tmp_path_factory.mktemp("rejecting")
    rows = [f"{''.join(KANJI[int(digit)] for digit in f'{n:04}')},{n:04}\n" for n in range(0, 10_000, 7)]
    (folder / "a.csv").write_text("source,target\n" + "".join(rows), "utf-8")
    (folder / "a.toml").write_text('[task]\ndata = "a.csv"\n[model]\nbase = "tiny"\n', "utf-8")
    return Path(pipeline.run(str(folder / "a.toml"), overrides=SETTINGS, run_dir=folder / "runs", anyway=True).folder)


def _sources(run: Path) -> list[str]:
    return [json.loads(line)["source"] for line in (run / "predictions.jsonl").read_text("utf-8").splitlines()]


def test_ill_formed_sources_are_rejected_and_others_are_not(run: Path) -> None:
    """A character dropped or doubled was answered with a probability of .999."""
    sources = _sources(run)[:60]
    skill = read_skill(run, predict_only=True)
    kept = [one.withheld for one in skill.predict(sources)]
    assert kept.count("rejected") <= 2
    for changed in ([source[:-1] for source in sources], [source + source[-1] for source in sources]):
        found = skill.predict(changed)
        assert sum(one.withheld == "rejected" for one in found) >= 55
        assert all(one.text is None and one.raw == "" for one in found if one.withheld == "rejected")


def test_every_way_of_opening_it_rejects_the_same(run: Path) -> None:
    texts = [text for source in _sources(run)[:20] for text in (source, source[1:], source[0] + source)]
    for settings in ((), ("decode.constrained=false",), ("decode.method=beam", "decode.beams=2")):
        without, with_torch = (read_skill(run, settings, predict_only=only).predict(texts) for only in (True, False))
        assert [(one.text, one.withheld) for one in without] == [(one.text, one.withheld) for one in with_torch]


def test_its_page_and_its_runtime_reject_the_same(run: Path, tmp_path: Path) -> None:
    """The proof asks the exam alone; ill-formed sources are asked here."""
    texts = [text for source in _sources(run)[:20] for text in (source, source[1:], source[0] + source)]
    skill = read_skill(run)
    expected = [(one.text, one.withheld) for one in skill.predict(texts)]
    for target in ("page", "runtime", "onnx"):
        exporter = find_exporter(target)
        folder = tmp_path / target
        folder.mkdir()
        opened = exporter.open(exporter.write(skill, folder, ExportOptions()))
        try:
            assert [(one.text, one.withheld) for one in opened.predict(texts)] == expected, target
        finally:
            opened.close()


def test_an_answer_can_be_had_all_the_same(run: Path) -> None:
    source = _sources(run)[0][1:]
    line = next(iter(commands.predict(run, [source], overrides=["decode.reject=false"])))
    assert line["prediction"] is not None


def test_a_skill_that_was_not_trained_for_it_is_not_asked_to_reject(tmp_path: Path, run: Path) -> None:
    folder = run.parent.parent
    settings = ["train.steps=2", "train.evaluate_every=2", "score.resamples=100"]
    done = pipeline.run(str(folder / "a.toml"), overrides=settings, run_dir=tmp_path, anyway=True)
    with pytest.raises(ConfigError, match=r"not trained to reject"):
        read_skill(Path(done.folder), ("decode.reject=true",))
