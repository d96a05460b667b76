"""How a run ends: done, interrupted, failed, or refused before training. All of it is recorded in its folder, and a
refusal that found nothing worth reading leaves no folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from terakoya.errors import ConfigError, DataError, IncompatibleError, Interrupted, PluginError, TerakoyaError
from terakoya.errors.third_party import plugin_error
from terakoya.i18n import _, joined
from terakoya.records import Finding
from terakoya.runs import Run
from terakoya.runs.progress import Listener
from terakoya.runs.validation import FINDING

_TRAINED = ("steps.jsonl", "checkpoints", "model")  # one of them is there as soon as something was trained


@contextmanager
def record_outcome(run: Run) -> Iterator[None]:
    """Record in the manifest of `run` how the block ends; errors say how to resume.

    An unexpected exception that came through third-party code is raised as PluginError.
    """
    command = f"terakoya run {run.path}"
    try:
        yield
    except KeyboardInterrupt as stop:
        run.finish("interrupted")
        stopped = _("Stopped. Resume with: {command}", command=command)
        raise KeyboardInterrupt(joined("\n", [*filter(None, stop.args), stopped])) from stop
    except Interrupted as stop:
        run.finish("interrupted")
        stop.do = stop.do or _("Resume with: {command}", command=command)
        raise
    except TerakoyaError as error:
        _end(run, error)
        raise
    except BaseException as error:
        theirs = plugin_error(error)
        if theirs:
            _end(run, theirs)
        else:
            run.finish("failed", reason=_("an internal error of Terakoya"))
        if theirs:
            raise theirs from error
        raise


def _end(run: Run, error: TerakoyaError) -> None:
    """Record a failure; a run that was refused before training is marked so, or removed where nothing was found."""
    refused = isinstance(error, (ConfigError, DataError, PluginError, IncompatibleError))
    if not refused or any(run.has(name) for name in _TRAINED):
        run.finish("failed", reason=error.message)
    elif run.has("findings.jsonl") or run.manifest["times"].get("resumed"):
        run.finish("refused", reason=error.message)
    else:
        run.discard()


def record_finding(run: Run, finding: Finding) -> None:
    """Append `finding` to findings.jsonl of `run`, unless it is there already (a resumed run repeats its checks)."""
    known = ((line["check"], line["what"], line["where"]) for line in run.read_lines("findings.jsonl", FINDING))
    if (finding.check, finding.what, finding.where) not in known:
        run.append("findings.jsonl", finding)


def enforce(
    run: Run, findings: Sequence[Finding], listener: Listener, anyway: bool, error: type[TerakoyaError] = DataError
) -> None:
    """Record and report findings; one of level stop ends the run.

    run       where they are recorded
    findings  what checks found
    listener  to whom they are reported
    anyway    continue in spite of level stop; the manifest then names the checks
    error     the exception class to raise
    Raises `error`.
    """
    for finding in findings:
        record_finding(run, finding)
        listener.finding(finding)
    manifest = run.manifest
    known = manifest.get("overridden", [])
    overridden = known if manifest["times"].get("resumed") else []  # a run that is resumed goes on as it began
    stops = [finding for finding in findings if finding.level == "stop" and finding.check not in overridden]
    if stops and anyway:
        run.update_manifest(overridden=list(dict.fromkeys([*known, *(finding.check for finding in stops)])))
    elif stops:
        raise error(
            joined("\n", (joined(": ", (finding.check, finding.what)) for finding in stops)),
            where=str(run.path),
            do=_("Correct it as described above, or continue all the same with --anyway."),
        )
