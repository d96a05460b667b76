"""Two tongues: whatever a person reads is written in English and in Japanese, and says the same in both."""

from __future__ import annotations

import ast
import copy
import csv
import json
import pickle
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from terakoya.cli.main import main
from terakoya.errors import ConfigError, CorruptError, DataError, nearest
from terakoya.i18n import both, gathered, in_language, japanese, joined, spread
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.records import Finding
from terakoya.report import markdown, read_record
from terakoya.runs import Run


def test_a_sentence_is_english_and_knows_its_japanese() -> None:
    """Code that knows nothing of Japanese goes on working."""
    said = both("3 rows are empty", "3行が空である")
    assert said == "3 rows are empty"
    assert (in_language(said, "en"), in_language(said, "ja")) == ("3 rows are empty", "3行が空である")
    assert japanese("plain") == "plain"


def test_a_copied_or_sent_sentence_keeps_both_languages() -> None:
    """A worker's error crosses a process boundary, a finding is copied for JSON."""
    said = both("a", "あ")
    for other in (copy.deepcopy(said), pickle.loads(pickle.dumps(said))):
        assert (str(other), japanese(other)) == ("a", "あ")
    error = pickle.loads(pickle.dumps(DataError(said, do=said)))
    assert error.words("ja") == "あ\nあ"


def test_sentences_strung_together_keep_both_languages() -> None:
    """A refusal made of several findings is as readable as each of them."""
    said = joined("; ", (both("a", "あ"), "7"))
    assert (said, japanese(said)) == ("a; 7", "あ; 7")


def test_fields_are_spread_and_gathered_again() -> None:
    """What stands in a file comes back as it was; a file of yesterday, English only, too."""
    told = spread([("what", both("a", "あ")), ("rows", [1])])
    assert told == {"what": "a", "what_ja": "あ", "rows": [1]}
    back = gathered(told)
    assert back == {"what": "a", "rows": [1]}
    assert japanese(back["what"]) == "あ"
    assert gathered({"what": "a"}) == {"what": "a"}


def test_a_refusal_speaks_japanese() -> None:
    """What, where and what to do; in the words of the reader."""
    error = ConfigError(both("unknown key", "知らないキー"), where="x.toml", do=nearest("epoch", ["epochs"]))
    assert error.words("ja") == "x.toml: 知らないキー\n「epochs」のことか。"
    assert str(error) == "x.toml: unknown key\nDid you mean 'epochs'?"


def test_a_record_in_japanese_holds_japanese_findings(tmp_path: Path) -> None:
    """A run made in English is told in Japanese afterwards, findings and next steps included."""
    finding = Finding(
        "holes", "warn", both("7 are never taught", "7 が学習されない"), do=both("Cover it.", "補うこと。")
    )
    old = Finding("order", "warn", "an old finding", do="Do it.")
    with Run.create(tmp_path, "two-tongues", seed=1) as run:
        run.append("findings.jsonl", finding)
        run.append("findings.jsonl", old)
        run.finish("done")
        path = run.path
    line = json.loads((path / "findings.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (line["what"], line["what_ja"], line["do_ja"]) == ("7 are never taught", "7 が学習されない", "補うこと。")
    page = markdown(read_record(path), "ja")
    assert "7 が学習されない" in page and page.count("補うこと。") == 2
    assert "7 are never taught" not in page
    assert "an old finding" in page
    assert "7 are never taught" in markdown(read_record(path), "en")


def test_the_command_line_refuses_in_japanese_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--lang first, then the locale."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert main(["audit", "kannumé", "--lang", "ja"]) == 2
    assert "という実験はない" in capsys.readouterr().err
    assert main(["audit", "kannumé"]) == 2
    assert "there is no experiment" in capsys.readouterr().err
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    assert main(["audit", "kannumé"]) == 2
    assert "という実験はない" in capsys.readouterr().err


def test_json_holds_both_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads English keys; a page made from them may show Japanese."""
    table = tmp_path / "few.csv"
    table.write_text("source,target\n" + "".join(f"問{n},答{n % 3}\n" for n in range(30)), encoding="utf-8")
    main(["audit", str(table), "--json", "--lang", "ja"])
    found = json.loads(capsys.readouterr().out)["findings"]
    assert found and all({"what", "what_ja"} <= set(finding) for finding in found)


# ── the promise, kept in the source ─────────────────────────────────────────────────────────────────────

LABELS = ("task.codec=labels",)
SRC = Path(__file__).parent.parent / "src" / "terakoya"
_JAPANESE = re.compile("[ぁ-んァ-ヶ一-龥]")
_FIGURES = re.compile(r"\d+(?:[.,]\d+)*")
_ERRORS = [
    "BudgetError",
    "ConfigError",
    "CorruptError",
    "DataError",
    "DiskError",
    "IncompatibleError",
    "Interrupted",
    "LockedError",
    "NumericError",
    "ProviderError",
    "TerakoyaError",
]


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SRC.rglob("*.py")):
        yield path.relative_to(SRC).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _calls(tree: ast.AST, names: Sequence[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
            yield node


def _given(call: ast.Call, name: str, place: int) -> ast.expr | None:
    """The argument of that name, wherever it stands; None where it is left out."""
    named = [word.value for word in call.keywords if word.arg == name]
    placed = [item for item in call.args[place : place + 1] if not isinstance(item, ast.Starred)]
    return (named or placed or [None])[0]


def _bilingual(node: ast.expr | None, tree: ast.AST, depth: int = 0) -> bool:
    """Whether an expression is a sentence in both languages, or nothing, or something that is handed on."""
    if node is None or depth > 8 or isinstance(node, (ast.Attribute, ast.Subscript)):
        return True
    if isinstance(node, ast.Constant):
        return node.value == ""
    if isinstance(node, ast.IfExp):
        return _bilingual(node.body, tree, depth + 1) and _bilingual(node.orelse, tree, depth + 1)
    if isinstance(node, ast.BinOp):
        return _bilingual(node.left, tree, depth + 1) and _bilingual(node.right, tree, depth + 1)
    if isinstance(node, ast.BoolOp):
        return all(_bilingual(value, tree, depth + 1) for value in node.values)
    if isinstance(node, ast.Name):
        values = [
            item.value
            for item in ast.walk(tree)
            if isinstance(item, (ast.Assign, ast.AugAssign, ast.AnnAssign))
            for target in (item.targets if isinstance(item, ast.Assign) else [item.target])
            if isinstance(target, ast.Name) and target.id == node.id
        ]
        return all(_bilingual(value, tree, depth + 1) for value in [*values, *_handed(node.id, tree)])
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in ("both", "joined", "nearest"):
            return True
        made = [item for item in ast.walk(tree) if isinstance(item, ast.FunctionDef) and item.name == name]
        said = [item.value for one in made for item in ast.walk(one) if isinstance(item, ast.Return)]
        return bool(made) and all(_bilingual(value, tree, depth + 1) for value in said)
    return False


def _handed(name: str, tree: ast.AST) -> Iterator[ast.expr]:
    """What callers in the same file give for a parameter of that name."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            places = [item.arg for item in function.args.args if item.arg != "self"]
            if name in (*places, *(item.arg for item in function.args.kwonlyargs)):
                place = places.index(name) if name in places else len(places)
                for call in _calls(tree, [function.name]):
                    given = _given(call, name, place)
                    if given is not None:
                        yield given


def test_every_finding_speaks_both_languages() -> None:
    """A Japanese record with English causes helps only those who read English."""
    dumb = [
        f"{name}:{call.lineno} {what}"
        for name, tree in _trees()
        for call in [*_calls(tree, ["Finding"]), *_calls(tree, ["finding"])]
        for what, place in (("what", 2), ("do", 4))
        if not _bilingual(_given(call, what, place), tree)
    ]
    assert dumb == []


def test_every_refusal_speaks_both_languages() -> None:
    """Whoever is refused must be able to read why, and what to do."""
    dumb = [
        f"{name}:{call.lineno} {what}"
        for name, tree in _trees()
        for call in _calls(tree, _ERRORS)
        for what, place in (("what", 0), ("do", 9), ("saved", 9))
        if not _bilingual(_given(call, what, place), tree)
    ]
    assert dumb == []


def test_every_refusal_says_what_to_do() -> None:
    """P30: whoever is refused learns the next step; of a damaged file, and of Ctrl-C, the house itself says it."""
    silent = [
        f"{name}:{call.lineno}"
        for name, tree in _trees()
        for call in _calls(tree, [kind for kind in _ERRORS if kind not in ("CorruptError", "Interrupted")])
        if _given(call, "do", 9) is None
    ]
    assert silent == []
    assert CorruptError("torn").words("ja") == "torn\nバックアップから戻すか、作り直すこと。"


def _text(node: ast.expr) -> str:
    """The fixed words of a literal; what is filled in stands as a blank."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
    return ""


def test_both_languages_give_the_same_figures() -> None:
    """A sentence that says 80 in one language and 90 in the other is worse than one that is not translated."""
    unlike, plain = [], []
    for name, tree in _trees():
        for call in _calls(tree, ["both"]):
            english, japan = (_text(part) for part in call.args)
            if sorted(_FIGURES.findall(english)) != sorted(_FIGURES.findall(japan)):
                unlike.append(f"{name}:{call.lineno}: {english} / {japan}")
            if re.search("[a-z]{3}", english) and japan and not _JAPANESE.search(japan + "の" * japan.count("\0")):
                plain.append(f"{name}:{call.lineno}: {japan}")
    assert (unlike, plain) == ([], [])


def _planted(folder: Path) -> Path:
    """A table with many defects: skew, copies, contradictions, damage, prose, odd characters, near copies."""
    draw = random.Random(5)
    rows = [
        [f"今日は{draw.choice('春夏秋冬')}の{draw.randrange(900)}番目の日である。", draw.choice("春春春春春夏")]
        for _ in range(400)
    ]
    rows += rows[:20]
    rows += [[row[0], "秋"] for row in rows[:20]]
    rows += [["長い文章であるからして途中で切れて終わっている", "1.0"], ["ｶﾀｶﾅ\u200bと�", "#REF!"], ["", "夏"]]
    rows += [["申し訳がない話を聞いた日である。", "申し訳ありませんが、その質問にはお答えできません。"]] * 3
    rows += [[f"とても長い似た文章がここにあります{char}。", "冬" * 60] for char in "あいうえお"]
    path = folder / "planted.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["source", "target"], *rows])
    return path


def test_findings_on_bad_data_give_the_same_figures_in_both_languages(tmp_path: Path) -> None:
    """What is filled in is filled in twice; nothing may be lost on one side."""
    found = [*commands.audit(str(_planted(tmp_path))), *commands.audit(str(_planted(tmp_path)), overrides=LABELS)]
    assert len({finding.check for finding in found}) >= 12
    for finding in found:
        for said in (finding.what, finding.do):
            figures = [sorted(_FIGURES.findall(in_language(said, lang))) for lang in ("en", "ja")]
            assert figures[0] == figures[1], f"{finding.check}: {said} / {japanese(said)}"


def test_an_audit_in_japanese_holds_no_english_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of settings stay; sentences do not."""
    for settings in ([], ["--set", LABELS[0]]):
        main(["audit", str(_planted(tmp_path)), "--lang", "ja", *settings])
        shown = capsys.readouterr().out
        assert "件" in shown
        for line in shown.splitlines():
            assert not re.search(r"(?:\b[A-Za-z]{2,}[,;]? ){3}[A-Za-z]{2,}", line), line


def test_a_run_in_english_is_told_in_japanese_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings, causes and next steps: `terakoya report RUN --lang ja` holds no English finding."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    (tmp_path / "moods.toml").write_text(
        '[task]\ndata = "planted.csv"\ncodec = "labels"\n[model]\nbase = "tiny"\nhead = '
        '"sequence"\n[train]\nsteps = 30\n',
        encoding="utf-8",
    )
    path = _planted(tmp_path)
    whole = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(",")]
    path.write_text("\n".join(whole) + "\n", encoding="utf-8")
    done = pipeline.run(str(tmp_path / "moods.toml"), run_dir=tmp_path / "runs", anyway=True)
    assert "collapse" in {finding.check for finding in done.findings}
    english = (done.folder / "report.md").read_text(encoding="utf-8")
    pipeline.report(done.folder, lang="ja")
    japan = (done.folder / "report.md").read_text(encoding="utf-8")
    for finding in done.findings:
        figures = [sorted(_FIGURES.findall(in_language(finding.what, lang))) for lang in ("en", "ja")]
        assert figures[0] == figures[1], f"{finding.check}: {finding.what} / {japanese(finding.what)}"
    told = japan[japan.index("原因と対策") : japan.index("## 推論テスト")] + japan[japan.index("次のステップ") :]
    for line in told.splitlines():
        assert not re.search(r"(?:\b[A-Za-z]{2,}[,;]? ){3}[A-Za-z]{2,}", line), line
    assert any(re.search(r"(?:\b[A-Za-z]{2,}[,;]? ){3}[A-Za-z]{2,}", line) for line in english.splitlines())


def test_the_config_chooses_the_language_of_a_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the config itself is what is refused; --lang goes before it."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    path = tmp_path / "moods.toml"
    path.write_text('lang = "ja"\n[task]\ndata = "none.csv"\n[train]\nstepz = 3\n', encoding="utf-8")
    for command in ("run", "audit", "doctor"):
        assert main([command, str(path)]) == 2
        assert "知らないキー 'stepz'\n「steps」のことか。" in capsys.readouterr().err
    assert main(["run", str(path), "--lang", "en"]) == 2
    assert "unknown key 'stepz'\nDid you mean 'steps'?" in capsys.readouterr().err


def test_a_run_in_japanese_is_told_in_japanese(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stages, progress, notes, scores and the end: what a person watches for minutes is in their language."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    rows = "".join(f"{thing}は{place}にある,{thing}\n" for thing in "山川海空月星" for place in "東西南北上下左右")
    (tmp_path / "things.csv").write_text("source,target\n" + rows, encoding="utf-8")
    config = '[task]\ndata = "things.csv"\n[model]\nbase = "tiny"\n[train]\nsteps = 10\nthreads = 1\n'
    (tmp_path / "things.toml").write_text(config, encoding="utf-8")
    main(["run", str(tmp_path / "things.toml"), "--run-dir", str(tmp_path / "runs"), "--lang", "ja"])
    shown = capsys.readouterr().out
    for word in ("監査", "事前検査", "学習", "試験", "ステップ 10/10", "残り", "対象", "定数", "不正解", "記録："):
        assert word in shown
    for line in shown.splitlines():
        assert not re.search(r"(?:\b[A-Za-z]{2,}[,;]? ){3}[A-Za-z]{2,}", line), line
