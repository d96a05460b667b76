"""An export counts only when it has predicted the exam again, in its own runtime."""

from __future__ import annotations

import getpass
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import terakoya as tk
from terakoya.cli import printing
from terakoya.cli.main import main
from terakoya.errors import ConfigError, CorruptError
from terakoya.exporters.exporter import EXPORTERS, ExportOptions, find_exporter
from terakoya.exporters.page import description
from terakoya.exporters.page.packing import unpack
from terakoya.exporters.prove import _EMPTY, compare_predictions, exam_items, measure
from terakoya.exporters.write import ExportResult
from terakoya.records import Example, Prediction
from terakoya.saved_model import read_skill
from tests.exporters.conftest import CANARIES
from tests.exporters.pretrained_skills import run_readme

TARGETS = ("page", "runtime")
HARD = [
    "", " ", "三万八千", "x" * 400, "駅前の雨と猫 3", "ﾊﾝｶｸ ＣＡＦＥ　の　本", "STRASSE strasse Straße ẞ",
    "\u200b海\u200d🌊", "𠮷野家の夜", "ΣΑΣ ς", "あ" * 10_001, "ĳ ﬁ ǰ İ",
]  # fmt: skip


@pytest.fixture(scope="module")
def exported(number_run: Path, set_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both skills, exported to both targets."""
    home = tmp_path_factory.mktemp("exports")
    for name, run in (("number", number_run), ("set", set_run)):
        for one in tk.export(run, "page, runtime", output=home / name, lang="en"):
            assert one.proof.state == "same", one.proof
    return {"number": home / "number", "set": home / "set"}


def _artifact(folder: Path, target: str) -> Path:
    return folder / target / {"page": "index.html", "runtime": "terakoya-runtime"}[target]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("head", ["number", "set"])
def test_predictions_are_equal(
    exported: dict[str, Path], number_run: Path, set_run: Path, head: str, target: str
) -> None:
    """On the exam and on hard texts: text, raw output and reason are equal, probabilities to the fifth digit."""
    skill = read_skill({"number": number_run, "set": set_run}[head])
    lines = (skill.folder.parent / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [*HARD, *(json.loads(line)["source"] for line in lines)]
    opened = find_exporter(target).open(_artifact(exported[head], target))
    try:
        found = opened.predict(texts)
    finally:
        opened.close()
    for one, other in zip(skill.predict(texts), found, strict=True):
        assert (one.text, one.raw, one.withheld) == (other.text, other.raw, other.withheld), one.source
        first, second = one.uncalibrated or one.probability, other.uncalibrated or other.probability
        assert (first or 0) == pytest.approx(second or 0, abs=1e-5), one.source


@pytest.mark.parametrize("options", [["--quantisation", "int8"], ["--push", "me/skill"], ["--converter", "c.py"]])
def test_an_option_that_no_target_goes_by_is_refused(
    number_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """A page in float32 that was asked for in int8 would be taken for the smaller one."""
    given = ["export", str(number_run), "--to", "page", "--output", str(tmp_path / "out"), "--lang", "en"]
    assert main([*given, *options]) == 2
    assert f"{options[0]} does nothing for page" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_proof_is_written(exported: dict[str, Path]) -> None:
    """Runtime and version, counts, values before and after, bytes, speed and sha256 stand in proof.json."""
    for target in TARGETS:
        proof = json.loads((exported["number"] / target / "proof.json").read_text(encoding="utf-8"))
        assert proof["target"] == target and proof["runtime"].split()[0] in ("node", "python")
        assert proof["n"] == proof["equal"] == 40 and proof["before"] == proof["after"]
        assert proof["largest_difference"] <= 1e-5 and proof["after_ms"] > 0 and proof["before_ms"] > 0
        size, digest = measure(_artifact(exported["number"], target))
        assert (proof["bytes"], proof["sha256"]) == (size, digest)


def test_the_readme_tells_the_record(exported: dict[str, Path]) -> None:
    """Proof, exam beside the baselines, kinds of errors, examples, and how it is called."""
    text = (exported["number"] / "runtime" / "README.md").read_text(encoding="utf-8")
    for part in (
        "Same: under python",
        "n = 40",
        "baseline 'rule'",
        "Wrong on the exam",
        "95% interval",
        "from terakoya\\_runtime",
    ):
        assert part.replace("\\", "") in text.replace("\\", ""), part


def test_the_readmes_can_be_typed(exported: dict[str, Path], number_run: Path, tmp_path: Path) -> None:
    """The lines under "How to call it" are a program that predicts; a page needs none."""
    for one in tk.export(number_run, "onnx, hub", output=tmp_path):
        run_readme(one.folder)
    run_readme(exported["number"] / "runtime")
    assert "```" not in (exported["number"] / "page" / "README.md").read_text(encoding="utf-8")


def test_page_has_no_way_out(exported: dict[str, Path]) -> None:
    """Its content policy forbids everything but the one script and the one style whose hashes it names."""
    html = (exported["set"] / "page" / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'",
        policy[1],
    )
    assert not re.search(r"https?://|src=|<link|@import|url\(", html.partition('id="skill"')[0])


@pytest.mark.parametrize("head", ["number", "set"])
def test_a_changed_weight_in_a_page_is_refused(exported: dict[str, Path], tmp_path: Path, head: str) -> None:
    """One bit of one weight is enough: the page does not predict with it."""
    html = (exported[head] / "page" / "index.html").read_text(encoding="utf-8")
    start = html.index('id="weights">') + len('id="weights">') + 4000
    other = "A" if html[start] != "A" else "B"
    (tmp_path / "index.html").write_text(html[:start] + other + html[start + 1 :], encoding="utf-8")
    with pytest.raises(CorruptError):
        find_exporter("page").open(tmp_path / "index.html")


def test_a_changed_weight_in_a_runtime_is_refused(exported: dict[str, Path], tmp_path: Path) -> None:
    """The same for the weights of the runtime."""
    shutil.copytree(_artifact(exported["number"], "runtime"), tmp_path / "copy")
    file = tmp_path / "copy" / "skill" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptError):
        find_exporter("runtime").open(tmp_path / "copy")


def _one_weight_off(name: str) -> Callable[..., object]:
    write = description._tensors

    def changed(weights: object) -> object:
        copied = dict(weights)  # type: ignore[call-overload]
        copied[name] = copied[name].copy()
        copied[name].flat[3] += 0.05
        return write(copied)

    return changed


def test_a_wrong_conversion_is_refused(
    number_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A converter that writes one weight wrong: exit 1, and the artifact lies under a name that says so."""
    monkeypatch.setattr(description, "_tensors", _one_weight_off("norm.bias"))
    command = ["export", str(number_run), "--to", "page", "--output", str(tmp_path), "--json"]
    assert main(command) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["proof"]["state"] == "worse"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.refused"]
    assert "REFUSED" in (tmp_path / "page.refused" / "README.md").read_text(encoding="utf-8")


def test_nothing_of_the_author_leaves(exported: dict[str, Path], set_run: Path) -> None:
    """No training row, no path of this machine and no user's name stands in any file of an export."""
    secret = [*CANARIES, str(set_run.parent), str(Path(__file__).parents[2]), str(Path.home()) + "/"]
    if len(getpass.getuser()) > 4:
        secret.append(getpass.getuser())
    files = [path for path in exported["set"].rglob("*") if path.is_file()]
    assert len(CANARIES) == 20 and len(files) > 6
    for path in files:
        content = path.read_bytes()
        for one in secret:
            assert one.encode() not in content, (path, one)
            assert one.encode("unicode_escape").replace(b"\\U", b"\\u") not in content or one.isascii(), (path, one)


def test_others_files_are_not_replaced(number_run: Path, tmp_path: Path) -> None:
    """A folder of somebody else's stays; one of ours is replaced; --overwrite is a decision."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "thesis.txt").write_text("years", encoding="utf-8")
    with pytest.raises(ConfigError, match="overwrite"):
        tk.export(number_run, "page", output=tmp_path)
    assert (tmp_path / "page" / "thesis.txt").read_text(encoding="utf-8") == "years"
    for overwrite in (True, False):
        (found,) = tk.export(number_run, ["page"], output=tmp_path, overwrite=overwrite)
        assert found.artifact.is_file() and sorted(one.name for one in tmp_path.iterdir()) == ["page"]
    assert not (tmp_path / "page" / "thesis.txt").exists()


def test_without_node_nothing_counts(number_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its runtime an export is refused with the way to get it; --unproved keeps it, and the README says so."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"nodejs(.|\n)*chromium(.|\n)*--unproved"):
        tk.export(number_run, "page", output=tmp_path)
    assert list(tmp_path.iterdir()) == []
    (found,) = tk.export(number_run, "page", output=tmp_path, unproved=True, lang="en")
    assert found.proof.state == "unproved"
    assert "NOT PROVED" in (found.folder / "README.md").read_text(encoding="utf-8")


def test_without_node_the_page_is_proved_in_a_browser(
    number_run: Path, exported: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof names the browser; there too a changed weight is refused."""
    monkeypatch.setattr(shutil, "which", lambda name, which=shutil.which: None if name == "node" else which(name))
    (found,) = tk.export(number_run, "page", output=tmp_path)
    assert found.proof.state == "same" and found.proof.equal == 40
    assert "chrom" in found.proof.runtime and (found.proof.after_ms or 0) > 0
    html = found.artifact.read_text(encoding="utf-8")
    start = html.index('id="weights">') + 5000
    (tmp_path / "changed.html").write_text(
        html[:start] + ("A" if html[start] != "A" else "B") + html[start + 1 :], encoding="utf-8"
    )
    with pytest.raises(CorruptError, match=r"changed\.html"):
        find_exporter("page").open(tmp_path / "changed.html")
    monkeypatch.setenv("TERAKOYA_BROWSER", "/bin/false")
    with pytest.raises(ConfigError, match=r"does not respond(.|\n)*TERAKOYA_BROWSER"):
        find_exporter("page").open(found.artifact)


def test_an_unknown_target_is_named(number_run: Path) -> None:
    """A typing error is answered with the nearest target."""
    with pytest.raises(ConfigError, match="Did you mean 'page'"):
        tk.export(number_run, "pege")


def test_what_cannot_go_says_why(number_run: Path) -> None:
    """Beam search is no greedy decoding, and the sentence names it."""
    with pytest.raises(ConfigError, match="beam"):
        tk.export(number_run, "page", overrides={"decode.method": "beam"})


def test_a_promise_and_a_threshold_travel(number_run: Path, tmp_path: Path) -> None:
    """What is withheld for its probability here is withheld there."""
    skill = read_skill(number_run, ("decode.abstain_below=0.9999999",))
    for target in TARGETS:
        exporter = find_exporter(target)
        (tmp_path / target).mkdir()
        opened = exporter.open(exporter.write(skill, tmp_path / target, ExportOptions()))
        (found,) = opened.predict(["三万八千"])
        opened.close()
        (own,) = skill.predict(["三万八千"])
        assert own.withheld == "probability"
        assert (found.text, found.withheld) == (None, "probability")


def test_every_target_is_a_class_of_its_own() -> None:
    """Each line of the table leads to an exporter of that name."""
    for name, make in EXPORTERS.items():
        assert make().name == name


def test_a_loss_is_told_from_noise(number_run: Path) -> None:
    """With many items a few per cent less are a loss; one item of forty is noise, and is counted."""
    skill = read_skill(number_run, scored=True)
    items = [Example(str(n), str(n)) for n in range(600)]
    right = [Prediction(str(n), "", str(n), 1.0) for n in range(600)]
    for wrong, state in ((0, "same"), (1, "within noise"), (30, "worse")):
        after = [Prediction(one.source, "", "0", 1.0) for one in right[1 : wrong + 1]]
        found = compare_predictions(skill, items, right, [right[0], *after, *right[wrong + 1 :]])
        assert (found.state, found.equal) == (state, 600 - wrong)
    sure = [Prediction(one.source, "", one.text, 0.9) for one in right]
    assert compare_predictions(skill, items, right, sure, tolerance=1e-5).state == "worse"
    assert compare_predictions(skill, items, right, sure).state == "same"


def test_a_refusal_of_smaller_numbers_names_larger_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An int8 model that is worse is no dead end; a page that is worse has no such way out."""
    for target, quantisation, named in (
        ("ct2", "", "float32"),
        ("gguf", "q4_0", "f16"),
        ("gguf", "f16", ""),
        ("page", "", ""),
    ):
        proof = replace(
            _EMPTY, target=target, quantisation=quantisation, state="worse", runtime="r", metric="exact", n=1
        )
        assert printing.exports([ExportResult(tmp_path, tmp_path, proof)], json=False, lang="en") == 1
        said = capsys.readouterr().out
        assert (f"--to {target} --quantisation {named}" in said) if named else ("--quantisation" not in said)


def test_items_come_from_the_record() -> None:
    """Acceptable targets and subsets are those of the exam."""
    line = {"source": "a", "target": "b", "accepted": ["c"], "subset": "memorised", "turns": [["user", "hi"]]}
    (item,) = exam_items([line])
    assert (item.accepted, item.subset, item.turns[0].content) == (("c",), "memorised", "hi")


def test_weights_are_the_same_bits(exported: dict[str, Path], number_run: Path) -> None:
    """A page has the float32 weights of its skill, not a rounding of them."""
    from safetensors.numpy import load_file

    html = (exported["number"] / "page" / "index.html").read_text(encoding="utf-8")
    block = unpack(re.search(r'id="weights">([^<]+)<', html)[1])  # type: ignore[index]
    weights = load_file(number_run / "model" / "model.safetensors")
    assert block == b"".join(weights[name].tobytes() for name in sorted(weights))
