"""How a run ends: done, interrupted, failed, or refused because of findings. All of it is recorded in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from terakoya.errors import DataError, Interrupted, TerakoyaError
from terakoya.i18n import both, joined
from terakoya.progress import Listener
from terakoya.records import Finding
from terakoya.runs import Run


@contextmanager
def record_outcome(run: Run) -> Iterator[None]:
    """Record in the manifest of `run` how the block ends; errors say how to resume."""
    command = f"terakoya run {run.path}"
    try:
        yield
    except KeyboardInterrupt as stop:
        run.finish("interrupted")
        stopped = both(f"Stopped. Resume with: {command}", f"停止した。再開：{command}")
        raise KeyboardInterrupt(joined("\n", [*filter(None, stop.args), stopped])) from stop
    except Interrupted as stop:
        run.finish("interrupted")
        stop.do = stop.do or both(f"Resume with: {command}", f"再開：{command}")
        raise
    except TerakoyaError as error:
        run.finish("failed", reason=error.message)
        raise
    except BaseException:
        run.finish("failed", reason=both("an internal error of Terakoya", "Terakoya 内部の不具合"))
        raise


def record_finding(run: Run, finding: Finding) -> None:
    """Append `finding` to findings.jsonl of `run`, unless it is there already (a resumed run repeats its checks)."""
    known = ((line["check"], line["what"], line["where"]) for line in run.read_lines("findings.jsonl"))
    if (finding.check, finding.what, finding.where) not in known:
        run.append("findings.jsonl", finding)


def enforce(
    run: Run, findings: Sequence[Finding], listener: Listener, anyway: bool, error: type[TerakoyaError] = DataError
) -> None:
    """Record and report findings; one of level stop ends the run.

    run       where they are recorded
    findings  what checks found
    listener  to whom they are reported
    anyway    continue in spite of level stop
    error     the exception class to raise
    Raises `error`.
    """
    for finding in findings:
        record_finding(run, finding)
        listener.finding(finding)
    stops = [finding for finding in findings if finding.level == "stop"]
    if stops and not anyway:
        raise error(
            joined("\n", (joined(": ", (finding.check, finding.what)) for finding in stops)),
            where=str(run.path),
            do=both(
                "Correct it as described above, or continue all the same with --anyway.",
                "上の指示に従って直すか、--anyway を付けてそのまま続けること。",
            ),
        )
