"""Whose fault is it? The files of third-party code are remembered; the innermost of their lines in a traceback decides.

remember(Path("greetings.py"))         # before it runs
find_fault(error)                      # → file, line, function and words, or None where none of theirs is involved
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

_HERE = str(Path(__file__).resolve().parents[2]) + os.sep  # this package
# File, or folder with a separator at its end → name and version of its package, "" for a user's own file.
_THEIRS: dict[str, str] = {}


@dataclass(frozen=True)
class Location:
    """Where third-party code stands.

    file     its path
    line     counted from 1; 0 where unknown
    name     of the function or class; "" where unknown
    package  that the file belongs to, with its version; "" for a user's own file
    """

    file: str
    line: int = 0
    name: str = ""
    package: str = ""


@dataclass(frozen=True)
class Fault:
    """An exception in third-party code.

    location  its innermost line there
    words     the exception's own words: "ZeroDivisionError: division by zero"
    source    the text of that line; "" where it cannot be read
    """

    location: Location
    words: str
    source: str = ""


def remember(path: Path, package: str = "") -> None:
    """Count a file, or a folder with everything in it, as third-party code.

    path     of the file or folder
    package  name and version of the package that brings it; "" for a user's own file
    """
    form = os.path.realpath(path)
    if not (form + os.sep).startswith(_HERE):
        _THEIRS[form + os.sep if Path(form).is_dir() else form] = package


def remember_module(module: str, package: str) -> None:
    """Count the top-level package or file of a module as third-party code, without importing it.

    module   its dotted name
    package  name and version of the distribution
    """
    from importlib.util import find_spec

    spec = find_spec(module.partition(".")[0])
    if spec is None:
        return
    for folder in spec.submodule_search_locations or ():
        remember(Path(folder), package)
    if spec.submodule_search_locations is None and spec.origin:
        remember(Path(spec.origin), package)


def find_fault(error: BaseException) -> Fault | None:
    """The innermost line of third-party code that an exception came through; None where there is none.

    error  as it was caught, with its traceback; where it was raised `from` another one, that one counts too
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if fault := _fault_of(current):
            return fault
        current = current.__cause__
    return None


def location_of(thing: Any) -> Location:
    """Where a function, class or object is defined.

    thing  a function (also one in a functools.partial), or an object whose class counts
    """
    import functools
    import inspect

    while isinstance(thing, functools.partial):
        thing = thing.func
    if inspect.ismethod(thing):
        thing = thing.__func__
    thing = inspect.unwrap(thing) if callable(thing) else thing
    code = getattr(thing, "__code__", None)
    if code is not None:
        return Location(code.co_filename, code.co_firstlineno, thing.__qualname__, _owner(code.co_filename) or "")
    if inspect.ismodule(thing):
        file = getattr(thing, "__file__", None) or thing.__name__
        return Location(file, 0, thing.__name__, _owner(file) or "")
    kind = thing if isinstance(thing, type) else type(thing)
    try:
        file, line = inspect.getsourcefile(kind) or "", inspect.getsourcelines(kind)[1]
    except (OSError, TypeError):
        return Location("", 0, kind.__qualname__)  # a type written in C
    return Location(file, line, kind.__qualname__, _owner(file) or "")


def is_ours(location: Location) -> bool:
    """Whether a `location` lies in this package."""
    return bool(location.file) and os.path.realpath(location.file).startswith(_HERE)


def _fault_of(error: BaseException) -> Fault | None:
    if isinstance(error, SyntaxError) and error.filename and (package := _owner(error.filename)) is not None:
        location = Location(error.filename, error.lineno or 0, "", package)
        return Fault(location, f"{type(error).__name__}: {error.msg}", (error.text or "").strip())
    found: Fault | None = None
    for file, line, name in _frames(error.__traceback__):
        if (package := _owner(file)) is not None:
            found = Fault(Location(file, line, name, package), _words(error))
    if found is None:
        return None
    import linecache

    return Fault(found.location, found.words, linecache.getline(found.location.file, found.location.line).strip())


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    for frame, line in traceback.walk_tb(trace):
        yield frame.f_code.co_filename, line, frame.f_code.co_qualname


def _words(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _owner(file: str) -> str | None:
    """The package of a third-party file, "" for a user's own; None for any other file."""
    form = os.path.realpath(file)
    for known, package in _THEIRS.items():
        if form == known or (known.endswith(os.sep) and form.startswith(known)):
            return package
    return None
