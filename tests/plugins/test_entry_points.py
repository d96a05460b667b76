"""What installed packages bring is found by name, beside our own and through the same tables."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fake_packages import install
from torch import nn

from terakoya.codec.choose import CODECS, choose_codec
from terakoya.config import Config, TrainConfig, make_config
from terakoya.config.explain import explain, json_schema
from terakoya.config.schema import CODEC_NAMES, LOSS_NAMES
from terakoya.config.used_plugins import missing_plugins, require_plugins, used_plugins
from terakoya.errors import ConfigError, CorruptError, PluginError
from terakoya.errors.third_party import faults
from terakoya.models.conformance import check_model
from terakoya.models.protocol import Batch, ModelInfo, Outputs, Pair, Query
from terakoya.records import Example
from terakoya.saved_model import read_skill, read_task
from terakoya.scoring.baselines.standard import installed_baselines, make_baselines
from terakoya.scoring.metrics import METRICS, Metric, as_metric, exact, metric, metric_with_signature
from terakoya.task import Task, replace_parts
from terakoya.training.losses import LOSSES, loss_for, plain

MODULE = """
from terakoya.codec import TextCodec
from terakoya.scoring.metrics import Metric


def near(prediction, targets):
    return 0.25 if prediction else 0


other = Metric("their own name", near, graded=True, parameters=(("x", "1"),))


def doubled(outputs):
    return 2 * outputs.logits.logsumexp(1).mean()


def shout(train):
    longest = max(len(example.target) for example in train)
    return lambda source: source.upper()[:longest] or None


class Upper(TextCodec):
    def canonical(self, target):
        return target.upper()

    def read(self, raw):
        return raw.upper() or None


def upper(targets, most=0):
    assert isinstance(targets, (list, tuple))
    return Upper(name="upper")


ready = Upper(name="ready")
"""
POINTS = {
    "metrics near": "near", "metrics other": "other", "metrics exact": "near", "losses doubled": "doubled",
    "baselines shout": "shout", "codecs upper": "upper", "codecs ready": "ready", "codecs Upper": "Upper",
    "codecs text": "upper",
}  # fmt: skip


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return install(
        tmp_path, monkeypatch, {"their_module.py": MODULE}, {k: f"their_module:{v}" for k, v in POINTS.items()}
    )


def test_our_own_names_stand_in_one_table_each() -> None:
    """The names that a config accepts and the tables behind them cannot drift apart."""
    assert tuple(CODECS) == CODEC_NAMES and tuple(LOSSES) == LOSS_NAMES


@pytest.mark.usefixtures("theirs")
def test_a_config_accepts_installed_names_and_refuses_others() -> None:
    config = make_config({"task": {"codec": "upper"}, "train": {"loss": "doubled"}, "score": {"baselines": ["shout"]}})
    assert (config.task.codec, config.train.loss, config.score.baselines) == ("upper", "doubled", ("shout",))
    for wrong, words in (
        ({"task": {"codec": "uper"}}, r"'upper'.*\n?.*Did you mean 'upper'"),
        ({"train": {"loss": "doubld"}}, r"'focal'.*'doubled'\nDid you mean 'doubled'"),
        ({"score": {"baselines": ["shot"]}}, "Did you mean 'shout'"),
    ):
        with pytest.raises(ConfigError, match=words):
            make_config(wrong)
    with pytest.raises(ConfigError, match="Did you mean 'near'"):
        metric("neat")
    assert explain("train.loss")[0].choices[-1] == "doubled"
    assert "doubled" in json_schema()["properties"]["train"]["properties"]["loss"]["enum"]
    assert json_schema()["properties"]["score"]["properties"]["baselines"]["items"]["enum"] == ["shout"]


def test_without_a_package_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        make_config({"task": {"codec": "lables"}, "train": {"loss": "focl"}, "score": {"baselines": ["shout"]}})
    shown = str(refused.value)
    assert "Did you mean 'labels'" in shown and "Did you mean 'focal'" in shown
    assert "no package that brings one is installed" in shown


@pytest.mark.usefixtures("theirs")
def test_our_own_name_is_not_taken_over() -> None:
    """Installing a package changes nothing that a config meant before."""
    assert choose_codec("text", ()).name == "text" and metric("exact") is exact


def test_two_packages_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("one", "two"):
        install(tmp_path, monkeypatch, {"their_module.py": MODULE}, {"metrics near": "their_module:near"}, package)
    with pytest.raises(ConfigError, match=r"several packages offer 'near': one, two"):
        metric("near")


@pytest.mark.usefixtures("theirs")
def test_a_codec_may_be_a_function_a_class_or_an_object() -> None:
    assert choose_codec("upper", ["a"]).canonical("b") == "B"
    assert choose_codec("Upper", ["a"]).name == "text" and choose_codec("ready", ()).name == "ready"
    with pytest.raises(ConfigError, match="notation"):
        choose_codec("upper", (), notation="pds")


@pytest.mark.usefixtures("theirs")
def test_an_installed_metric_has_the_name_that_the_config_has() -> None:
    """Scores are looked up by it; the signature says what the author called it."""
    near, other = metric("near"), metric("other")
    assert near.score("a", ["b"]) == 0.25 and near.graded
    assert near.signature.startswith("near|function:their_module.near|source:") and near.signature.endswith("|v:1")
    assert (other.name, other.signature) == ("other", "their own name|x:1|v:1")
    assert metric_with_signature(near.signature) == near and metric_with_signature("near|v:3") is None
    assert metric_with_signature("no such|v:1") is None
    assert metric_with_signature(METRICS["chrf"].signature) is METRICS["chrf"]


@pytest.mark.usefixtures("theirs")
def test_losses_and_baselines() -> None:
    outputs = Outputs(torch.randn(4, 3, requires_grad=True), torch.tensor([0, 1, 2, 0]))
    assert torch.equal(loss_for(TrainConfig(loss="doubled"))(outputs), 2 * outputs.logits.logsumexp(1).mean())
    assert loss_for(TrainConfig(loss="doubled"))(outputs) != plain(outputs)
    train = [Example("abc", "AB"), Example("d", "D")]
    made = make_baselines(train, [], metric=exact, more=installed_baselines(("shout",)))
    assert made["shout"]("xyz") == "XY" and "constant" in made
    with pytest.raises(ConfigError, match="always computed"):
        installed_baselines(("constant",))


def test_a_task_takes_plain_functions_and_names_of_its_own() -> None:
    """A function is a metric; a metric under another name is looked up by that name."""

    def same_length(prediction: str | None, targets: Any) -> float:
        return float(prediction is not None and len(prediction) in map(len, targets))

    given: Any = {"same_length": same_length, "right": exact}
    task = Task("x", (Example("a", "b"),), metrics=given)
    assert task.metric == "same_length" and isinstance(task.metrics["same_length"], Metric)
    assert task.metrics["same_length"].score("ab", ["cd"]) == 1.0
    assert "function:test_entry_points." in task.metrics["same_length"].signature
    assert "same_length|source:" in task.metrics["same_length"].signature
    assert (task.metrics["right"].name, task.metrics["right"].signature) == ("right", "exact|v:1")
    again = as_metric("same_length", task.metrics["same_length"])
    assert again == task.metrics["same_length"]


def test_another_function_of_the_same_name_has_another_signature(tmp_path: Path) -> None:
    """Scores of two functions are not compared because both are called `score`."""
    found = []
    for number in (1, 2):
        file = tmp_path / str(number) / "own.py"
        file.parent.mkdir()
        file.write_text(f"def score(prediction, targets):\n    return 1 / {number}\n", encoding="utf-8")
        names: dict[str, Any] = {}
        exec(compile(file.read_bytes(), str(file), "exec"), names)
        found.append(as_metric("score", names["score"]).signature)
    assert found[0] != found[1] and all(one.startswith("score|function:own.score|") for one in found)


@pytest.mark.usefixtures("theirs")
def test_a_config_replaces_codec_and_metric_of_a_task() -> None:
    task = Task("x", (Example("a", "b"),), metrics={"exact": exact})
    changed = replace_parts(task, codec="upper", first="near")
    assert changed.codec.name == "upper" and list(changed.metrics) == ["near", "exact"]
    assert list(replace_parts(changed, first="exact").metrics) == ["exact", "near"]
    assert replace_parts(task) is task


@pytest.mark.usefixtures("theirs")
def test_what_is_used_is_recorded_and_required(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = make_config({"task": {"codec": "upper", "metric": "near"}, "train": {"loss": "focal"}})
    used = used_plugins(config)
    assert [(one["group"], one["name"], one["package"], one["version"]) for one in used] == [
        ("terakoya.metrics", "near", "their-package", "1.2.3"),
        ("terakoya.codecs", "upper", "their-package", "1.2.3"),
    ]
    require_plugins(used, tmp_path)
    assert used_plugins(Config()) == []
    monkeypatch.setattr("terakoya.config.used_plugins.find_plugin", lambda group, name: [])
    assert missing_plugins(used, ("metrics",), tmp_path) == used[:1]
    with pytest.raises(ConfigError, match=r"codecs 'upper' \(their-package 1\.2\.3\)[\s\S]*pip install their"):
        require_plugins(used, tmp_path)
    for broken in ("x", [1], [{"group": 1}], {"group": "x"}):
        with pytest.raises(CorruptError):
            require_plugins(broken, tmp_path)


@pytest.mark.usefixtures("theirs")
def test_a_skill_with_an_installed_codec_opens_without_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import terakoya as tk

    monkeypatch.chdir(tmp_path)
    rows = "".join(f"w{n},w{n % 7}\n" for n in range(60))
    Path("t.csv").write_text("source,target\n" + rows, encoding="utf-8")
    settings = {"task.data": "t.csv", "task.codec": "upper", "task.metric": "near", "model.base": "tiny"}
    done = tk.run(tk.Config(), overrides={**settings, "train.steps": 2, "score.resamples": 100}, anyway=True)
    Path("t.csv").unlink()
    folder = Path(done.folder)
    skill = read_skill(folder)
    assert skill.task.codec.name == "upper" and skill.task.metric == "near"
    assert read_task(folder / "model").codec.read("abc") == "ABC"


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))


class _Model:
    """The smallest thing that keeps to the protocol: every token has the same logits."""

    head, end, max_target_length, labels = "sequence", 0, 9, ()
    wide = 3

    def __init__(self) -> None:
        self.module = _Network()
        self.info = ModelInfo("theirs", "encoder-decoder", 3, 3, 3)

    def collate(self, pairs: list[Pair]) -> Any:
        return Batch({}, len(pairs), len(pairs))

    def outputs(self, batch: Batch) -> Any:
        return Outputs(self.module.weight.expand(batch.targets, self.wide), torch.zeros(batch.targets))

    def start(self, queries: list[Query]) -> Any:
        state = SimpleNamespace(logits=torch.zeros(len(queries), self.wide), advance=lambda tokens: None)
        state.select = lambda rows: setattr(state, "logits", state.logits[rows])
        return state

    def token_texts(self) -> list[str]:
        return ["", "a", "b"]

    length = fits = set_scores = text = show_tokens = save = parameters_to_train = collate


PAIRS = [Pair(Query("x"), "a"), Pair(Query("y"), "b")]


def test_a_model_of_others_is_tried_before_it_is_trained() -> None:
    """Wrong shapes are named with the model's file before the first step, and nothing is changed by the trial."""
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert check_model(_Model(), "theirs", build, PAIRS)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("outputs", lambda self, batch: (1, 2), "outputs must be Outputs, and is tuple"),
        ("outputs", lambda self, batch: Outputs(torch.zeros(2, 7), torch.zeros(2)), r"must be .*\(2, 3\), .*\(2, 7\)"),
        ("collate", lambda self, pairs: {}, "collate must be Batch"),
        ("start", lambda self, queries: SimpleNamespace(logits=torch.zeros(3)), r"start\(\)\.logits must be"),
        ("start", lambda self, queries: None, "NoneType"),
        ("head", "tree", '"sequence"'),
        ("end", "0", "end must be int, and is str"),
        ("text", None, ""),
    ],
)  # fmt: skip
def test_a_model_that_breaks_the_protocol_is_named(
    name: str, value: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "text":
        monkeypatch.delattr(_Model, "text")
        words = "has no text"
    else:
        monkeypatch.setattr(_Model, name, value)
    with pytest.raises(PluginError, match=words) as refused:
        check_model(_Model(), "theirs", build, PAIRS)
    assert "test_entry_points.py, line" in refused.value.where


def build() -> None:
    """Stands for the function that a plug-in's model comes from."""


def test_files_of_ours_are_never_counted_as_theirs() -> None:
    from terakoya import task

    faults.remember(Path(task.__file__))
    try:
        raise ValueError
    except ValueError as error:
        assert faults.find_fault(error) is None
    assert faults.is_ours(faults.location_of(Task)) and not faults.is_ours(faults.location_of(build))
