"""Section [split]: how examples are split into train, dev and exam."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from terakoya.config.sections.section import Section
from terakoya.i18n import _


class SplitConfig(Section):
    """How examples are split into train, dev and exam. Only "hash" and "column" are stable when rows are added."""

    method: Literal["hash", "exact", "stratified", "tail", "column"] = Field(
        default="hash",
        description=_(
            'How rows are assigned: "hash" by a threshold on the hash of the group (stable when rows are added), '
            '"exact" with exact sizes, "stratified" with equal proportions of a tag, "tail" the last rows of the '
            'file, "column" by the column `task.split`.'
        ),
    )
    dev: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description=_("Share of the dev split among all examples, in [0, 1)."),
    )
    exam: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description=_("Share of the exam split among all examples, in [0, 1)."),
    )
    dev_items: int = Field(
        default=0,
        ge=0,
        description=_('Exact number of dev examples for the methods "exact" and "tail". 0: by `split.dev`.'),
    )
    exam_items: int = Field(
        default=0,
        ge=0,
        description=_('Exact number of exam examples for the methods "exact" and "tail". 0: by `split.exam`.'),
    )
    stratify: str = Field(
        default="",
        description=_('Tag whose proportions the method "stratified" preserves. "": the target.'),
    )
    folds: int = Field(
        default=0,
        ge=0,
        description=_("Number of cross-validation folds, at least 3; one is the exam, the next one dev. 0: no folds."),
    )
    fold: int = Field(
        default=0,
        ge=0,
        description=_("Index of the fold that is the exam, from 0; used where `split.folds` is set."),
    )
    salt: str = Field(
        default="",
        description=_('Text mixed into the hash of the group: another salt gives another split. "": none.'),
    )
