"""An export from start to end: write the artifact, prove it, describe it, and give it its name, all or nothing.

RUN/exports/page/            index.html, proof.json, README.md
RUN/exports/page.refused/    the same of an artifact that the proof refuses
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError
from terakoya.exporters.exporter import EXPORTERS, Exporter, ExportOptions, NoRuntimeError, find_exporter
from terakoya.exporters.facts import record_of
from terakoya.exporters.proof import Proof
from terakoya.exporters.prove import exam_items, prove, unproved
from terakoya.exporters.readme import readme
from terakoya.i18n import _
from terakoya.records import Example
from terakoya.runs import disk_faults, write_json, write_text
from terakoya.runs.display import Displayed
from terakoya.saved_model import Skill

PROOF, README, REFUSED = "proof.json", "README.md", ".refused"
_LARGER = {"gguf": "f16", "ct2": "float32"}  # number formats that lose next to nothing


@dataclass(frozen=True)
class ExportResult(Displayed):
    """One export that was written.

    folder    in which it lies
    artifact  the file or folder that users get
    proof     what the exam showed of it
    """

    folder: Path
    artifact: Path
    proof: Proof

    @property
    def exit_code(self) -> int:
        """0, or 1 for a refused artifact."""
        return int(self.proof.refused)

    @property
    def advice(self) -> str:
        """What to do about a refused artifact, as a message; "" where nothing is known."""
        larger = _LARGER.get(self.proof.target, "")
        if not self.proof.refused or not larger or self.proof.quantisation == larger:
            return ""
        return _(
            "Its numbers are too small for this skill. Larger ones: terakoya export RUN --to {target} --quantisation "
            "{larger}",
            target=self.proof.target,
            larger=larger,
        )

    def to_dict(self) -> dict[str, Any]:
        """All values as a dict, for --json."""
        return {"folder": str(self.folder), "artifact": str(self.artifact), "proof": self.proof.to_dict()}

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary: target, state, predictions that are equal, bytes, milliseconds."""
        names = ("target", "runtime", "state", "n", "equal", "before", "after", "bytes", "after_ms")
        return [{name: getattr(self.proof, name) for name in names}]


def export_skill(
    skill: Skill,
    targets: Sequence[str],
    *,
    output: Path | None = None,
    overwrite: bool = False,
    without_proof: bool = False,
    options: ExportOptions | None = None,
    lang: str = "",
    progress: Callable[[str], None] = lambda text: None,
) -> list[ExportResult]:
    """Export a skill to every target; each artifact has predicted the skill's exam before it gets its name.

    skill          the trained skill, read with `scored=True`
    targets        names in EXPORTERS
    output         folder in which each target gets one of its own; None: `exports` in the run folder
    overwrite      replace a folder that no export wrote
    without_proof  keep an artifact whose runtime is not installed; its README says that it was not proved
    options        of the targets
    lang           of the README
    progress       is called with what is being done
    Raises ConfigError for an unknown target, for one that the skill cannot go to, for an option that no target goes by,
    and without an exam.
    """
    exporters = [find_exporter(target) for target in dict.fromkeys(targets)]
    if not exporters:
        raise ConfigError(_("no target is named"), where="--to", do=_("For example: terakoya export RUN --to page"))
    for exporter in exporters:
        if obstacle := exporter.obstacle_with(skill, options or ExportOptions()):
            raise ConfigError(
                _("this skill cannot be exported to '{target}': {obstacle}", target=exporter.name, obstacle=obstacle),
                where=str(skill.folder),
                do=_("Another target may do: {targets}.", targets=", ".join(EXPORTERS)),
            )
    chosen = options or ExportOptions()
    _require_effect(chosen, exporters)
    items = _exam_of(skill)
    home = output or skill.folder.parent / "exports"
    for exporter in exporters:
        for name in (exporter.name, exporter.name + REFUSED):
            _require_own(home / name, overwrite)
    return [
        _export(skill, exporter, home, items, chosen, without_proof=without_proof, lang=lang, progress=progress)
        for exporter in exporters
    ]


def _export(
    skill: Skill,
    exporter: Exporter,
    home: Path,
    items: Sequence[Example],
    options: ExportOptions,
    *,
    without_proof: bool,
    lang: str,
    progress: Callable[[str], None],
) -> ExportResult:
    with _temporary(home) as folder:
        progress(_("writing {target}", target=exporter.name))
        artifact = exporter.write(skill, folder, options)
        try:
            proof = prove(skill, exporter, artifact, items, quantisation=options.quantisation, progress=progress)
        except NoRuntimeError as error:
            if not without_proof:
                raise _unprovable(error) from error
            proof = unproved(exporter, artifact, quantisation=options.quantisation)
        write_json(folder / PROOF, proof.to_dict())
        relative = artifact.relative_to(folder)
        if not (folder / README).exists():  # a target may bring its own
            write_text(folder / README, readme(skill, exporter, relative, proof, lang))
        exporter.finish(skill, folder, proof)
        final = home / (exporter.name + REFUSED * proof.refused)
        _replace(folder, final)
    if not proof.refused:
        exporter.publish(final, options)
    return ExportResult(final, final / relative, proof)


def _require_effect(options: ExportOptions, exporters: Sequence[Exporter]) -> None:
    """Raises ConfigError for an option that none of the targets goes by: it would be ignored in silence."""
    for name in (field.name for field in fields(options) if getattr(options, field.name) != field.default):
        if not any(name in exporter.takes for exporter in exporters):
            targets = ", ".join(exporter.name for exporter in exporters)
            raise ConfigError(
                _("--{name} does nothing for {targets}", name=name, targets=targets),
                where="--to",
                do=_("Leave --{name} out, or name a target that goes by it: gguf, ct2, hub.", name=name),
            )


def _unprovable(error: NoRuntimeError) -> ConfigError:
    advice = _("{advice} To keep it without a proof, which its README will say: --unproved", advice=error.do)
    return NoRuntimeError(error.what, where=error.where, do=advice)


def _exam_of(skill: Skill) -> list[Example]:
    """The items of the exam that the skill's run has opened."""
    record = record_of(skill)
    items = exam_items(record.predictions) if record else []
    if not items:
        raise ConfigError(
            _("an export is proved on the exam, and this skill has none that was opened"),
            where=str(skill.folder.parent),
            do=_("Name a run whose exam was taken: terakoya run RUN opens it."),
        )
    return items


def _require_own(folder: Path, overwrite: bool) -> None:
    """Raises ConfigError where something stands at the place of an export that no export wrote."""
    if not folder.exists() or overwrite or _is_export(folder):
        return
    raise ConfigError(
        _("something that no export wrote is in the way"),
        where=str(folder),
        do=_("Move it away, name another folder with --output, or replace it with --overwrite."),
    )


def _is_export(folder: Path) -> bool:
    try:
        found = json.loads((folder / PROOF).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"target", "sha256", "state"} <= found.keys()


@contextmanager
def _temporary(home: Path) -> Iterator[Path]:
    """A new folder beside the final one, gone again whatever happens."""
    with disk_faults(home):
        home.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".export-", dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(folder: Path, final: Path) -> None:
    """Give a folder its name; what had it before is gone only once the new one stands there."""
    with disk_faults(final):
        folder.chmod(0o755)  # mkdtemp's is for its owner alone
        if not final.exists():
            folder.rename(final)
            return
        old = Path(tempfile.mkdtemp(prefix=".export-", dir=final.parent)) / final.name
        final.rename(old)
        folder.rename(final)
        shutil.rmtree(old.parent)
