"""`import terakoya as tk`: what a notebook sees."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import terakoya as tk
from terakoya.config.reading import grid_axes, override_texts
from terakoya.records import Finding, Step
from terakoya.runs.display import Displayed, Listing, frame, table
from terakoya.runs.progress import NotebookListener, default_listener

ROOT = Path(__file__).parent.parent
QUICK = {"model.base": "tiny", "train": {"steps": 6}, "seed": 3}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tk.run("kannume-160", overrides=QUICK, run_dir=str(tmp_path_factory.mktemp("api") / "runs"))


def test_every_public_name_is_there_and_nothing_else() -> None:
    """What `__all__` promises can be imported; what it does not name is private or a module."""
    for name in tk.__all__:
        assert getattr(tk, name) is not None
    assert set(dir(tk)) == set(tk.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = tk.no_such_name


def test_importing_loads_nothing() -> None:
    """`import terakoya` in a script that may not need it costs nothing worth naming."""
    script = (
        "import sys; before = set(sys.modules); import terakoya; "
        "heavy = ('numpy', 'torch', 'pydantic'); "
        "print([m for m in set(sys.modules) - before if m.startswith('terakoya.') or m in heavy])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_do_not_spin_long_unless_the_environment_says_so(environment: dict[str, str], expected: str) -> None:
    """Set before PyTorch reads it; beside another process, spinning threads make a step many times as long."""
    rest = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    script = "import os, terakoya; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=rest | environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


def test_overrides_are_a_dictionary() -> None:
    """Nested or dotted, with values as TOML knows them; a text stays a text where the key takes one."""
    given = {"train": {"steps": 5, "bucket": False}, "model.revision": "007", "model.lora_targets": ["q", "v"]}
    texts = override_texts(given)
    assert texts == ["train.steps=5", "train.bucket=false", 'model.revision="007"', 'model.lora_targets=["q", "v"]']
    assert grid_axes({"task.notation": ["plain", "pds"]}) == ['task.notation=["plain", "pds"]']
    with pytest.raises(tk.TerakoyaError, match=r"train\.steps cannot be set to None"):
        override_texts({"train.steps": None})


def test_a_run_is_one_call_and_shows_itself(result: Any) -> None:
    """Scores as rows, as a dictionary that JSON can hold, and as a table whose texts are escaped."""
    rows = result.table_rows()
    assert {"system", "metric", "value", "low", "high", "n"} <= set(rows[0])
    assert json.loads(json.dumps(result.to_dict()))["verdict"] == result.state
    assert result.to_frame().shape[0] == len(rows)
    assert "<table>" in result._repr_html_()


def test_a_skill_is_callable_with_a_text_and_with_a_list(result: Any) -> None:
    """Opened once; the command and the call say the same."""
    skill = tk.load(str(result.folder))
    one = skill("三万八千")
    many = skill.predict(["三万八千", "", "五百"])
    assert isinstance(many, Listing) and len(many) == 3
    assert many[0].text == one and many[0].probability is not None
    assert many[1].text is None
    assert tk.predict(result.folder, ["五百"])[0] == many[2]
    with pytest.raises(TypeError, match="list"):
        skill.predict("三万八千")


def test_wrong_input_is_refused_at_the_call(tmp_path: Path) -> None:
    """Not when an iterator is read, and not after a training."""
    for call in (
        lambda: tk.run("kannume-106"),
        lambda: tk.load(tmp_path / "nowhere"),
        lambda: tk.predict(tmp_path / "nowhere", ["一"]),
        lambda: tk.audit(tmp_path / "nothing.csv"),
        lambda: tk.run("kannume-160", overrides={"train.stepz": 3}, run_dir=tmp_path),
        lambda: tk.compare([tmp_path / "a", tmp_path / "b"]),
        lambda: tk.report(),
        lambda: tk.sweep("no-such-series"),
    ):
        with pytest.raises(tk.TerakoyaError):
            call()
    assert not list(tmp_path.iterdir())


def test_a_config_is_taken_as_an_experiment(tmp_path: Path) -> None:
    """Made in a notebook, without a file."""
    config = tk.Config(task={"use": "numerals", "options": {"regime": "160"}})
    sizes = tk.split(config, tmp_path / "out")
    assert (sizes.train, sizes.exam) == (160, 40)
    assert sizes.to_dict()["exam_fingerprint"] == tk.split("kannume-160", tmp_path / "again").exam_fingerprint


def test_a_plain_function_is_a_metric() -> None:
    """Its name stands in the signature."""

    def half(prediction: str | None, targets: Any) -> float:
        return 0.5

    from terakoya.codec import TextCodec

    task = tk.Task(name="t", codec=TextCodec(), metrics={"half": half})  # type: ignore[dict-item]
    assert task.metrics["half"].score("a", ["b"]) == 0.5
    assert "half" in task.metrics["half"].signature


def test_tables_escape_what_they_show() -> None:
    """A source may hold anything."""
    shown = table([{"<b>": "<script>alert(1)</script>", "n": 1.5}] * 60, shown=50)
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "… 10" in shown
    assert frame([{"a": 1}, {"a": 2, "b": [1]}]).shape == (2, 2)


def test_every_result_type_shows_itself() -> None:
    """Whatever a function of the API returns has the same three ways out."""
    listing = Listing([Finding("check", "warn", "what")])
    assert isinstance(listing, Displayed)
    assert listing.to_dict()[0]["check"] == "check"
    assert listing.to_frame().shape[0] == 1
    assert "what" in listing._repr_html_()


def test_outside_a_notebook_nobody_listens() -> None:
    """A script's output is its own."""
    assert not isinstance(default_listener(), NotebookListener)


def test_the_listener_of_a_notebook_shows_stages_findings_and_the_newest_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """One display that is updated, not one for each step."""
    shown: list[str] = []
    display = pytest.importorskip("IPython.display")

    class Handle:
        def update(self, text: Any) -> None:
            shown.append(text.data)

    monkeypatch.setattr(display, "display", lambda text, display_id: shown.append(text.data) or Handle())
    listener = NotebookListener()
    listener.stage("train", "2 steps")
    listener.finding(Finding("loss", "warn", "it rises", do="Lower it."))
    listener.step(Step(1, 2.0, 2.0, 0.1, 1.0, 1, 1.0, {"exact": 0.25}), 2)
    assert "train: 2 steps" in shown[0]
    assert "→ Lower it." in shown[1]
    assert "step 1/2" in shown[2] and "exact 0.2500" in shown[2]


def test_the_page_about_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of docs/python.md, in order, as a reader would paste it."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) >= 6
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["message"].startswith("there is no experiment")


def test_the_notebook_runs(tmp_path: Path) -> None:
    """examples/first_skill.ipynb from top to bottom, in a kernel of its own, with progress in its cells."""
    notebook = nbformat.read(ROOT / "examples" / "first_skill.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    texts = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "<table>" in texts
    assert "step 60/60" in texts
