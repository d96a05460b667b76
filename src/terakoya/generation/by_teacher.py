"""What each of several teachers has made and cost, and what one that is exhausted or down has left over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya.config import TeacherConfig
from terakoya.errors import TerakoyaError
from terakoya.generation.configured import configured_teachers, shares
from terakoya.generation.output import GeneratedRow, last_teacher
from terakoya.generation.rejections import NOT_THE_TEACHER, TeacherTally
from terakoya.generation.teacher.protocol import NANO
from terakoya.generation.teacher.spending import TeacherAccount
from terakoya.i18n import Message, _, joined
from terakoya.runs import write_json

if TYPE_CHECKING:
    from terakoya.generation.run import Generation

TEACHERS = "teachers.json"  # in the generation folder
_MIN_ROWS = 20  # checked rows of each of two teachers before their shares of rejected ones are compared
_WORSE = 1.96  # standard errors of the difference of two shares, as at a level of 5%


@dataclass(frozen=True, slots=True)
class TeacherSummary:
    """One teacher's part in a generation. Money is in the currency of `[teacher]`.

    name        in `teacher.pool`
    model       its model
    share       of the rows by its weight, in [0, 1]
    rows        accepted rows that it finished
    made        their share of all accepted rows, in [0, 1]
    rejected    check → number of its rejected rows
    open        rows left open, because it was exhausted or down
    requests    requests sent; `responses`: those that were charged
    tokens_in   prompt tokens that it reported
    tokens_out  response tokens that it reported
    price_in    of a million prompt tokens, by the config; -1: not known
    price_out   of a million response tokens; likewise
    cost        all that was or may have been charged: the sum of the next three
    reported    charged as the provider reported
    estimated   charged; the amount is an estimate
    unknown     at risk: sent and failed, possibly charged
    stopped     why it gets no further requests; "" where it goes on
    """

    name: str
    model: str
    share: float
    rows: int = 0
    made: float = 0.0
    rejected: Mapping[str, int] = field(default_factory=dict)
    open: int = 0
    requests: int = 0
    responses: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    price_in: float = -1.0
    price_out: float = -1.0
    cost: float = 0.0
    reported: float = 0.0
    estimated: float = 0.0
    unknown: float = 0.0
    stopped: str = ""

    @property
    def checked(self) -> int:
        """Rows that were accepted, or rejected for what the responses were."""
        return self.rows + self.bad

    @property
    def bad(self) -> int:
        """Rows rejected for what its responses were, not for a quota or as a duplicate."""
        return sum(self.faults.values())

    @property
    def faults(self) -> dict[str, int]:
        """The rows that `bad` counts, by the check that rejected them."""
        return {check: count for check, count in self.rejected.items() if check not in NOT_THE_TEACHER}

    def words(self, currency: str) -> Message:
        """One line: rows and share, rejected and open rows, requests, tokens, money in `currency`."""
        return _(
            "  {name} ({model}): {rows:,} rows, {share:.1%} ({wanted:.1%} by weight), {bad:,} rejected, {open:,} open; "
            "{requests:,} requests, {tokens_in:,} tokens in, {tokens_out:,} out, {cost:.4f} {currency}",
            name=self.name,
            model=self.model,
            rows=self.rows,
            share=self.made,
            wanted=self.share,
            bad=sum(self.rejected.values()),
            open=self.open,
            requests=self.requests,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            cost=self.cost,
            currency=currency,
        )


def teacher_summaries(
    teacher: TeacherConfig,
    accounts: Mapping[str, TeacherAccount],
    tallies: Mapping[str, TeacherTally],
    stopped: Mapping[str, TerakoyaError],
) -> tuple[TeacherSummary, ...]:
    """A summary of each teacher; () where there is only one.

    teacher   section [teacher]
    accounts  name → what the ledger says of it
    tallies   name → what became of its rows
    stopped   name → why it gets no further requests
    """
    wanted, found = shares(teacher), []
    for one in configured_teachers(teacher) if teacher.pool else ():
        account, tally = accounts.get(one.name) or TeacherAccount(), tallies.get(one.name) or TeacherTally()
        spending, error = account.spending, stopped.get(one.name)
        found.append(
            TeacherSummary(
                one.name,
                one.config.model or one.config.kind,
                wanted[one.name],
                tally.rows,
                tally.rows / (sum(other.rows for other in tallies.values()) or 1),
                dict(tally.rejections.counts),
                tally.open,
                account.requests,
                account.responses,
                account.tokens_in,
                account.tokens_out,
                one.config.price_in,
                one.config.price_out,
                spending.total / NANO,
                spending.reported / NANO,
                spending.estimated / NANO,
                spending.at_risk / NANO,
                error.what if error else "",
            )
        )
    return tuple(found)


def notes_on_teachers(found: Sequence[TeacherSummary]) -> tuple[Message, ...]:
    """Who got no further requests and why, and whose rows are rejected significantly more often than the others'.

    found  of each teacher
    """
    stopped = tuple(
        _("the teacher {name} got no further requests: {reason}", name=one.name, reason=one.stopped)
        for one in found
        if one.stopped
    )
    return (*stopped, *(_worse_note(one, found) for one in found if _is_worse(one, found)))


def _is_worse(one: TeacherSummary, found: Sequence[TeacherSummary]) -> bool:
    """Whether its share of rejected rows is higher than that of the others together: the test of two proportions."""
    checked, bad = _others(one, found)
    if min(one.checked, checked) < _MIN_ROWS:
        return False
    pooled = (one.bad + bad) / (one.checked + checked)
    error = (pooled * (1 - pooled) * (1 / one.checked + 1 / checked)) ** 0.5
    return bool(one.bad / one.checked - bad / checked > _WORSE * error)


def _worse_note(one: TeacherSummary, found: Sequence[TeacherSummary]) -> Message:
    checked, bad = _others(one, found)
    return _(
        "the teacher {name} is worse: {bad} of its {checked} rows were rejected ({share:.0%}), of the others' {others} "
        "{others_bad} ({others_share:.0%}); mostly {check}",
        name=one.name,
        bad=one.bad,
        checked=one.checked,
        share=one.bad / one.checked,
        others=checked,
        others_bad=bad,
        others_share=bad / checked,
        check=max(one.faults, key=lambda check: one.faults[check]),
    )


def _others(one: TeacherSummary, found: Sequence[TeacherSummary]) -> tuple[int, int]:
    others = [other for other in found if other is not one]
    return sum(other.checked for other in others), sum(other.bad for other in others)


def require_none_left_open(run: Generation) -> None:
    """Refuse to call `run` done where teachers have left rows over. Raises the error of the first of them."""
    left = {name: tally.open for name, tally in run.tallies.items() if tally.open}
    if not left:
        return
    first = run.client.out[next(iter(left))]
    raise type(first)(
        joined(
            "; ",
            (
                _(
                    "{name} has left {count:,} rows open: {reason}",
                    name=name,
                    count=count,
                    reason=run.client.out[name].what,
                )
                for name, count in left.items()
            ),
        ),
        where="[teacher.pool]",
        do=joined(
            " ",
            (
                first.do,
                _(
                    "The same command requests the open rows again; with teacher.fallback = true the other teachers "
                    "make them."
                ),
            ),
        ),
    )


def write_summaries(folder: Path, found: Sequence[TeacherSummary], currency: str) -> None:
    """Keep what each of several teachers has made and cost in the generation folder.

    folder    the generation folder
    found     of each teacher; nothing is written for ()
    currency  of the money
    """
    if found:
        write_json(folder / TEACHERS, {"format": 1, "currency": currency, "teachers": [asdict(one) for one in found]})


def tallies_of(rows: Sequence[GeneratedRow]) -> dict[str, TeacherTally]:
    """Name of each teacher → its rows, counted from a finished data set.

    rows  the accepted rows
    """
    found: dict[str, TeacherTally] = {}
    for row in rows:
        found.setdefault(last_teacher(row.teacher), TeacherTally()).rows += 1
    return found
