"""Checks of a task's options, for task functions: a wrong option is refused before anything is drawn or read.

    def task(*, items: int = 0, order: str = "drawn", split: SplitConfig | None = None) -> Task:
        require_count(items=items)
        require_one_of("order", order, ("drawn", "log"))
        split_config = hash_split_config(split, "expressions")
        ...

The keyword arguments of a task function are the keys of `[task.options]` in the config; the argument `split`, where the
function has one, is the section `[split]`.
"""

from __future__ import annotations

from collections.abc import Sequence

from terakoya.config import SplitConfig
from terakoya.errors import ConfigError, nearest
from terakoya.i18n import _

_WHERE = "[task.options]"


def require_count(**options: object) -> None:
    """Refuses an option that is no whole number from 0 on.

    options  name and value of each option to be checked
    Raises ConfigError, naming the first such option.
    """
    for name, value in options.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise _refusal(name, value, _("Write a whole number from 0 on."))


def require_flag(**options: object) -> None:
    """Refuses an option that is neither true nor false.

    options  name and value of each option to be checked
    Raises ConfigError, naming the first such option.
    """
    for name, value in options.items():
        if not isinstance(value, bool):
            raise _refusal(name, value, _("Write true or false."))


def require_one_of(name: str, value: object, known: Sequence[str]) -> None:
    """Refuses a value that is not among the known ones, and offers the nearest.

    name   of the option
    value  compared as text: `regime = 160`, a number in TOML, means "160"
    known  the allowed values
    Raises ConfigError.
    """
    if str(value) not in known:
        raise _refusal(name, value, nearest(str(value), known))


def require_unset(**options: object) -> None:
    """Refuses an option that is set although it has no effect, because the items of the exam are fixed.

    options  name and value of each option that must be at its default (falsy)
    Raises ConfigError, naming the first option that is set.
    """
    for name, value in options.items():
        if value:
            raise ConfigError(
                _("'{name}' has no effect on an exam whose items are fixed", name=name),
                where=_WHERE,
                do=_(
                    "Leave out '{name}' (or the score or split setting that sets it), or choose an exam whose items "
                    "are drawn.",
                    name=name,
                ),
            )


def hash_split_config(split: SplitConfig | None, what: str, *, do: str = "") -> SplitConfig:
    """The split settings of a task that draws its examples by rule without end.

    Such a task cannot list its examples and cut the list; the split of each must follow from the example alone.
    split  the config's section `[split]`; None is the default (hash, a tenth each for dev and exam)
    what   what is drawn, for the message; in the plural
    do     what to do instead, where the task has another way; a default advice otherwise
    Raises ConfigError where the method is not "hash", where there are folds, and where dev or exam has no share.
    """
    config = split or SplitConfig()
    if config.method != "hash" or config.folds:
        raise ConfigError(
            _("{what} are drawn without end; only the hash method can assign each of them to a split", what=what),
            where="[split]",
            do=do or _('Set split.method = "hash" and split.folds = 0.'),
        )
    if not config.dev or not config.exam:
        raise ConfigError(
            _("{what} need a share for dev and for the exam", what=what),
            where="[split]",
            do=_("Set split.dev and split.exam above 0."),
        )
    return config


def _refusal(name: str, value: object, do: str) -> ConfigError:
    return ConfigError(_("'{name}' cannot be {value!r}", name=name, value=value), where=_WHERE, do=do)
