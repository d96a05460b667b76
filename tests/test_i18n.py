"""Messages: written once in English, complete in every catalogue, and the same facts in every language."""

from __future__ import annotations

import ast
import copy
import csv
import importlib.util
import io
import json
import pickle
import random
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from string import Formatter
from types import ModuleType

import numpy as np
import pytest
from babel.messages import Message as Entry
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from terakoya import i18n
from terakoya.cli.main import main
from terakoya.errors import ConfigError, CorruptError, DataError, nearest
from terakoya.i18n import Recorded, _, gathered, in_language, joined, language, languages, spread
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.records import Finding
from terakoya.reporting import markdown, read_record
from terakoya.runs import Run

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "terakoya"
# Two messages of the catalogue, one with a field.
NOTHING, LINES = "Nothing found.", "{count} lines written to {output}"


def lines(count: int) -> i18n.Message:
    return _("{count} lines written to {output}", count=count, output="x.csv")


# ── one message ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_is_its_english_text() -> None:
    """Code that knows nothing of languages goes on working."""
    message = lines(3)
    assert message == "3 lines written to x.csv" and isinstance(message, str)
    assert in_language(message, "en") == message
    assert in_language(message, "ja") == "3行を x.csv に書いた"
    assert in_language("plain", "ja") == "plain"


def test_a_message_inside_a_message_is_translated_too() -> None:
    """A cause inside a finding, a list inside a cause."""
    inner = _("{count} lines written to {output}", count=1, output=_("Nothing found."))
    outer = joined("; ", (inner, "7", _("Nothing found.")))
    assert outer == "1 lines written to Nothing found.; 7; Nothing found."
    assert in_language(outer, "ja") == "1行を 検出された事項はない。 に書いた; 7; 検出された事項はない。"
    assert in_language(joined(_("Nothing found."), ("a", "b")), "ja") == "a検出された事項はない。b"


def test_concatenation_keeps_the_translation() -> None:
    """ "x" + message and message + "x" stay messages."""
    assert in_language("(" + _("Nothing found.") + ")", "ja") == "(検出された事項はない。)"


def test_a_copied_or_sent_message_keeps_every_language() -> None:
    """A worker's error crosses a process boundary, a finding is copied for JSON."""
    for message in (lines(2), joined("", (lines(2), "!")), Recorded("a", {"ja": "あ"})):
        for other in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
            assert (str(other), in_language(other, "ja")) == (str(message), in_language(message, "ja"))
            assert type(other) is type(message)
    error = pickle.loads(pickle.dumps(DataError(lines(2), do=_("Nothing found."))))
    assert error.words("ja") == "2行を x.csv に書いた\n検出された事項はない。"


def test_fields_are_kept_as_plain_values() -> None:
    """A finding that lives on must not keep a tensor, a file handle or a list that others go on filling."""
    rows = [1]
    values = {"a": Path("x"), "b": ValueError("no"), "c": rows, "d": np.float32(2), "e": "q", "f": np.ones(2)}
    message = _("{a} {b} {c} {d:.1f} {e!r} {f}", **values)
    rows.append(2)
    assert message == "x no [1] 2.0 'q' [1. 1.]"
    assert message.fields == {"a": "x", "b": "no", "c": [1], "d": 2.0, "e": "q", "f": "[1. 1.]"}
    assert in_language(message, "ja") == message


def test_braces_are_literal_where_there_are_no_fields() -> None:
    """Text from a file, such as a comment, is looked up and never formatted."""
    assert _("a set {a, b}") == "a set {a, b}"
    assert _("{{{x}}}", x=1) == "{1}"


def test_a_faulty_translation_never_hides_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """English is better than a traceback in the middle of a run."""

    class Faulty:
        def gettext(self, _template: str) -> str:
            return "{rows} {count"

    monkeypatch.setattr(i18n, "_catalogue", lambda _lang: Faulty())
    assert in_language(lines(3), "ja") == "3 lines written to x.csv"


def test_messages_are_spread_over_fields_and_gathered_again() -> None:
    """What stands in a file comes back as it was; a file with English only, too."""
    flat = spread([("what", lines(3)), ("rows", [1])])
    assert flat == {"what": "3 lines written to x.csv", "what_ja": "3行を x.csv に書いた", "rows": [1]}
    back = gathered(flat)
    assert back == {"what": "3 lines written to x.csv", "rows": [1]}
    assert in_language(back["what"], "ja") == "3行を x.csv に書いた"
    assert gathered({"what": "a", "what_if": 3}) == {"what": "a", "what_if": 3}


def test_the_language_is_the_one_requested_else_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """English for every language without a catalogue."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert language() == "en" and language("ja") == "ja" and language("xx") == "en"
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    assert language() == "ja" and language("en") == "en" and language("xx") == "ja"
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert language() == "en"


# ── the catalogues ──────────────────────────────────────────────────────────────────────────────────────


def script() -> ModuleType:
    """scripts/messages.py, which `make messages` runs."""
    spec = importlib.util.spec_from_file_location("messages", ROOT / "scripts" / "messages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def extracted() -> set[str]:
    """Every message of the package."""
    return {entry.id for entry in script().extract() if entry.id}


def fields(template: str) -> set[tuple[str, str, str]]:
    """(name, conversion, format) of every field; nothing where it is no template."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        return set()
    return {(name, conversion or "", spec or "") for _text, name, spec, conversion in parts if name is not None}


def faults(entries: Iterable[Entry], wanted: set[str]) -> list[str]:
    """What is wrong with a catalogue: missing, fuzzy and unused entries, and fields that differ."""
    known = {entry.id: entry for entry in entries if entry.id}
    found = [f"missing: {message}" for message in sorted(wanted - known.keys())]
    found += [f"unused: {message}" for message in sorted(known.keys() - wanted)]
    for message, entry in known.items():
        if not entry.string:
            found.append(f"not translated: {message}")
        elif entry.fuzzy:
            found.append(f"fuzzy: {message}")
        elif fields(message) != fields(entry.string):
            found.append(f"other fields: {message} / {entry.string}")
    return found


def catalogues() -> list[Path]:
    return sorted(SRC.glob("locale/*/LC_MESSAGES/terakoya.po"))


@pytest.mark.parametrize("path", catalogues(), ids=lambda path: path.parent.parent.name)
def test_a_catalogue_is_complete(path: Path) -> None:
    """Run `make messages`, and translate what it leaves empty."""
    with path.open("rb") as file:
        assert faults(read_po(file), extracted()) == []


@pytest.mark.parametrize("path", catalogues(), ids=lambda path: path.parent.parent.name)
def test_a_catalogue_is_compiled(path: Path) -> None:
    """The .mo file is kept beside the .po file, so that neither installation nor a checkout needs Babel."""
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=path.parent.parent.name))
    assert path.with_suffix(".mo").read_bytes() == compiled.getvalue(), "run `make messages`"


def test_faults_of_a_catalogue_are_found() -> None:
    """The test itself is tried."""
    good = Entry("{n} rows", "{n} 行")
    assert faults([good], {"{n} rows"}) == []
    assert faults([], {"a"}) == ["missing: a"]
    assert faults([good], set()) == ["unused: {n} rows"]
    for string, flags in (("", ()), ("{n} 行", ("fuzzy",)), ("{m} 行", ()), ("{n:d} 行", ()), ("行", ())):
        assert faults([Entry("{n} rows", string, flags=flags)], {"{n} rows"}), string


def test_another_language_is_one_po_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing in the code names a language: a catalogue is found, offered, written to files and shown."""
    folder = tmp_path / "locale"
    shutil.copytree(SRC / "locale", folder)
    made_up = folder / "eo" / "LC_MESSAGES"
    made_up.mkdir(parents=True)
    entries = {NOTHING: "Nenio trovita.", LINES: "{count} linioj en {output}", "Options:": "Opcioj:"}
    body = "".join(f"msgid {json.dumps(key)}\nmsgstr {json.dumps(text)}\n\n" for key, text in entries.items())
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    (made_up / "terakoya.po").write_text(head + body, encoding="utf-8")
    with (made_up / "terakoya.po").open("rb") as po, (made_up / "terakoya.mo").open("wb") as mo:
        write_mo(mo, read_po(po, locale="eo"))
    monkeypatch.setattr(i18n, "LOCALE", folder)
    languages.cache_clear()
    i18n._catalogue.cache_clear()
    try:
        assert languages() == ("en", "eo", "ja") and language("eo") == "eo"
        assert in_language(lines(3), "eo") == "3 linioj en x.csv"
        flat = spread([("what", lines(3))])
        assert (flat["what_eo"], flat["what_ja"]) == ("3 linioj en x.csv", "3行を x.csv に書いた")
        assert main(["run", "--lang", "eo", "--help"]) == 0
        assert "Opcioj:" in capsys.readouterr().out
        table = tmp_path / "t.csv"
        table.write_text("source,target\n" + "".join(f"問{n},答{n % 3}\n" for n in range(40)), encoding="utf-8")
        assert main(["audit", str(table), "--lang", "eo"]) in (0, 1)
        assert main(["new", str(tmp_path / "task"), "--lang", "eo"]) == 0
    finally:
        monkeypatch.undo()
        languages.cache_clear()
        i18n._catalogue.cache_clear()
    assert language("eo") == "en"
    assert in_language(gathered(flat)["what"], "eo") == "3 linioj en x.csv"


def test_a_config_may_name_every_language() -> None:
    """The choices of `lang` are the catalogues."""
    from terakoya.config import parse_config

    for lang in ("", *languages()):
        assert parse_config(f'lang = "{lang}"').lang == lang
    with pytest.raises(ConfigError, match="en"):
        parse_config('lang = "xx"')


# ── what a person reads ─────────────────────────────────────────────────────────────────────────────────


def test_an_error_is_shown_in_japanese() -> None:
    """What, where and what to do; in the language of the reader."""
    error = ConfigError(_("unknown key '{key}'", key="epoch"), where="x.toml", do=nearest("epoch", ["epochs"]))
    assert error.words("ja") == "x.toml: 知らないキー 'epoch'\n「epochs」のことか。"
    assert str(error) == "x.toml: unknown key 'epoch'\nDid you mean 'epochs'?"


def test_a_record_in_japanese_holds_japanese_findings(tmp_path: Path) -> None:
    """A run made in English is reported in Japanese afterwards, findings and next steps included."""
    finding = Finding("holes", "warn", lines(7), do=_("Nothing found."))
    old = Finding("order", "warn", "an old finding", do="Do it.")
    with Run.create(tmp_path, "two-languages", seed=1) as run:
        run.append("findings.jsonl", finding)
        run.append("findings.jsonl", old)
        run.finish("done")
        path = run.path
    line = json.loads((path / "findings.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (line["what"], line["what_ja"]) == ("7 lines written to x.csv", "7行を x.csv に書いた")
    page = markdown(read_record(path), "ja")
    assert "7行を x.csv に書いた" in page and page.count("検出された事項はない。") == 2
    assert "7 lines written" not in page
    assert "an old finding" in page
    assert "7 lines written to x.csv" in markdown(read_record(path), "en")


def test_errors_of_the_command_line_are_japanese_on_request(
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


# ── promises kept in the source ─────────────────────────────────────────────────────────────────────────

LABELS = ("task.codec=labels",)
_JAPANESE = re.compile("[ぁ-んァ-ヶ一-龥]")
_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")
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


def _translatable(node: ast.expr | None, tree: ast.AST, depth: int = 0) -> bool:
    """Whether an expression is a message, or nothing, or something that is passed on."""
    if node is None or depth > 8 or isinstance(node, (ast.Attribute, ast.Subscript)):
        return True
    if isinstance(node, ast.Constant):
        return node.value == ""
    if isinstance(node, ast.IfExp):
        return _translatable(node.body, tree, depth + 1) and _translatable(node.orelse, tree, depth + 1)
    if isinstance(node, ast.BinOp):
        return _translatable(node.left, tree, depth + 1) and _translatable(node.right, tree, depth + 1)
    if isinstance(node, ast.BoolOp):
        return all(_translatable(value, tree, depth + 1) for value in node.values)
    if isinstance(node, ast.Name):
        values = [
            item.value
            for item in ast.walk(tree)
            if isinstance(item, (ast.Assign, ast.AugAssign, ast.AnnAssign))
            for target in (item.targets if isinstance(item, ast.Assign) else [item.target])
            if isinstance(target, ast.Name) and target.id == node.id
        ]
        return all(_translatable(value, tree, depth + 1) for value in [*values, *_handed(node.id, tree)])
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in ("_", "joined", "nearest", "Recorded"):
            return True
        made = [item for item in ast.walk(tree) if isinstance(item, ast.FunctionDef) and item.name == name]
        said = [item.value for one in made for item in ast.walk(one) if isinstance(item, ast.Return)]
        return bool(made) and all(_translatable(value, tree, depth + 1) for value in said)
    return False


def _handed(name: str, tree: ast.AST) -> Iterator[ast.expr]:
    """What callers in the same file pass for a parameter of that name."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            places = [item.arg for item in function.args.args if item.arg != "self"]
            if name in (*places, *(item.arg for item in function.args.kwonlyargs)):
                place = places.index(name) if name in places else len(places)
                for call in _calls(tree, [function.name]):
                    given = _given(call, name, place)
                    if given is not None:
                        yield given


def test_every_finding_can_be_translated() -> None:
    """A Japanese report with English causes helps only those who read English."""
    plain = [
        f"{name}:{call.lineno} {what}"
        for name, tree in _trees()
        for call in [*_calls(tree, ["Finding"]), *_calls(tree, ["finding"])]
        for what, place in (("what", 2), ("do", 4))
        if not _translatable(_given(call, what, place), tree)
    ]
    assert plain == []


def test_every_error_can_be_translated() -> None:
    """Whoever meets an error must be able to read why, and what to do."""
    plain = [
        f"{name}:{call.lineno} {what}"
        for name, tree in _trees()
        for call in _calls(tree, _ERRORS)
        for what, place in (("what", 0), ("do", 9), ("saved", 9))
        if not _translatable(_given(call, what, place), tree)
    ]
    assert plain == []


def test_every_error_says_what_to_do() -> None:
    """Whoever meets an error learns the next step; for a damaged file, and for Ctrl-C, the class itself says it."""
    without = [
        f"{name}:{call.lineno}"
        for name, tree in _trees()
        for call in _calls(tree, [kind for kind in _ERRORS if kind not in ("CorruptError", "Interrupted")])
        if _given(call, "do", 9) is None
    ]
    assert without == []
    assert CorruptError("torn").words("ja") == "torn\nバックアップから戻すか、作り直すこと。"


def _named(call: ast.Call) -> str | None:
    """The template of `_("…", …)`, where it is written out."""
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def test_every_message_is_given_its_fields() -> None:
    """A field that is missing would be met by the first user of that message."""
    wrong = []
    for name, tree in _trees():
        for call in _calls(tree, ["_"]):
            template, given = _named(call), {word.arg for word in call.keywords}
            if (
                template is not None
                and None not in given
                and given
                and {field[0] for field in fields(template)} != given
            ):
                wrong.append(f"{name}:{call.lineno}: {template}: {sorted(map(str, given))}")
    assert wrong == []


def test_messages_are_written_out() -> None:
    """An f-string is looked up in no catalogue."""
    wrong = [
        f"{name}:{call.lineno}"
        for name, tree in _trees()
        for call in _calls(tree, ["_"])
        if not call.args or isinstance(call.args[0], (ast.JoinedStr, ast.BinOp))
    ]
    assert wrong == []


def _binds_underscore(function: ast.AST) -> bool:
    """Whether `_` is a variable of this function (those of comprehensions and of inner functions are their own)."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.arg) and node.arg == "_":
            return True
        if isinstance(node, ast.Name) and node.id == "_" and isinstance(node.ctx, ast.Store):
            return True
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.FunctionDef, ast.Lambda)):
            continue
        if _binds_underscore(node):
            return True
    return False


def test_no_function_that_writes_messages_uses_underscore_as_a_variable() -> None:
    """`for _ in …` would make `_("…")` fail there."""
    scopes = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    wrong = [
        f"{name}:{scope.lineno}"
        for name, tree in _trees()
        for scope in ast.walk(tree)
        if isinstance(scope, scopes)
        and _binds_underscore(
            scope if isinstance(scope, (ast.FunctionDef, ast.Lambda)) else ast.Module(scope.generators, [])
        )
        and any(True for _call in _calls(scope, ["_"]))
    ]
    assert wrong == []


def test_every_language_gives_the_same_numbers() -> None:
    """A message that says 80 in one language and 90 in the other is worse than one that is not translated."""
    unlike, plain = [], []
    for path in catalogues():
        with path.open("rb") as file:
            entries = [entry for entry in read_po(file) if entry.id and entry.string and not entry.fuzzy]
        for entry in entries:
            english, other = (re.sub(r"{[^{}]*}", "\0", str(text)) for text in (entry.id, entry.string))
            if sorted(_NUMBERS.findall(english)) != sorted(_NUMBERS.findall(other)):
                unlike.append(f"{entry.id} / {entry.string}")
            japanese = _JAPANESE.search(other + "の" * other.count("\0"))
            if path.parent.parent.name == "ja" and re.search("[a-z]{3}", english) and not japanese:
                plain.append(entry.string)
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


def test_findings_on_bad_data_give_the_same_numbers_in_both_languages(tmp_path: Path) -> None:
    """What is filled in is filled in twice; nothing may be lost on one side."""
    found = [*commands.audit(str(_planted(tmp_path))), *commands.audit(str(_planted(tmp_path)), overrides=LABELS)]
    assert len({finding.check for finding in found}) >= 12
    for finding in found:
        for said in (finding.what, finding.do):
            numbers = [sorted(_NUMBERS.findall(in_language(said, lang))) for lang in ("en", "ja")]
            assert numbers[0] == numbers[1], f"{finding.check}: {said} / {in_language(said, 'ja')}"


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
        numbers = [sorted(_NUMBERS.findall(in_language(finding.what, lang))) for lang in ("en", "ja")]
        assert numbers[0] == numbers[1], f"{finding.check}: {finding.what} / {in_language(finding.what, 'ja')}"
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
