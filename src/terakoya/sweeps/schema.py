"""The sections of a sweep's TOML file: every key with its type, its default and its description."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from terakoya.config import Section
from terakoya.config.secret_values import checked_url
from terakoya.i18n import _

Opening = Literal["best", "all", "none"]


class SearchConfig(Section):
    """`[search]`: number of trials, and the search space of each key (low and high, or choices)."""

    trials: int = Field(gt=0, description=_("Number of trials that the search samples."))
    space: dict[str, dict[str, Any]] = Field(
        description=_("Search space of each key: { low = …, high = …, log = true } or { choices = […] }.")
    )
    storage: str = Field(
        default="",
        description=_(
            "Where optuna keeps the study: a database URL such as postgresql://host/database (without a password: "
            'PGPASSWORD or ~/.pgpass holds it), for hosts without a common disk. "": a journal in the sweep\'s folder.'
        ),
    )

    @field_validator("storage")
    @classmethod
    def _without_password(cls, value: str) -> str:
        # The file is copied into the sweep's folder, and a user name is no secret.
        scheme, separator, rest = value.partition("://")
        user, at, place = rest.rpartition("@")
        checked_url(f"{scheme}{separator}{rest if ':' in user else place if at else rest}")
        return value


class NeedsConfig(Section):
    """`[needs]`: what one trial needs of an engine; `--on local` runs trials side by side without looking at it."""

    cpus: float = Field(default=1, gt=0, description=_("CPU cores of a trial."))
    gpus: float = Field(default=0, ge=0, description=_("GPUs of a trial; under Ray a share such as 0.5 is possible."))
    memory_gb: float = Field(default=0, ge=0, description=_("Memory of a trial in GiB. 0: not declared."))
    minutes: int = Field(
        default=60,
        ge=1,
        description=_("Time limit of a Slurm job; a trial that is not done by then is requeued and resumed."),
    )
    retries: int = Field(
        default=3,
        ge=0,
        description=_("How often a trial is started again after its worker or node has died."),
    )
    partition: str = Field(default="", description=_('Slurm partition. "": the default one.'))
    sbatch: dict[str, str | int] = Field(
        default_factory=dict,
        description=_('Further options of sbatch, as { qos = "long", account = "lab" }.'),
    )


class ListEntry(Section):
    """`[[list]]`: one trial, its name and its settings."""

    name: str = Field(default="", description=_('Name of the trial. "": its settings.'))
    set: tuple[str, ...] = Field(default=(), description=_("KEY=VALUE settings of this trial."))


class SweepConfig(Section):
    """A sweep as its file describes it; run.py shows an example of every key."""

    name: str = Field(description=_("Name of the sweep; its folder is series-NAME."))
    experiment: str = Field(description=_("A shipped experiment, or a TOML file beside this one."))
    set: tuple[str, ...] = Field(default=(), description=_("KEY=VALUE settings that all trials share."))
    seeds: tuple[int, ...] = Field(default=(0,), description=_("Seeds; each setting is run with each of them."))
    minutes: float = Field(default=0.0, description=_("No trial is started after that many minutes. 0: no limit."))
    open: Opening = Field(
        default="best",
        description=_('Whose exam is opened at the end: "best" on dev, "all" or "none".'),
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict,
        description=_("Values of each key; every combination is a trial."),
    )
    list: tuple[ListEntry, ...] = Field(default=(), description=_("Trials one by one."))
    search: SearchConfig | None = Field(default=None, description=_("A search by optuna (TPE)."))
    needs: NeedsConfig = Field(default_factory=NeedsConfig, description=_("What one trial needs of an engine."))
