"""Exceptions: what happened, where, and what to do now.

Every error that a user can correct is a `TerakoyaError`. It is shown without a traceback, and its class decides the
exit code of the command line (0: done, 1: done with a finding of level stop, 70: internal error).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import ClassVar

from terakoya.i18n import _, in_language, joined


class TerakoyaError(Exception):
    """An error that the user can correct. Each text may be a message that can be translated (i18n.py).

    what   what happened
    where  file, row, column or key
    do     what to do now; default: `usual_do` of the class
    saved  what is already stored, where something was trained or paid for
    """

    exit_code: ClassVar[int] = 2
    usual_do: ClassVar[str] = ""  # advice for this class where nothing more specific is known
    lang: str = ""  # the language that the command or the config requested, where it was known when the error occurred

    def __init__(self, what: str, *, where: str = "", do: str = "", saved: str = "") -> None:
        self.what, self.where, self.do, self.saved = what, where, do or self.usual_do, saved
        super().__init__(what)

    def __str__(self) -> str:
        return self.words("en")

    @property
    def message(self) -> str:
        """The whole message, in every language."""
        head = joined(": ", (self.where, self.what)) if self.where else self.what
        return joined("\n", [line for line in (head, self.saved, self.do) if line])

    def words(self, lang: str) -> str:
        """The whole message in the language `lang` ("en" or "ja")."""
        return in_language(self.message, lang)


class ConfigError(TerakoyaError):
    """The command or the config cannot be carried out as written."""

    exit_code = 2


class DataError(TerakoyaError):
    """The data does not have the form or content that it claims."""

    exit_code = 3


class PluginError(TerakoyaError):
    """A fault in code that is not ours: a user's own file, or an installed package that brings a task, a metric …"""

    exit_code = 3
    usual_do = _("This file is no part of Terakoya: correct it there.")


class ProviderError(TerakoyaError):
    """A teacher's provider refused, or failed permanently."""

    exit_code = 4


class BudgetError(TerakoyaError):
    """Continuing would exceed the budget."""

    exit_code = 5


class DiskError(TerakoyaError):
    """The disk is full, read-only or failing."""

    exit_code = 6


class LockedError(TerakoyaError):
    """Another process is writing here."""

    exit_code = 7


class NumericError(TerakoyaError):
    """A value became non-finite during training.

    what, where, do, saved  as in `TerakoyaError`
    cause  the likely cause (training/nonfinite)
    step   training step
    """

    exit_code = 8

    def __init__(
        self, what: str, *, where: str = "", do: str = "", saved: str = "", cause: str = "", step: int = 0
    ) -> None:
        super().__init__(what, where=where, do=do, saved=saved)
        self.cause, self.step = cause, step


class CorruptError(TerakoyaError):
    """A file of a run is truncated or was changed."""

    exit_code = 9
    usual_do = _("Restore it from a copy, or create it again.")


class IncompatibleError(TerakoyaError):
    """Made by another version, or two things that cannot be combined."""

    exit_code = 10


class Interrupted(TerakoyaError):
    """Ctrl-C, after everything was saved.

    what, where, do, saved  as in `TerakoyaError`
    step  training step that was reached; 0: outside training
    """

    exit_code = 130

    def __init__(self, what: str, *, where: str = "", do: str = "", saved: str = "", step: int = 0) -> None:
        super().__init__(what, where=where, do=do, saved=saved)
        self.step = step


def nearest(name: str, names: Iterable[str]) -> str:
    """A sentence that suggests the one of `names` most similar to `name`, or lists all where none is similar."""
    known = sorted(set(names))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        similar = close[0]
        return _("Did you mean '{similar}'?", similar=similar)
    listed = ", ".join(known)
    return _("Known: {listed}.", listed=listed) if known else ""


def need(module: str, *, extra: str) -> ModuleType:
    """Import the optional `module`; raises ConfigError naming the `extra` that installs it."""
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            _("this needs the package '{package}', which is not installed ({error})", package=package, error=error),
            do=_("Install it with: pip install 'terakoya[{extra}]'", extra=extra),
        ) from error
