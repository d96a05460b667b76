"""Data augmentation: further training rows made from those that there are (`task.augment`).

    split, found = augment(task, split, 20, seed=0)                      # by rule: exact targets
    split, found = augment(task, split, 20, seed=0, method="symmetry")   # by what the rows themselves show

A row is multiplied only where a rule confirms it, that is where the rule gives the row's own target; or by lexical
symmetry (symmetry.py), which needs no rule and can be wrong. Only training rows are multiplied; what is made belongs to
the group of its row, and whatever dev or the exam hold is never made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from terakoya.codec.text import fold_source
from terakoya.data.split import group_of
from terakoya.errors import ConfigError
from terakoya.errors.third_party import broken_contract
from terakoya.i18n import _
from terakoya.records import AUGMENTED, Example, Finding, Split
from terakoya.task import Task
from terakoya.tasks.augmentation.rules import AugmentationRule, rules_for
from terakoya.tasks.augmentation.symmetry import FEWEST, symmetry_rule

__all__ = ["augment"]

_TRIES = 4  # attempts for each row that is wanted


def augment(task: Task, split: Split, count: int, seed: int, method: str = "rule") -> tuple[Split, Finding]:
    """The split with up to `count` further rows for each training row.

    task   its own function `augment`, or else the shipped rules, make the rows
    split  train, dev and exam; only train grows
    count  rows wanted for each training row; some rows allow fewer
    seed   of the draw; what a rule makes of a row depends on seed and row alone
    method "rule", or "symmetry" for exchanges that the training rows themselves show
    Returns the new split, and the finding that says in the record what was made. Raises ConfigError where the task
    samples its rows, and where no rule confirms any row.
    """
    if task.draw is not None:
        raise ConfigError(
            _("the task '{name}' samples fresh rows by rule: there is nothing to augment", name=task.name),
            where="task.augment",
            do=_("Leave task.augment out."),
        )
    rules = rules_for(task) if method == "rule" else (_symmetry(task, split.train),)
    chosen = [_rule_of(rules, row) for row in split.train]
    if not any(chosen):
        raise _nothing_to_multiply(method, len(split.train))
    made: dict[str, Example] = {}
    for rule in rules:
        held_out = {key for item in (*split.dev, *split.exam) for key in _keys(item, rule)}
        rows = [row for row, its in zip(split.train, chosen, strict=True) if its is rule]
        for row in rows:
            made |= _made_from(row, rule, count, seed, held_out, made)
    known = {fold_source(row.source) for row in split.train}
    further: dict[str, list[Example]] = defaultdict(list)
    for source, one in made.items():
        if source not in known:
            further[one.tag(AUGMENTED)].append(one)
    # Behind the row that they were made from: at the end they would look like rows in some order.
    train = [one for row in split.train for one in (row, *further.pop(row.fingerprint, ()))]
    return replace(split, train=tuple(train)), _finding(rules, chosen, len(train) - len(split.train))


def _symmetry(task: Task, rows: Sequence[Example]) -> AugmentationRule:
    has_labels = bool(getattr(task.codec, "labels", ()))
    if has_labels:
        raise ConfigError(
            _(
                "the task '{name}' has a set of labels as its target: no character of it can be exchanged",
                name=task.name,
            ),
            where="task.augment_method",
            do=_("Leave task.augment_method out."),
        )
    return symmetry_rule(task, rows)


def _nothing_to_multiply(method: str, rows: int) -> ConfigError:
    if method == "symmetry":
        return ConfigError(
            _(
                "nothing in the {rows} training rows shows which characters of a source and its target belong together",
                rows=rows,
            ),
            where="task.augment_method",
            do=_(
                "Leave task.augment out. Exchanges are learnt where the same character of a source always brings the "
                "same character of the target, in at least {fewest} rows.",
                fewest=FEWEST,
            ),
        )
    return ConfigError(
        _("no rule can multiply the {rows} training rows", rows=rows),
        where="task.augment",
        do=_(
            "Leave task.augment out. Rules exist for Japanese numerals with their number, ingredient lines with "
            "their scaled line, and texts with emoji; a task of your own brings its function as Task.augment. "
            "task.augment_method = 'symmetry' needs no rule."
        ),
    )


def _rule_of(rules: Sequence[AugmentationRule], row: Example) -> AugmentationRule | None:
    return next((rule for rule in rules if not row.turns and rule.confirms(row)), None)


def _keys(item: Example, rule: AugmentationRule) -> set[str]:
    """Whatever must not recur: the same text, the same group, and what the rule calls the same."""
    return {fold_source(item.source), group_of(item), item.fingerprint, rule.identity(item)}


def _made_from(
    row: Example, rule: AugmentationRule, count: int, seed: int, held_out: set[str], known: dict[str, Example]
) -> dict[str, Example]:
    rng = Random(f"augment {seed} {row.fingerprint}")
    found: dict[str, Example] = {}
    for _try in range(_TRIES * count):
        if len(found) == count:
            break
        one = rule.vary(row, rng)
        if one is None:
            continue
        if not isinstance(one, Example):
            raise broken_contract(
                rule.vary, _("a task's `augment` must return an Example or None, and returned {given}", given=repr(one))
            )
        source = fold_source(one.source)
        if source not in known and source not in found and not _keys(one, rule) & held_out:
            found[source] = _of_row(one, row)
    return found


def _of_row(made: Example, row: Example) -> Example:
    """Its group is that of its row, and its tag says of which row it was made."""
    tags = (*(tag for tag in made.tags if tag[0] != AUGMENTED), (AUGMENTED, row.fingerprint))
    return replace(made, group=group_of(row), origin=f"augmented, {row.origin}", row=row.row, subset="", tags=tags)


def _finding(rules: Sequence[AugmentationRule], chosen: Sequence[AugmentationRule | None], made: int) -> Finding:
    counts = {rule.name: chosen.count(rule) for rule in rules if rule in chosen}
    names, rows, total = ", ".join(counts), sum(counts.values()), len(chosen)
    return Finding(
        "augment",
        "note",
        _(
            "{made:,} further training rows were made ({names}) from {rows:,} of {total:,}; nothing of dev and exam "
            "was made",
            made=made,
            names=names,
            rows=rows,
            total=total,
        ),
        where="task.augment",
        values={"made": float(made), "rows": float(rows), "train": float(total)},
    )
