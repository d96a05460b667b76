"""docs/settings.md from config/schema.py, docs/results.md from run folders: `python docs/make.py [RUNS …]`."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
CONFIG = HERE.parent / "src" / "terakoya" / "config" / "schema.py"
SECTIONS = {
    "TaskConfig": "task",
    "SplitConfig": "split",
    "ModelConfig": "model",
    "TrainConfig": "train",
    "DecodeConfig": "decode",
    "ScoreConfig": "score",
    "TeacherConfig": "teacher",
    "Config": "",
}


def settings() -> str:
    """Every key with its default, what it may be, and the comment that stands beside it in config/schema.py."""
    source = CONFIG.read_text(encoding="utf-8")
    lines = source.splitlines()
    parts = [
        "# Settings\n",
        "Made from `src/terakoya/config/schema.py`. A config holds what differs; `--set section.key=value` overrides;"
        " the run folder keeps the whole. `auto` is resolved from model family, size and data, and recorded.\n",
    ]
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name in SECTIONS:
            parts.append(_section(node, lines))
    return "\n".join(parts)


def _section(node: ast.ClassDef, lines: list[str]) -> str:
    name = SECTIONS[node.name]
    out = [f"## {f'[{name}]' if name else 'top level'}\n", f"{ast.get_docstring(node) or ''}\n"]
    out += ["| key | default | may be | |", "|---|---|---|---|"]
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id != "model_config":
            kind = ast.unparse(item.annotation)
            if kind.endswith("Config"):
                continue
            # A comment stands on the last line of the field, behind it or (where it was long) on the line above.
            comment = lines[(item.end_lineno or item.lineno) - 1].partition("  # ")[2]
            cells = (f"`{item.target.id}`", f"`{_default(item.value)}`", f"`{_kind(kind)}`", comment)
            out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(out) + "\n"


def _default(value: ast.expr | None) -> str:
    if isinstance(value, ast.Call):
        words = {word.arg: word.value for word in value.keywords}
        return ast.unparse(words["default"]) if "default" in words else "{}"
    return ast.unparse(value) if value is not None else ""


def _kind(text: str) -> str:
    """Types in words: "Literal['a', 'b']" is 'a', 'b'; "int | Auto" is int or auto."""
    text = re.sub(r"tuple\[(.*), \.\.\.\]", r"list of \1", text)
    text = re.sub(r"Literal\[([^\]]*)\]", r"\1", text)
    text = re.sub(r"\bstr\b", "text", text)
    return text.replace("Auto", "'auto'").replace(" | ", " or ").replace("dict[text, Any]", "table")


def results(runs: list[Path]) -> str:
    """One row a run: the model's main score beside its best baseline, with interval and number of items."""
    from terakoya.runs.result import read_result

    rows = ["| experiment | metric | model | 95% | best baseline | n | verdict |", "|---|---|---|---|---|---|---|"]
    for run in runs:
        found = read_result(run)
        mine = next(score for score in found.scores if score.who == "model" and score.part == "")
        others = [
            score
            for score in found.scores
            if score.who not in ("model", "hybrid") and score.part == "" and score.metric == mine.metric
        ]
        best = max(others, key=lambda score: score.value, default=None)
        beside = f"{best.who} {best.value:.3f}" if best else ""
        rows.append(
            f"| `{run.name.rsplit('-', 2)[0]}` | {mine.metric} | {mine.value:.4f} | {mine.low:.4f} – {mine.high:.4f} "
            f"| {beside} | {mine.n} | {found.state} |"
        )
    return "\n".join(rows) + "\n"


def main() -> None:
    (HERE / "settings.md").write_text(settings(), encoding="utf-8")
    if len(sys.argv) > 1:
        (HERE / "results.md").write_text(results([Path(name) for name in sys.argv[1:]]), encoding="utf-8")


if __name__ == "__main__":
    main()
