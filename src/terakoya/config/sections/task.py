"""Section [task]: what is to be learned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from terakoya.config.installed_name import InstalledName
from terakoya.config.sections.section import Section
from terakoya.errors.third_party import entry_points
from terakoya.i18n import _

# Our own names; the table behind them is codec.choose.CODECS.
CODEC_NAMES = ("text", "number", "quantity", "labels")


class TaskConfig(Section):
    """What is to be learned: either `use` (a task) or `data` (a table)."""

    use: str = Field(
        default="",
        description=_(
            "Name of a task: one that ships, one of an installed package, or a .py file with a function `task`. "
            '"": the table of `task.data`.'
        ),
    )
    data: str = Field(
        default="",
        description=_(
            "Table of examples, relative to the config: .csv, .tsv, .jsonl or .parquet, several by a pattern "
            '("rows/*.jsonl"), files elsewhere ("hf://…", "s3://…"), "hub:owner/name", or two parallel texts '
            '"src.txt|tgt.txt". "": the task of `task.use`.'
        ),
    )
    dev: str = Field(
        default="",
        description=_('Table of the dev split, in the forms of `task.data`. "": split off from `task.data`.'),
    )
    exam: str = Field(
        default="",
        description=_(
            'Table of the exam split (the held-out test set), in the forms of `task.data`. "": split off from it.'
        ),
    )
    corrections: str = Field(
        default="",
        description=_(
            "Corrected targets of the table, as `terakoya correct` logs them. Corrected rows and their groups are in "
            'train; all others stay where the table\'s own split puts them. "": none.'
        ),
    )
    source: str = Field(default="source", description=_("Column that holds the input text."))
    target: str = Field(default="target", description=_("Column that holds the expected output."))
    group: str = Field(
        default="",
        description=_('Column whose equal values must stay in one split. "": the normal form of the source.'),
    )
    split: str = Field(
        default="",
        description=_(
            'Column that assigns each row to train, dev or exam (or test); used by split.method = "column". "": none.'
        ),
    )
    encoding: str = Field(
        default="",
        description=_('Character encoding of text files. "": by byte-order mark, else UTF-8.'),
    )
    codec: Annotated[str, InstalledName(entry_points.CODECS, ("", *CODEC_NAMES))] = Field(
        default="",
        description=_(
            "Representation of targets that the model generates and the codec decodes: text, a number, a quantity "
            'with its unit, a set of labels, or that of an installed package. "": the task\'s own, text for a table.'
        ),
    )
    notation: str = Field(
        default="",
        description=_(
            "Notation in which numbers are generated: plain, bracketed, groups, short-groups, pds, exponent, reversed "
            'or calculator. "": the task\'s own, else plain.'
        ),
    )
    separator: str = Field(
        default="",
        description=_('Text between the labels of a target, for the codec "labels". "": white space.'),
    )
    metric: str = Field(
        default="",
        description=_(
            "Name of the main metric, which decides the verdict: one of docs/metrics.md, of the task, or of an "
            'installed package. "": the codec\'s own.'
        ),
    )
    augment: int = Field(
        default=0,
        ge=0,
        description=_(
            "Further training rows that a rule makes from each training row: numerals with other digits, ingredient "
            "lines with other amounts, emoji texts in other frames, or the task's own. Nothing of dev and exam is "
            "made. 0: none."
        ),
    )
    augment_method: Literal["rule", "symmetry"] = Field(
        default="rule",
        description=_(
            "How `task.augment` makes rows: by a rule, with exact targets; or by lexical symmetry (Akyürek and "
            "Andreas, 2023), which needs no rule: characters that always bring the same character of the target are "
            "exchanged in source and target, and a small share of the rows made is wrong."
        ),
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description=_("Keyword arguments of the task named by `task.use`, as a table. {}: the task's defaults."),
    )
