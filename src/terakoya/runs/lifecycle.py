"""How a run may end: done, interrupted, failed, or refused for what its data shows. All of it stands in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from terakoya.errors import DataError, Interrupted, TerakoyaError
from terakoya.i18n import both, joined
from terakoya.progress import Listener
from terakoya.records import Finding
from terakoya.runs import Run


@contextmanager
def record_outcome(opened: Run) -> Iterator[None]:
    """However what is done in here ends, the run's manifest tells; the error says how to go on."""
    go_on = f"terakoya run {opened.path}"
    try:
        yield
    except KeyboardInterrupt as stop:
        opened.finish("interrupted")
        stopped = both(f"Stopped. Go on with: {go_on}", f"停止した。再開：{go_on}")
        raise KeyboardInterrupt(joined("\n", [*filter(None, stop.args), stopped])) from stop
    except Interrupted as stop:
        opened.finish("interrupted")
        stop.do = stop.do or both(f"Go on with: {go_on}", f"再開：{go_on}")
        raise
    except TerakoyaError as error:
        opened.finish("failed", reason=both(str(error), error.words("ja")))
        raise
    except BaseException:
        opened.finish("failed", reason=both("a fault of Terakoya's own", "Terakoya 自身の不具合"))
        raise


def record_finding(opened: Run, finding: Finding) -> None:
    """Written down, once: a run that goes on comes by the same places again."""
    known = ((line["check"], line["what"], line["where"]) for line in opened.read_lines("findings.jsonl"))
    if (finding.check, finding.what, finding.where) not in known:
        opened.append("findings.jsonl", finding)


def enforce(
    opened: Run, findings: Sequence[Finding], tell: Listener, anyway: bool, error: type[TerakoyaError] = DataError
) -> None:
    """Findings are written down and told; one of level stop ends the run with `error`, unless it is wanted anyway."""
    for finding in findings:
        record_finding(opened, finding)
        tell.finding(finding)
    stops = [finding for finding in findings if finding.level == "stop"]
    if stops and not anyway:
        raise error(
            joined("\n", (joined(": ", (finding.check, finding.what)) for finding in stops)),
            where=str(opened.path),
            do=both(
                "Mend it as said above, or go on all the same with --anyway.",
                "上の指示に従って直すか、--anyway を付けてそのまま続けること。",
            ),
        )
