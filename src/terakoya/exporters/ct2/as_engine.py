"""`decode.engine = "ct2"`: CTranslate2 predicts in place of our own decoding, once it has predicted dev equally.

    RUN/engines/ct2/model/       the converted model, in float32; gone where it does not predict equally
    RUN/engines/ct2/proof.json   for which weights and settings it was compared, on how many items, and what differed

An engine that is faster and different would make the scores of two machines incomparable: nothing but equal predictions
of dev lets it predict, and where they are not, the skill predicts itself and a finding says why.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, TerakoyaError
from terakoya.exporters.ct2.exporter import Ct2Exporter
from terakoya.exporters.engine_skill import EngineSkill
from terakoya.exporters.exporter import ExportOptions
from terakoya.exporters.skill_files import OpenedSkill
from terakoya.i18n import Message, _
from terakoya.models.protocol import Query
from terakoya.records import Example, Finding, fingerprint
from terakoya.runs import disk_faults, read_json, seal_of, write_json
from terakoya.saved_model import Skill
from terakoya.scoring.baselines.standard import evenly_spaced

FOLDER, PROOF = Path("engines") / "ct2", "proof.json"
ITEMS = 400  # of dev, evenly spaced, that both predict
_NEAR = 1e-3  # difference of a probability that float32 in another order explains


@dataclass(frozen=True)
class Comparison:
    """What both engines predicted.

    key        of weights, version and settings
    n          dev items
    equal      items that both predicted equally, probability included
    differing  source of the first other one; "" where there is none
    """

    key: str
    n: int
    equal: int
    differing: str = ""


def predict_with_ct2(
    skill: Skill, run: Path, dev: Callable[[], Sequence[Example]], progress: Callable[[str], None] = lambda text: None
) -> tuple[Skill | None, Finding]:
    """The skill with CTranslate2 as its engine, where that predicts dev equally.

    skill     with `decode.engine = "ct2"`
    run       its run folder, in which the converted model is kept
    dev       returns the dev items; called where this model was not compared yet
    progress  is called with what is being done
    Returns what predicts, None where that is the `skill` itself, with a finding that says which and why.
    Raises ConfigError where the engine cannot do what the skill does, or is not installed.
    """
    exporter = Ct2Exporter()
    if obstacle := exporter.obstacle(skill):
        raise ConfigError(
            _("CTranslate2 cannot predict for this skill: {obstacle}", obstacle=obstacle),
            where="decode.engine",
            do=_("Leave decode.engine out."),
        )
    key = _key(skill)
    found = _kept(run / FOLDER, key)
    if found is None:
        try:
            items = evenly_spaced(dev(), ITEMS)
        except TerakoyaError as error:
            return None, _left_out(_("its dev items cannot be read ({error})", error=error.what))
        if not items:
            return None, _left_out(_("there are no dev items on which it could be compared"))
        progress(_("converting the model for CTranslate2, and comparing {n} predictions of dev", n=len(items)))
        found = _compare(skill, exporter, items, run / FOLDER, key)
    if found.equal < found.n:
        why = _(
            "it predicts {count} of {n} dev items otherwise, first '{source}'",
            count=found.n - found.equal,
            n=found.n,
            source=found.differing[:40],
        )
        return None, _left_out(why)
    note = _("CTranslate2 predicts: all {n} predictions of dev are equal", n=found.n)
    values = {"items": float(found.n)}
    return _engine_skill(skill, exporter.open(run / FOLDER / "model")), Finding("engine", "note", note, values=values)


def _left_out(why: Message) -> Finding:
    return Finding(
        "engine",
        "warn",
        _("CTranslate2 does not predict: {why}. Terakoya predicts itself", why=why),
        where="decode.engine",
        do=_("Leave decode.engine out."),
    )


def _compare(skill: Skill, exporter: Ct2Exporter, items: Sequence[Example], home: Path, key: str) -> Comparison:
    with disk_faults(home):
        home.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".engine-", dir=home))
    try:
        artifact = exporter.write(skill, folder, ExportOptions("float32"))
        found = _compared(skill, exporter.open(artifact), items, key)
        if found.equal == found.n:
            _replace(artifact, home / "model")
        write_json(home / PROOF, {**vars(found)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _compared(skill: Skill, opened: OpenedSkill, items: Sequence[Example], key: str) -> Comparison:
    other = _engine_skill(skill, opened)
    queries = [Query(item.source, item.turns) for item in items]
    own: Any = skill.model
    engine: Any = other.model
    same_prompts = [own.prompt.prompt_ids(query) == engine.prompts.prompt_ids(query) for query in queries]
    pairs = zip(skill.predict_queries(queries), other.predict_queries(queries), same_prompts, strict=True)
    equal = [
        same and (one.text, one.raw, one.withheld) == (two.text, two.raw, two.withheld)
        and abs((one.probability or 0.0) - (two.probability or 0.0)) <= _NEAR
        for one, two, same in pairs
    ]  # fmt: skip
    opened.close()
    differing = next((item.source for item, good in zip(items, equal, strict=True) if not good), "")
    return Comparison(key, len(items), sum(equal), differing)


def _engine_skill(skill: Skill, opened: OpenedSkill) -> EngineSkill:
    """The skill as it was opened, with its settings and its calibration, but for what generates."""
    return EngineSkill(
        opened.skill.model, skill.task, skill.config, skill.max_tokens, skill.folder, skill.rule, skill.converses,
        skill.confidence,
    )  # fmt: skip


def _key(skill: Skill) -> str:
    """Names all that predictions depend on: weights, version of the engine, grammar and length."""
    import ctranslate2

    decode = skill.config.decode
    return fingerprint(seal_of(skill.folder), ctranslate2.__version__, str(decode.constrained), str(skill.max_tokens))


def _kept(home: Path, key: str) -> Comparison | None:
    """What was compared before for these weights and settings; None where nothing was, or the model has gone."""
    if not (home / PROOF).is_file():
        return None
    values = read_json(home / PROOF)
    try:
        found = Comparison(str(values["key"]), int(values["n"]), int(values["equal"]), str(values["differing"]))
    except (KeyError, TypeError, ValueError):
        return None  # compared anew, and written anew
    usable = found.equal < found.n or (home / "model").is_dir()
    return found if found.key == key and found.n > 0 and usable else None


def _replace(artifact: Path, final: Path) -> None:
    if final.exists():
        old = artifact.parent / "old"
        final.rename(old)
    artifact.rename(final)
