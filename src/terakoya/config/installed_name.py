"""Settings whose value is one of our own names, or a name that an installed package brings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import core_schema

from terakoya.errors.third_party import entry_points
from terakoya.i18n import _


@dataclass(frozen=True)
class InstalledName:
    """Marks a text of the config as the name of a codec, a loss or a baseline; other names are refused.

    group     entry-point group of the installed ones
    built_in  our own names, which need no look at what is installed
    """

    group: str
    built_in: tuple[str, ...]

    def choices(self) -> tuple[str, ...]:
        """Our own names, then the installed ones."""
        return (
            *self.built_in,
            *(name for name in entry_points.installed_names(self.group) if name not in self.built_in),
        )

    def check(self, name: str) -> str:
        """The name itself.

        name  as the config has it
        Raises ValueError, which says what it may be, where there is none of that name.
        """
        if name in self.built_in or name in (choices := self.choices()):
            return name
        if not choices:
            raise ValueError(_("no package that brings one is installed"))
        expected = ", ".join(f"'{choice}'" for choice in choices)
        raise ValueError(_("it must be one of {expected}", expected=expected))

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Called by pydantic: `source` is the type, `handler` makes its schema."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))
