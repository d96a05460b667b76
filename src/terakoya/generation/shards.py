"""One generation shared by several processes: each shard has its part of rows, budget and sources, and its own ledger.

The parts never sum to more than the whole. A source sentence belongs to the shard that its fingerprint names, so that
processes need not speak to each other; `merging.py` makes one data set of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.codec.text import normalise_source
from terakoya.config import Config, TeacherConfig, TeacherSettings
from terakoya.errors import ConfigError, IncompatibleError
from terakoya.generation.resume import has_content
from terakoya.generation.sentences import Sentence
from terakoya.generation.teacher.protocol import NANO
from terakoya.i18n import _, joined
from terakoya.records import fingerprint

_FOLDER = re.compile(r"shard-([1-9]\d*)-of-([1-9]\d*)")
_LIMITS = ("requests", "requests_per_minute", "tokens_per_minute")  # whole numbers, and `budget` in money
_WRITTEN = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a generation.

    number  from 1
    count   of all parts
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def folder(self) -> str:
        """Name of its folder inside the generation folder."""
        return f"shard-{self.number}-of-{self.count}"

    def part(self, whole: int) -> int:
        """Its share of `whole` units; the parts of all shards sum to the whole."""
        return whole // self.count + (self.number <= whole % self.count)

    def holds(self, text: str) -> bool:
        """Whether the source sentence `text` belongs to it, by the fingerprint of its normal form."""
        return int(fingerprint("shard/1", normalise_source(text)), 16) % self.count == self.number - 1


def parse_shard(text: str) -> Shard:
    """The shard that `text` names, as in "2/8". Raises ConfigError."""
    found = _WRITTEN.fullmatch(text.strip())
    if found and int(found[1]) <= int(found[2]):
        return Shard(int(found[1]), int(found[2]))
    raise ConfigError(
        _("'{text}' names no shard", text=text),
        where="--shard",
        do=_("Write its number and the number of all shards, as in --shard 1/8; the numbers run from 1."),
    )


def shard_config(config: Config, shard: Shard) -> Config:
    """The config of one shard: its part of rows, density, budget, requests and rate limits.

    config  of the whole generation
    shard   the part
    Raises ConfigError where there are fewer rows, requests or requests per minute than shards.
    """
    teacher = config.teacher
    _require_enough(teacher, shard.count)
    parts: dict[str, Any] = {
        "samples": shard.part(teacher.samples),
        "density": -(-teacher.density // shard.count),  # rounded up: the whole needs each label as often
        "pool": {
            name: one.model_copy(update=_limits(one, shard, one.model_fields_set)) for name, one in teacher.pool.items()
        },
        **_limits(teacher, shard, {*_LIMITS, "budget"}),
    }
    return config.model_copy(update={"teacher": teacher.model_copy(update=parts)})


def _limits(teacher: TeacherSettings, shard: Shard, names: Collection[str]) -> dict[str, Any]:
    """The shard's part of those limits of one teacher that are among `names`."""
    parts: dict[str, Any] = {name: shard.part(getattr(teacher, name)) for name in _LIMITS if name in names}
    if "budget" in names:
        parts["budget"] = shard.part(round(teacher.budget * NANO)) / NANO
    return parts


def shard_sources(sentences: Iterator[Sentence], shard: Shard | None) -> Iterator[Sentence]:
    """Those of the source `sentences` that belong to the `shard`, in their order; all of them for None."""
    return sentences if shard is None else (one for one in sentences if shard.holds(one.text))


def shard_folders(folder: Path) -> dict[Shard, Path]:
    """The shards in the generation folder `folder`, by number."""
    found = {
        Shard(int(match[1]), int(match[2])): path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.is_dir() and (match := _FOLDER.fullmatch(path.name))
    }
    return dict(sorted(found.items(), key=lambda item: (item[0].count, item[0].number)))


def require_one_kind(folder: Path, shard: Shard | None) -> None:
    """Refuse to pay again for what another division of the same generation has paid for.

    folder  the generation folder
    shard   the part that is to be generated; None: the whole by one process
    Raises IncompatibleError.
    """
    others = [one for one, path in shard_folders(folder).items() if has_content(path)]
    if shard is None and others:
        what = _("this generation was begun in {count} shards", count=others[0].count)
    elif shard is not None and has_content(folder):
        what = _("this generation was begun by one process")
    elif shard is not None and any(one.count != shard.count for one in others):
        what = _("this generation was begun in {count} shards", count=others[0].count)
    else:
        return
    raise IncompatibleError(
        joined("; ", (what, _("divided otherwise, its responses would be paid for again"))),
        where=str(folder),
        do=_("Go on as it was begun (--shard i/n, then --merge), or name another table with --output."),
    )


def _require_enough(teacher: TeacherConfig, count: int) -> None:
    short: dict[str, float] = {"teacher.samples": teacher.samples} if teacher.samples < count else {}
    tables: dict[str, TeacherSettings] = {"teacher": teacher}
    tables |= {f"teacher.pool.{name}": one for name, one in teacher.pool.items()}
    for section, one in tables.items():
        short |= {f"{section}.{name}": value for name in _LIMITS if 0 < (value := getattr(one, name)) < count}
        if one.budget > 0 and round(one.budget * NANO) < count:
            short[f"{section}.budget"] = one.budget
    if short:
        named = ", ".join(f"{name} = {value}" for name, value in short.items())
        raise ConfigError(
            _("{count} shards cannot share {named}", count=count, named=named),
            where="--shard",
            do=_("Take fewer shards, or raise these settings to at least the number of shards."),
        )
