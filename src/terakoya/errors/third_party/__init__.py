"""Faults in code that is not ours: named with the author's file and line, whether it raised or broke its contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from terakoya.errors import ConfigError, PluginError, TerakoyaError, nearest
from terakoya.i18n import _, joined

if TYPE_CHECKING:
    from terakoya.errors.third_party.entry_points import Plugin
    from terakoya.errors.third_party.faults import Fault, Location


def plugin_error(error: BaseException) -> PluginError | None:
    """An unexpected exception as the fault of the third-party code that it came through; None where it is ours.

    error  as it was caught, with its traceback
    """
    from terakoya.errors.third_party.faults import find_fault

    fault = None if isinstance(error, TerakoyaError) else find_fault(error)
    return None if fault is None else _as_plugin_error(fault)


@contextmanager
def plugin_faults(thing: Any = None, name: str = "") -> Iterator[None]:
    """Around a call of third-party code: what it raises becomes a PluginError, `sys.exit` included.

    thing  what is called, named where no line of it stands in the traceback; None leaves such exceptions alone
    name   what it is, in words: "the task 'greetings'"
    """
    from terakoya.errors.third_party.faults import find_fault

    try:
        yield
    except TerakoyaError as error:
        fault = None if error.where else find_fault(error)
        error.where = error.where or (_place(fault.location) if fault else "")
        raise
    except (Exception, SystemExit) as error:
        found: Exception | None = plugin_error(error)
        if found is None and thing is not None:
            found = broken_contract(thing, _("{name}: {error}", name=name, error=_words(error)))
        if found is None:
            raise
        raise found from error


def load_plugin(kind: str, name: str, *, own: Iterable[str], unknown: str, where: str = "") -> Any:
    """Import what an installed package offers under this name.

    kind     a key of entry_points.GROUPS: "codecs"
    name     as the config has it
    own      our own names of that kind, which are offered beside the installed ones
    unknown  what to say where no package offers it
    where    the setting
    Raises ConfigError where none or several do; PluginError, naming file and line, where it cannot be imported.
    """
    from terakoya.errors.third_party.entry_points import GROUPS, OURS, find_plugin, installed_names

    found = find_plugin(GROUPS[kind], name)
    if not found:
        raise ConfigError(unknown, where=where, do=nearest(name, [*own, *installed_names(GROUPS[kind])]))
    if len(found) > 1:
        packages = ", ".join(one.package for one in found)
        raise ConfigError(
            _("several packages offer '{name}': {packages}", name=name, packages=packages),
            where=where or kind,
            do=_("Uninstall all but one of them."),
        )
    try:
        return found[0].load()
    except TerakoyaError:
        raise
    except (Exception, SystemExit) as error:
        if found[0].package == OURS:
            raise
        raise plugin_error(error) or _not_loaded(found[0], error) from error


def broken_contract(thing: Any, what: str, *, maker: Any = None) -> TerakoyaError | TypeError:
    """The error for a value that does not keep to what the package expects of it.

    thing  the function or object that is at fault, or the function that gave such a value
    what   what is wrong
    maker  the function that `thing` comes from, named where `thing` itself is of a type without source, as a number
    Returns a PluginError with file and line; a TypeError, which is an internal error, where `thing` is our own.
    """
    from terakoya.errors.third_party.faults import is_ours, location_of

    location = location_of(thing)
    if not location.file and maker is not None:
        location = location_of(maker)
    if is_ours(location):
        return TypeError(f"{what} ({_place(location)})")
    return PluginError(what, where=_place(location), do=_advice(location))


def check_call(
    function: Any, arguments: Sequence[str], name: str, keywords: Sequence[str] = (), *, maker: Any = None
) -> None:
    """That a third-party function can be called as it will be.

    function   anything
    arguments  what it will be given by position, in words
    name       what it is, in words: "the loss 'poly'"
    keywords   names of what it will be given by keyword
    maker      the function that it comes from, named where it is no function at all
    Raises PluginError, naming file and line, where it is no function or takes other arguments.
    """
    import inspect

    wanted = ", ".join([*arguments, *(f"{keyword}=" for keyword in keywords)])
    if not callable(function):
        kind = type(function).__name__
        what = _("{name} must be a function of ({wanted}), and is of type {kind}", name=name, wanted=wanted, kind=kind)
        raise broken_contract(function, what, maker=maker)
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # functions written in C may not say what they take
        return
    try:
        signature.bind(*arguments, **dict.fromkeys(keywords))
    except TypeError as error:
        raise broken_contract(
            function,
            _("{name} is called with ({wanted}), and it takes {takes}", name=name, wanted=wanted, takes=str(signature)),
        ) from error


def _as_plugin_error(fault: Fault) -> PluginError:
    name, words = fault.location.name, fault.words
    failed = _("'{name}' failed: {words}", name=name, words=words) if name not in ("", "<module>") else words
    what = joined("\n    ", (failed, fault.source)) if fault.source else failed
    return PluginError(what, where=_place(fault.location), do=_advice(fault.location))


def _not_loaded(plugin: Plugin, error: BaseException) -> PluginError:
    group, name, value = plugin.group, plugin.name, plugin.value
    return PluginError(
        _("the entry point {name} = {value} cannot be loaded: {error}", name=name, value=value, error=_words(error)),
        where=f"{plugin.package} {plugin.version}, {group}",
        do=_("The package is no part of Terakoya: install another version of it, or tell its authors."),
    )


def _place(location: Location) -> str:
    file, line = location.file, location.line
    return _("{file}, line {line}", file=file, line=line) if line else file


def _advice(location: Location) -> str:
    package = location.package
    if not package:
        return ""
    return _(
        "This belongs to the package {package}: install another version of it, or tell its authors.", package=package
    )


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
