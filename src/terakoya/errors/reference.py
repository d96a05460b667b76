"""The list of all exit codes and errors, with what to do about each: the source of docs/errors.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from terakoya import errors
from terakoya.errors import TerakoyaError
from terakoya.i18n import _, in_language


@dataclass(frozen=True)
class ExitCode:
    """One exit code of the command line.

    code     the number
    error    class of the exception in Python; None where none is raised
    meaning  what it says
    do       what to do about it
    """

    code: int
    error: type[TerakoyaError] | None
    meaning: str
    do: str


_ERRORS: dict[type[TerakoyaError], tuple[str, str]] = {
    errors.ConfigError: (
        _("The command or the config cannot be carried out as written; a path, a right or a limit stands in the way."),
        _("Correct what the message names; it suggests the nearest name that exists."),
    ),
    errors.DataError: (
        _("The data does not have the form or content that it claims, or a check of level stop found a fault in it."),
        _("Correct the file, row and column that the message names. `terakoya audit` lists all faults at once."),
    ),
    errors.PluginError: (
        _("A fault in code that is no part of Terakoya: a task file of your own, or an installed package."),
        _("Correct the file at the line that the message names, or install another version of the package."),
    ),
    errors.ProviderError: (
        _("A teacher's provider refused, or failed permanently."),
        _("Do what the message says of key, quota or model; the same command goes on, and nothing is paid for twice."),
    ),
    errors.BudgetError: (
        _("Continuing would exceed the budget."),
        _("Raise teacher.budget or request fewer rows; what was bought is kept."),
    ),
    errors.DiskError: (
        _("The disk is full, read-only or failing."),
        _("Free some space or choose another disk, and run the same command again."),
    ),
    errors.LockedError: (
        _("Another process is writing here."),
        _("Wait until it has ended; the message names the process."),
    ),
    errors.NumericError: (
        _("A value became non-finite during training."),
        _("The message names the step and the likely cause; the last checkpoint is sound."),
    ),
    errors.CorruptError: (
        _("A file of a run or model is truncated, was changed, or is no plain file."),
        _("Restore it from a copy, or create it again."),
    ),
    errors.IncompatibleError: (
        _("Made by another version, or two things that cannot be combined or compared."),
        _("The message says what differs, and which of the two to change."),
    ),
    errors.Interrupted: (
        _("Stopped by Ctrl-C, after everything was saved."),
        _("The same command, or `terakoya run RUN`, goes on where it stopped."),
    ),
}
_DONE = ExitCode(
    0,
    None,
    _("Done. A run that went on with `terakoya run … --anyway` and learned ends so too, and says both."),
    _("Nothing."),
)
_FOUND = ExitCode(
    1,
    None,
    _("Done, with a finding of level stop that was not overridden, a verdict of not learned, or rows still missing."),
    _("Read the findings or the report; everything was written."),
)
_OURS = ExitCode(
    70,
    None,
    _("An error in Terakoya itself, with a traceback."),
    _("Report it with the traceback and the command; nothing that a run had written is lost."),
)
_NO_READER = ExitCode(
    141,
    None,
    _("Whoever read the output through a pipe has closed it, as `head` does."),
    _("Nothing."),
)


def exit_codes() -> tuple[ExitCode, ...]:
    """Every exit code, by its number; classes that share one stand in a row each."""
    raised = [ExitCode(error.exit_code, error, *_ERRORS[error]) for error in error_classes()]
    return tuple(sorted([_DONE, _FOUND, *raised, _OURS, _NO_READER], key=lambda one: one.code))


def error_classes() -> Iterator[type[TerakoyaError]]:
    """Every class of error that errors/__init__.py defines."""
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, TerakoyaError) and value is not TerakoyaError:
            yield value


_TITLE = _("Errors and exit codes")
_MADE = _("Made from the code by `python docs/make.py`; edit errors/reference.py in place of this page.")
_FORM = _(
    "A message says what happened, where (file, row, column or key), and what to do now; where something was trained "
    "or paid for, also what is saved. Only exit code 70 comes with a traceback. In Python each error is an exception "
    "of the class named here, with the attributes `what`, `where`, `do` and `saved`; all are subclasses of "
    "`terakoya.errors.TerakoyaError`."
)
_HEAD = (_("code"), _("class"), _("meaning"), _("what to do"))
_RUNS = _("What a run leaves behind")
_STATES = {
    "done": _("Trained, scored and reported. `terakoya run RUN` shows the result again."),
    "interrupted": _(
        "Ctrl-C or a kill. `terakoya run RUN` goes on to the same bits; its language (--lang) may be another."
    ),
    "failed": _("Something went wrong after training began. The manifest says what; `terakoya run RUN` goes on."),
    "refused": _(
        "Config, data or preflight stopped it before training. The folder keeps what was found; where nothing was "
        "found, there is no folder."
    ),
    "stopped": _("Trained; the exam is not opened yet."),
}
_ANYWAY = _(
    "`terakoya run … --anyway` continues in spite of findings of level stop. The manifest names the overridden checks, "
    "the run repeats them when it ends, and they no longer decide its exit code: the verdict does."
)


def errors_page(lang: str) -> str:
    """The page of exit codes and errors, in Markdown.

    lang  "en" or "ja"
    """

    def say(text: str) -> str:
        return in_language(text, lang)

    rows = [
        f"| {one.code} | {f'`{one.error.__name__}`' if one.error else ''} | {say(one.meaning)} | {say(one.do)} |"
        for one in exit_codes()
    ]
    head = ["| " + " | ".join(map(say, _HEAD)) + " |", "|" + "---|" * len(_HEAD)]
    states = [f"- {say(state)}" for state in _STATES]
    parts = [
        f"# {say(_TITLE)}",
        say(_MADE),
        say(_FORM),
        "\n".join([*head, *rows]),
        f"## {say(_RUNS)}",
        "\n".join(states),
    ]
    return "\n\n".join([*parts, say(_ANYWAY)]) + "\n"
