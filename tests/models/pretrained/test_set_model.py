"""A pretrained model with a set head: the same settings and the same decoding, whatever the base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
import torch
from checkpoints import checkpoint

from terakoya.config import DecodeConfig, ModelConfig
from terakoya.decoding import sets
from terakoya.errors import ConfigError, CorruptError, DataError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.set_model import PretrainedSetModel
from terakoya.models.protocol import Pair, Query
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.records import Prediction

CUES = {"花火": "🎆", "図書館": "📚", "子猫": "🐱", "雨": "☔", "電車": "🚃"}
OPENINGS = ("今日は", "昨日の", "友だちと", "朝から", "ひさしぶりに", "駅前で", "みんなで")
ENDINGS = ("を見た", "の話をした", "を待っていた", "が好きだ", "のことを考えた")


def rows(count: int, seed: int) -> list[tuple[str, str]]:
    """One or two things in a sentence, each with its emoji."""
    rng, found = Random(seed), []
    for _ in range(count):
        things = rng.sample(sorted(CUES), rng.choice((1, 2)))
        text = rng.choice(OPENINGS) + "と".join(things) + rng.choice(ENDINGS)
        found.append((text, " ".join(CUES[one] for one in things)))
    return found


def pairs(count: int = 40, seed: int = 0) -> list[Pair]:
    return [Pair(Query(source), target, source) for source, target in rows(count, seed)]


@pytest.fixture(scope="module", params=["t5", "gemma3", "lfm2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("set") / request.param, request.param)


def made(base: Path, **more: object) -> PretrainedSetModel:
    names = {label: (word,) for word, label in CUES.items()}
    config = ModelConfig(base=str(base)).model_copy(update=more)
    model = build.build(config, pairs(), tuple(sorted(CUES.values())), seed=3, label_names=names)
    assert isinstance(model, PretrainedSetModel)
    return model


def predict(model: PretrainedSetModel, queries: Sequence[Query]) -> list[Prediction]:
    return sets.predict_sets(model, queries, DecodeConfig())


def test_labels_get_the_set_head_and_no_token_of_their_own(base: Path) -> None:
    """`codec = "labels"` alone must not fall back on a sequence head, which collapses, whatever the base."""
    model = made(base)
    assert model.head == "set"
    assert model.backbone.metadata.new_tokens == ()
    assert build.build(ModelConfig(base=str(base), head="sequence"), pairs(), ("🎆",), seed=0).head == "sequence"


def test_untrained_models_predict_legal_sets_only(base: Path) -> None:
    """No illegal prediction, ever: there is no way to express one."""
    texts = ["".join(Random(seed).choices("今日は雨🐱abc(0)", k=12)) for seed in range(60)]
    for found in predict(made(base), [Query(text) for text in texts]):
        labels = (found.text or "").split()
        assert labels and len(labels) == len(set(labels)) and set(labels) <= set(CUES.values())


@pytest.mark.parametrize("adaptation", ["full", "lora"])
@pytest.mark.parametrize("vocabulary", ["full", "trimmed"])
def test_a_saved_folder_gives_the_same_predictions(
    base: Path, adaptation: str, vocabulary: str, tmp_path: Path
) -> None:
    """Backbone, head, label penalties and temperature are saved together; LoRA is merged."""
    model = made(base, adaptation=adaptation, vocabulary=vocabulary)
    with torch.no_grad():
        for number, (_, weight) in enumerate(model.parameters_to_train()):
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
    model.inverse_temperature = 0.8
    queries = [pair.query for pair in pairs(20, 5)]
    before = predict(model, queries)
    model.save(tmp_path / "model")
    again = build.load(tmp_path / "model")
    assert isinstance(again, PretrainedSetModel)
    after = predict(again, queries)
    assert [one.text for one in after] == [one.text for one in before]
    assert [one.probability for one in after] == pytest.approx([one.probability for one in before], rel=1e-3)


def test_the_backbone_opens_with_plain_from_pretrained(tmp_path: Path) -> None:
    """Whoever has no Terakoya still has the trained encoder."""
    import transformers

    made(checkpoint(tmp_path / "base", "t5")).save(tmp_path / "model")
    transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "model")
    transformers.AutoTokenizer.from_pretrained(tmp_path / "model")


def test_gradients_reach_the_backbone_and_the_head(base: Path) -> None:
    """A head on frozen hidden states learns what they happen to hold and no more."""
    from terakoya.training.losses import plain

    model = made(base)
    plain(model.outputs(model.collate(pairs(8)))).backward()
    reached = {name.split(".")[0] for name, weight in model.parameters_to_train() if weight.grad is not None}
    assert {"set_head"} < reached


def test_a_label_is_initialised_from_its_name(base: Path) -> None:
    """An emoji seen three times starts from the vector of its name, not from a random one."""
    with_names, without = made(base), made(base, label_init="random")
    assert not torch.equal(with_names.scorer.effective_weights()["label"], without.scorer.effective_weights()["label"])
    norms = with_names.scorer.effective_weights()["label"].norm(dim=1)
    assert norms == pytest.approx(torch.ones(len(norms)), abs=1e-4)


def test_what_cannot_be_trained_on_is_refused_by_row(base: Path) -> None:
    """An unknown label, an empty set, a text that is too long: each with the row's name."""
    model = made(base, max_source=40)
    for row, word in (
        (Pair(Query("雨"), "🎻", "row 1"), "none of the labels"),
        (Pair(Query("雨"), "", "row 2"), "empty"),
    ):
        with pytest.raises(DataError, match=word):
            model.collate([row])
    with pytest.raises(DataError, match="does not fit"):
        model.collate([Pair(Query("雨" * 400), "☔", "row 3")])
    with pytest.raises(ConfigError, match="has none"):
        build.build(ModelConfig(base=str(base), head="set"), pairs(), (), seed=0)


def test_a_torn_head_is_refused(tmp_path: Path) -> None:
    """Half a head predicts nonsense with confidence."""
    made(checkpoint(tmp_path / "base", "t5")).save(tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "set-head.json").read_text())
    (tmp_path / "model" / "set-head.json").write_text(json.dumps(facts | {"labels": facts["labels"][:2]}))
    with pytest.raises(CorruptError, match="set head"):
        build.load(tmp_path / "model")


@pytest.mark.parametrize("family", ["t5", "qwen2"])
def test_a_pretrained_model_is_trained_on_a_table_of_labels(family: str, tmp_path: Path) -> None:
    """End to end with one setting more: far above the best constant, guarded, decoded as sets, and loadable."""
    base = checkpoint(tmp_path / "base", family)
    lines = "".join(json.dumps({"source": s, "target": t}, ensure_ascii=False) + "\n" for s, t in rows(700, 1))
    (tmp_path / "things.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "things.toml").write_text(
        f'name = "things"\n[task]\ndata = "things.jsonl"\ncodec = "labels"\n[model]\nbase = "{base}"\n'
        "[train]\nsteps = 120\nlearning_rate = 2e-3\nthreads = 1\nevaluate_every = 60\n",
        encoding="utf-8",
    )
    done = pipeline.run(str(tmp_path / "things.toml"), run_dir=tmp_path / "runs", anyway=True)
    by = {(score.who, score.metric): score.value for score in done.scores if score.subset == ""}
    assert by["model", "jaccard"] > by["constant", "jaccard"] + 0.3
    row = next(iter(commands.predict(done.folder, ["みんなで花火を見た"])))
    assert "🎆" in str(row["prediction"])
