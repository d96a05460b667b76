"""The pretrained base as it was before training is a baseline of every run that began with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from checkpoints import checkpoint

from terakoya import decoding
from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig, ModelConfig
from terakoya.decoding.label_choice import LabelChoice, choose_on_dev, make_label_decoder
from terakoya.decoding.label_scores import score_labels
from terakoya.decoding.likelihood import negative_log_likelihoods
from terakoya.evaluation import untrained_base
from terakoya.evaluation.few_shot import FewShotExaminee
from terakoya.evaluation.untrained_base import open_untrained, predict_untrained_base
from terakoya.models.pretrained.build import build
from terakoya.models.pretrained.few_shot import FewShotModel
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.protocol import Pair, Query
from terakoya.pipeline import run as pipeline
from terakoya.pipeline.commands import evaluate, ladder
from terakoya.pipeline.dataset import load_dataset
from terakoya.pipeline.interactive import has_untrained_base, try_text, try_untrained
from terakoya.records import Prediction
from terakoya.registry import find_experiment
from terakoya.runs import Run
from terakoya.runs.result import RunResult
from terakoya.saved_model import read_skill

KANJI = "〇一二三四五六七八九"
SETTINGS = (
    "train.steps=2", "train.threads=1", "train.batch_size=4", "score.resamples=100", "score.untrained_shots=4",
    "decode.max_tokens=6",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbers and moods as tables, and checkpoints of two families."""
    folder = tmp_path_factory.mktemp("untrained")
    pairs = [("".join(KANJI[int(digit)] for digit in str(n)), str(n)) for n in range(10, 58)]
    sides = ["exam" if n % 4 == 0 else "dev" if n % 4 == 1 else "train" for n in range(len(pairs))]
    rows = "".join(f"{source},{target},{side}\n" for (source, target), side in zip(pairs, sides, strict=True))
    (folder / "numbers.csv").write_text("source,target,split\n" + rows, encoding="utf-8")
    moods = ["うれしい,joy", "たのしい,joy fun", "かなしい,sad", "さびしい,sad"]
    words = [f"{where}は{mood}" for where in ("きょう", "あした", "いつも", "ここ", "そこ") for mood in moods]
    text = "".join(f"{word},{('exam', 'dev', 'train')[at % 3]}\n" for at, word in enumerate(words))
    (folder / "moods.csv").write_text("source,target,split\n" + text, encoding="utf-8")
    for family in ("gemma3", "t5", "llama"):
        checkpoint(folder / family, family)
    for name, more in (("numbers", ""), ("moods", 'codec = "labels"\n')):
        (folder / f"{name}.toml").write_text(f'[task]\ndata = "{name}.csv"\nsplit = "split"\n{more}', encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _run(home: Path, name: str, family: str, runs: Path, *more: str) -> RunResult:
    base = [f"model.base={home / family}"] if family else ["model.base=tiny"]
    return pipeline.run(str(home / f"{name}.toml"), overrides=[*SETTINGS, *base, *more], run_dir=runs, anyway=True)


def _values(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "scores.json").read_text("utf-8")))


@pytest.fixture(scope="module")
def numbers(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(_run(home, "numbers", "gemma3", tmp_path_factory.mktemp("runs")).folder)


def _answers(folder: Path, where: str = "") -> list[dict[str, Any]]:
    _key, *lines = (folder / where / untrained_base.FILE).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_untrained_base_is_scored_and_counts_in_the_verdict(
    numbers: Path, monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> None:
    """ "Better than before?" is the first question of everyone who fine-tunes."""
    values = _values(numbers)
    assert "untrained base" in {score["who"] for score in values["scores"]}
    assert len(_answers(numbers)) == 12
    assert values["untrained_base"]["shots"] in (0, 2, 4)
    assert set(values["untrained_base"]["dev"]) <= {"0", "2", "4"}
    assert "untrained base" in (numbers / "report.md").read_text("utf-8")
    # A base that knows everything before training is what the model must beat.
    right = {row.source: row.target for row in load_dataset(find_experiment(str(home / "numbers.toml"))).split.exam}
    right |= {row.source: row.target for row in load_dataset(find_experiment(str(home / "numbers.toml"))).split.dev}

    def knows(_self: Any, _model: Any, queries: Sequence[Query]) -> list[Prediction]:
        return [Prediction(query.source, right[query.source], right[query.source]) for query in queries]

    monkeypatch.setattr(FewShotExaminee, "_generate", knows)
    done = _run(home, "numbers", "gemma3", tmp_path)
    verdict = _values(Path(done.folder))["verdict"]
    assert (verdict["best"], verdict["baseline"]) == ("untrained base", 1.0)


def test_its_answers_are_those_of_the_checkpoint_and_not_of_the_trained_model(home: Path, numbers: Path) -> None:
    """The same prompts, the same grammar: only the weights are those of before."""
    skill = read_skill(numbers)
    untrained = open_untrained(skill)
    fresh = build(ModelConfig(base=str(home / "gemma3")), [], (), seed=3)
    for (name, mine), (_name, theirs) in zip(
        untrained.module.named_parameters(), fresh.module.named_parameters(), strict=True
    ):
        assert torch.equal(mine, theirs), name
    trained = dict(skill.model.module.named_parameters())
    moved = [name for name, weight in fresh.module.named_parameters() if not torch.equal(weight, trained[name])]
    assert moved, "training changed nothing, so the test would prove nothing"


def test_a_finished_exam_is_not_asked_again(numbers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluating its own exam once more reads the answers back: the base is not even opened."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked again")

    before, scores = _answers(numbers), _values(numbers)["scores"]
    monkeypatch.setattr(untrained_base, "open_untrained", refuse)
    again = evaluate(numbers)
    assert _answers(numbers) == before
    mine = [score["value"] for score in scores if score["who"] == "untrained base"]
    assert [score.value for score in again.scores if score.who == "untrained base"] == mine


def test_an_interrupted_exam_asks_only_the_rest(numbers: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Number of examples and answers are kept as they are made."""
    monkeypatch.setattr(untrained_base, "_CHUNK", 4)
    skill = read_skill(numbers)
    split = load_dataset(find_experiment(str(numbers / "config.toml"))).split
    whole, asked = FewShotExaminee.predict, list[int]()

    def counted(self: FewShotExaminee, choice: Any, queries: Sequence[Query]) -> list[Prediction]:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(queries))
        return whole(self, choice, queries)

    monkeypatch.setattr(FewShotExaminee, "predict", counted)
    with Run.create(tmp_path, "broken") as run:
        with pytest.raises(KeyboardInterrupt):
            predict_untrained_base(run, skill, split)
        asked[:] = [0]
        monkeypatch.setattr(FewShotExaminee, "choose", None)
        result = predict_untrained_base(run, skill, split)
    assert asked == [0, 4]
    assert result is not None
    assert [one.text for one in result.predictions] == [line["text"] for line in _answers(numbers)]


def test_it_can_be_switched_off_and_models_made_from_nothing_have_none(home: Path, tmp_path: Path) -> None:
    """`score.untrained_base = false`; a built-in model was nothing before its training."""
    for family, more in (("gemma3", ["score.untrained_base=false"]), ("", [])):
        folder = Path(_run(home, "numbers", family, tmp_path, *more).folder)
        assert "untrained base" not in {score["who"] for score in _values(folder)["scores"]}
        assert not (folder / untrained_base.FILE).exists()


def test_a_budget_that_does_not_suffice_leaves_it_out_and_says_so(home: Path, tmp_path: Path, numbers: Path) -> None:
    """Half an exam would be no baseline; how long it would take is told, with the setting to be raised."""
    done = _run(home, "numbers", "gemma3", tmp_path, "score.untrained_minutes=0.000001")
    (finding,) = [one for one in done.findings if one.check == "untrained-base"]
    assert "untrained_minutes" in str(finding.do)
    assert "untrained base" not in {score["who"] for score in _values(Path(done.folder))["scores"]}
    # Where the time suffices for fewer examples, fewer are taken.
    skill, split = read_skill(numbers), load_dataset(find_experiment(str(numbers / "config.toml"))).split
    examinee = FewShotExaminee(open_untrained(skill), skill.task, skill.config, split)
    ticks = iter([0.0, 0.0, 1.0, 1.0, *([1e6] * 9)])
    choice = examinee.choose(lambda: next(ticks))
    assert (choice["shots"], choice["stopped"], list(choice["dev"])) == (0, "time", ["0"])


def test_a_base_that_is_gone_is_told(numbers: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A trained model can be evaluated where its base is not; what is missing is said."""
    skill, split = read_skill(numbers), load_dataset(find_experiment(str(numbers / "config.toml"))).split
    gone = skill.config.model.model_copy(update={"base": "../gone"})
    moved = replace(skill, config=skill.config.model_copy(update={"model": gone}))
    with Run.create(tmp_path, "moved") as run:
        result = predict_untrained_base(run, moved, split)
    assert result is not None and result.finding is not None and not result.predictions
    assert "could not be opened" in str(result.finding.what) and result.finding.do


def test_an_encoder_decoder_is_asked_zero_shot_only(home: Path, tmp_path: Path) -> None:
    """It was not pretrained to go on from examples, and the record says why no more were tried."""
    values = _values(Path(_run(home, "numbers", "t5", tmp_path).folder))
    assert values["untrained_base"]["shots"] == 0
    assert values["untrained_base"]["stopped"] == "encoder-decoder"


def _opened(folder: Path, template: Literal["auto", "plain"] = "auto") -> PretrainedModel:
    model = build(ModelConfig(base=str(folder), template=template), [], (), seed=0)
    assert isinstance(model, PretrainedModel)
    return model


def test_examples_stand_before_the_query_and_a_line_ends_an_answer(home: Path) -> None:
    """The very prompt of training, and one cached prefix for the whole batch."""
    for family in ("gemma3", "llama"):
        templates: tuple[Literal["plain", "auto"], ...] = ("plain", "auto")
        for template in templates:
            model = _opened(home / family, template)
            shots = [(Query("一"), "1"), (Query("二"), "2")]
            asked = FewShotModel(model, shots, 8)
            text = model.tokenizer.decode(asked.prompt_ids(Query("三")))
            assert [text.index(part) for part in ("一", "1", "二", "2", "三")] == sorted(
                text.index(part) for part in ("一", "1", "二", "2", "三")
            )
            plain = not model.prompt.template
            assert (model.text([asked.end]) == "\n") == plain
            decode = DecodeConfig(constrained=False)
            queries = [Query("三"), Query("四五"), Query("六")]
            together = decoding.generate(asked, queries, TextCodec(), decode, max_tokens=6)  # type: ignore[arg-type]
            for query, one in zip(queries, together, strict=True):
                (alone,) = decoding.generate(asked, [query], TextCodec(), decode, max_tokens=6)  # type: ignore[arg-type]
                assert alone.raw == one.raw
                assert not plain or "\n" not in one.raw


def test_examples_that_do_not_fit_are_not_tried(home: Path, numbers: Path) -> None:
    """The context bounds their number: no prompt is cut."""
    skill, split = read_skill(numbers), load_dataset(find_experiment(str(numbers / "config.toml"))).split
    base = open_untrained(skill)
    examinee = FewShotExaminee(base, skill.task, skill.config, split)
    longest = max(len(examinee.model(2).prompt_ids(Query(item.source))) for item in (*split.dev, *split.exam))
    base.core.config.max_position_embeddings = longest + examinee.max_tokens + 1
    choice = examinee.choose(lambda: 0.0)
    assert (choice["stopped"], list(choice["dev"])) == ("context", ["0", "2"])


# ── labels ──────────────────────────────────────────────────────────────────────────────────────────


def test_labels_are_scored_as_the_model_would_score_them_one_by_one(home: Path) -> None:
    """One walk over the trie of labels gives what a forward pass for each label gives."""
    model = _opened(home / "gemma3")
    asked = FewShotModel(model, [], 8)
    labels, queries = ["joy", "joyful", "sad", "☔", "猫"], [Query("うれしい日"), Query("雨")]
    ids = [asked.label_ids(label) for label in labels]
    assert max(map(len, ids)) > 1, "no label has several tokens, so the trie would be no trie"
    scores = score_labels(asked, queries, ids, batch_size=4)
    for row, query in enumerate(queries):
        for column, label in enumerate(labels):
            (whole,) = negative_log_likelihoods(model, [Pair(query, label)])
            state = model.start([query])
            for token in ids[column]:
                state.advance(torch.tensor([token]))
            end = float(state.logits.detach().log_softmax(1)[0, model.end])
            assert whole is not None
            assert scores[row, column] == pytest.approx(-whole.nats - end, abs=1e-3)


def test_what_the_base_says_anyway_is_no_evidence() -> None:
    """Contextual calibration (Zhao et al. 2021): a label that is likely after every text wins nothing by that."""
    prior = np.array([[0.0, -3.0, -6.0]])
    scores = np.array([[0.0, -3.5, -4.0], [-0.5, -1.0, -6.5], [0.5, -3.5, -6.2]] * 5)
    wanted = ["c", "b", "a"] * 5
    decoder = make_label_decoder(("a", "b", "c"), prior, [1] * 9)
    choice, value = choose_on_dev(decoder, scores, lambda text, at: float(text == wanted[at]))
    assert choice.alpha > 0 and value == 1.0
    assert decoder.sets(scores, choice) == wanted
    assert decoder.sets(scores, LabelChoice(0.0, size=1)) == ["a"] * 15


def test_what_a_choice_is_worth_is_measured_out_of_fold() -> None:
    """On noise the best of many choices looks better than it is; out of fold it does not."""
    rng = np.random.default_rng(0)
    decoder = make_label_decoder(tuple("abcdefgh"), rng.normal(size=(3, 8)), [1, 2, 3])
    optimistic, honest = [], []
    for _ in range(30):
        scores, noise = rng.normal(size=(20, 8)), rng.random((8, 20))

        def score(text: str, at: int, noise: Any = noise) -> float:
            return float(noise["abcdefgh".index(text[0]), at])

        choice, value = choose_on_dev(decoder, scores, score)
        honest.append(value)
        optimistic.append(np.mean([score(text, at) for at, text in enumerate(decoder.sets(scores, choice))]))
    assert np.mean(optimistic) > 0.52
    assert abs(np.mean(honest) - 0.5) < abs(np.mean(optimistic) - 0.5)


def test_labels_of_a_pretrained_base_are_scored_before_training(home: Path, tmp_path: Path) -> None:
    """Legal sets of the training side's labels, as the model's are."""
    folder = Path(_run(home, "moods", "gemma3", tmp_path).folder)
    values = _values(folder)
    assert set(values["untrained_base"]["decoding"]) == {"alpha", "temperature", "size"}
    assert all(set(line["text"].split()) <= {"joy", "fun", "sad"} and line["text"] for line in _answers(folder))
    assert "untrained base" in {score["who"] for score in values["scores"]}


def test_a_ladder_holds_the_base_untrained_and_trained(numbers: Path) -> None:
    """Whoever has a pretrained base wants to know what training it was worth, beside what costs nothing."""
    found = ladder(str(numbers), minutes=1, sizes=[])
    measured = {str(rung.name): rung for rung in found.rungs if rung.exam is not None}
    (trained,) = [rung for name, rung in measured.items() if name == "gemma3, trained"]
    (untrained,) = [rung for name, rung in measured.items() if name.startswith("gemma3, untrained")]
    assert min(trained.weights, untrained.weights) > 1000
    assert min(trained.price, untrained.price) > measured["most frequent"].price
    assert "gemma3, untrained" in (numbers / "report.md").read_text("utf-8")


def test_a_text_that_is_tried_gets_the_prediction_that_the_exam_had(numbers: Path) -> None:
    """The base beside the skill in the local page: the same examples in its prompt, and not the trained weights."""
    assert has_untrained_base(numbers)
    lines = [json.loads(line) for line in (numbers / "predictions.jsonl").read_text("utf-8").splitlines()]
    recorded = _answers(numbers)
    assert len(recorded) == len(lines)
    tried = [try_untrained(numbers, line["source"]).prediction.raw for line in lines]
    assert tried == [one["raw"] for one in recorded]
    trained = [try_text(numbers, line["source"]).prediction.raw for line in lines]
    assert trained == [line["raw"] for line in lines]
