"""How we say no: what happened, where, and what to do now.

Every error that a user can put right is a `TerakoyaError`. It is shown without a traceback and its
class decides the exit code of the command line (house rule: 0 done, 1 done with a stop finding, 70 our fault).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import ClassVar

from terakoya.i18n import both, in_language


class TerakoyaError(Exception):
    """A refusal in plain words.

    `what` happened, `where` (file, row, column, key), what to `do` now, and what is already `saved`
    (so that nobody fears for what was made or paid for). Each may be said in Japanese too (tongue.py).
    """

    exit_code: ClassVar[int] = 2
    usual_do: ClassVar[str] = ""  # what helps against this kind where nothing more is known
    lang: str = ""  # what the command or the config asked for, where that was known when it happened

    def __init__(self, what: str, *, where: str = "", do: str = "", saved: str = "") -> None:
        self.what, self.where, self.do, self.saved = what, where, do or self.usual_do, saved
        super().__init__(what)

    def __str__(self) -> str:
        return self.words("en")

    def words(self, lang: str) -> str:
        """The whole refusal, in English or Japanese ("ja")."""
        what, where, do, saved = (in_language(said, lang) for said in (self.what, self.where, self.do, self.saved))
        head = f"{where}: {what}" if where else what
        return "\n".join(line for line in (head, saved, do) if line)


class ConfigError(TerakoyaError):
    """The command or the config cannot be carried out as written."""

    exit_code = 2


class DataError(TerakoyaError):
    """The data is not what it says it is."""

    exit_code = 3


class ProviderError(TerakoyaError):
    """A teacher's provider refused or failed for good."""

    exit_code = 4


class BudgetError(TerakoyaError):
    """Going on would spend more than was allowed."""

    exit_code = 5


class DiskError(TerakoyaError):
    """The disk is full, read-only or failing."""

    exit_code = 6


class LockedError(TerakoyaError):
    """Another process is writing here."""

    exit_code = 7


class NumericError(TerakoyaError):
    """A number stopped being finite, at training step `step`. `cause` is the likely one (training/diagnosis.py)."""

    exit_code = 8

    def __init__(
        self, what: str, *, where: str = "", do: str = "", saved: str = "", cause: str = "", step: int = 0
    ) -> None:
        super().__init__(what, where=where, do=do, saved=saved)
        self.cause, self.step = cause, step


class CorruptError(TerakoyaError):
    """A file of ours is torn, cut or changed."""

    exit_code = 9
    usual_do = both("Restore it from a copy, or make it again.", "バックアップから戻すか、作り直すこと。")


class IncompatibleError(TerakoyaError):
    """Made by another version, or two things that do not belong together."""

    exit_code = 10


class Interrupted(TerakoyaError):
    """Ctrl-C, after everything was saved. `step` is the training step that was reached (0: none was under way)."""

    exit_code = 130

    def __init__(self, what: str, *, where: str = "", do: str = "", saved: str = "", step: int = 0) -> None:
        super().__init__(what, where=where, do=do, saved=saved)
        self.step = step


def nearest(name: str, names: Iterable[str]) -> str:
    """A sentence that offers the nearest name, or lists all of them when none is near."""
    known = sorted(set(names))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return both(f"Did you mean '{close[0]}'?", f"「{close[0]}」のことか。")
    listed = ", ".join(known)
    return both(f"Known: {listed}.", f"使える名前：{listed}。") if known else ""


def need(module: str, *, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it."""
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            both(
                f"this needs the package '{package}', which is not installed ({error})",
                f"パッケージ '{package}' が必要だが、インストールされていない（{error}）",
            ),
            do=both(
                f"Install it with: pip install 'terakoya[{extra}]'",
                f"次のコマンドでインストールすること：pip install 'terakoya[{extra}]'",
            ),
        ) from error
