"""Every public function says what the caller gains and names each of its parameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "terakoya"


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """(name, function, docstring of its class) of what others may call: public functions, and methods of public
    classes. Parameters of `__init__` may be named by the class."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node, ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            of_class = ast.get_docstring(node) or ""
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    if inner.name in ("__init__", "__call__"):
                        yield f"{node.name}.{inner.name}", inner, of_class
                    elif not inner.name.startswith("_"):
                        yield f"{node.name}.{inner.name}", inner, ""


def unnamed(source: str) -> list[str]:
    """What is missing: "line: name: parameter" of each parameter that its docstring does not name."""
    missing = []
    for name, function, of_class in _functions(ast.parse(source)):
        said = ast.get_docstring(function) or ""
        if not said and not of_class:
            missing.append(f"{function.lineno}: {name}: no docstring")
            continue
        given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        for argument in given:
            known = re.search(rf"\b{re.escape(argument.arg)}\b", f"{said}\n{of_class}")
            if argument.arg not in ("self", "cls") and not argument.arg.startswith("_") and not known:
                missing.append(f"{function.lineno}: {name}: {argument.arg}")
    return missing


def _files() -> list[Path]:
    """The command line is left out: its parameters are explained by their own `help`."""
    return [path for path in sorted(SRC.rglob("*.py")) if path.relative_to(SRC).parts[0] != "cli"]


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(SRC)))
def test_every_parameter_is_named(path: Path) -> None:
    """Shapes, units and defaults can only be read where the parameter is named at all."""
    missing = unnamed(path.read_text(encoding="utf-8"))
    assert not missing, "\n".join(missing)


def test_a_missing_name_is_found() -> None:
    """The test itself is tried."""
    assert unnamed("def f(a, b):\n    '''Takes a only.'''\n") == ["1: f: b"]
    assert unnamed("def f():\n    pass\n") == ["1: f: no docstring"]
    assert unnamed("class A:\n    '''x'''\n    def m(self, n):\n        '''Doc.'''\n") == ["3: A.m: n"]
    assert not unnamed("class A:\n    '''Holds n.'''\n    def __init__(self, n):\n        pass\n")
