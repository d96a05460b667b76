"""The package `terakoya_runtime`: copies of those of our modules that predict, and of nothing else.

It is generated and no second implementation: what is copied is what trained, scored and proved the skill, so that the
two cannot differ. The closure of imports is followed from the entry; annotations need no imports, and what trains or
reads data files is left behind.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import terakoya
from terakoya.runs import write_text

PACKAGE = "terakoya_runtime"
ENTRY = "terakoya.exporters.runtime.standalone"
# Where copied modules differ from ours: regular expressions without the package `regex`, and what annotations name.
_REGEX = f"{ENTRY}.patterns_with_re"
_LEFT_OUT = ("terakoya.config", "terakoya.task", "terakoya.errors.third_party")
_PARENT = Path(terakoya.__file__).parent.parent
# Sets of labels that sequences spell are read without the emoji tables: constrained, they hold legal labels alone.
_NO_EMOJI_TABLES = '''

def split_emoji(text: str) -> list[str] | None:  # noqa: F811
    """None: the tables of emoji stay behind, and legal labels are read without them."""
    return None
'''


def write_package(folder: Path) -> None:
    """Write the package.

    folder  that gets a folder `terakoya_runtime`
    """
    for module, source in sorted(copied_modules().items()):
        target = folder / _place(module)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, source)
    for inner in [folder / PACKAGE, *(path for path in (folder / PACKAGE).rglob("*") if path.is_dir())]:
        if not (inner / "__init__.py").exists():
            write_text(inner / "__init__.py", "")


def copied_modules() -> dict[str, str]:
    """Module → its source as it is copied, for every module that the entry needs."""
    found: dict[str, str] = {}
    waiting = [ENTRY, f"{ENTRY}.__main__", _REGEX]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        path = _file(module)
        source = _left_behind(path.read_text(encoding="utf-8"))
        if _imports_torch(source):  # reached from functions that are not called here
            continue
        found[module] = _renamed(source) + (_NO_EMOJI_TABLES if module == "terakoya.codec.text" else "")
        waiting += _needed(source)
    return found


def _needed(source: str) -> Iterator[str]:
    for node in ast.walk(_without_typing(ast.parse(source))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.startswith("terakoya.") and _file(name).is_file())


def _imports_torch(source: str) -> bool:
    body = _without_typing(ast.parse(source)).body
    names = [node.module or "" for node in body if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
    return any(name.partition(".")[0] == "torch" for name in names)


def _without_typing(tree: ast.Module) -> ast.Module:
    """The module without what type checkers alone see."""
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")
    ]
    return tree


def _left_behind(source: str) -> str:
    """The source without imports of what only annotations name."""
    names = "|".join(map(re.escape, _LEFT_OUT))
    return re.sub(rf"^from (?:{names})[\w.]* import (?:\([^)]*\)|.*)\n", "", source, flags=re.MULTILINE)


def _renamed(source: str) -> str:
    by_re = f"from {ENTRY} import patterns_with_re as regex"
    source = re.sub(r"^( *)import regex$", rf"\1{by_re}", source, flags=re.MULTILINE)
    source = source.replace(f"{ENTRY} import", f"{PACKAGE} import").replace(f"{ENTRY}.", f"{PACKAGE}.")
    return re.sub(r"\bterakoya\.(?=[a-z])", f"{PACKAGE}.", source)


def _place(module: str) -> Path:
    """Where a module is copied to: the entry becomes the package itself."""
    path = _file(module)
    inner = path.relative_to(_PARENT / "terakoya")
    entry = Path(*ENTRY.split(".")[1:])
    return Path(PACKAGE) / (inner.relative_to(entry) if inner.is_relative_to(entry) else inner)


def _file(module: str) -> Path:
    path = _PARENT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
