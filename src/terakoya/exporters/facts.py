"""What an export says of its skill, from the record of its run: what it does, its exam, what it cannot do, examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from terakoya.i18n import _, in_language, languages
from terakoya.records import Score
from terakoya.reporting.record import RunRecord, read_record
from terakoya.saved_model import Skill
from terakoya.scoring.baselines.standard import ANNOTATORS

_EXAMPLES = 3  # right ones, and wrong ones
_KINDS = 5  # of errors
_SHOWN = 80  # characters of a text
_ROWS = ("train", "dev", "exam")


Line = str | Mapping[str, str]  # a message that can be translated, or a sentence by language


@dataclass(frozen=True)
class Fact:
    """One heading and the lines below it.

    heading  what the lines are about, as a message
    lines    one at least
    """

    heading: str
    lines: Sequence[Line]

    def in_language(self, lang: str) -> tuple[str, list[str]]:
        """Heading and lines in the language `lang`."""
        found = [in_language(one, lang) if isinstance(one, str) else str(one.get(lang, "")) for one in self.lines]
        return in_language(self.heading, lang), found


def record_of(skill: Skill) -> RunRecord | None:
    """The record of the run that trained a `skill`; None for a model folder without its run."""
    run = skill.folder.parent
    return read_record(run) if (run / "manifest.json").is_file() else None


def examples_of(skill: Skill) -> list[str]:
    """Sources of the exam that the `skill` predicts right, for its users to try."""
    record = record_of(skill)
    return [str(line["source"]) for line in _examples(record, right=True)] if record else []


def facts_of(skill: Skill) -> dict[str, list[dict[str, Any]]]:
    """The facts of a `skill` in every language, as plain values."""
    found = list(skill_facts(skill))
    by_language = {lang: [one.in_language(lang) for one in found] for lang in languages()}
    return {
        lang: [{"heading": heading, "lines": lines} for heading, lines in facts] for lang, facts in by_language.items()
    }


def skill_facts(skill: Skill) -> Iterator[Fact]:
    """What is said of a `skill` whatever it is exported to."""
    record = record_of(skill)
    yield Fact(_("What it does"), [_purpose(skill)])
    yield Fact(_("What it does not do"), [*_limits(skill), *(_errors(record) if record else [])])
    if record is None:
        return
    yield Fact(_("How it was trained"), _training(record))
    if record.scores:
        yield Fact(_("Its exam: items that training never showed"), [*_scores(record)])
    for right, heading in ((True, _("Right on the exam")), (False, _("Wrong on the exam"))):
        lines = [_example(line) for line in _examples(record, right=right)]
        if lines:
            yield Fact(heading, lines)


def _purpose(skill: Skill) -> str:
    task, codec = skill.task.name, skill.task.codec.name
    instruction = f": {skill.task.instruction.strip()}" if skill.task.instruction.strip() else ""
    return _(
        "The skill '{task}'{instruction}. Text in, one prediction out (targets: {codec}).",
        task=task,
        instruction=instruction,
        codec=codec,
    )


def _training(record: RunRecord) -> list[str]:
    model, data = record.manifest.get("model") or {}, record.manifest.get("data") or {}
    lines: list[str] = []
    if model:
        name, weights, family = model.get("name", ""), int(model.get("weights") or 0), model.get("family", "")
        lines.append(_("model {name} ({family}), {weights:,} weights", name=name, family=family, weights=weights))
    if all(key in data for key in _ROWS):
        lines.append(_("{train} training rows, {dev} dev rows, {exam} exam items", **{key: data[key] for key in _ROWS}))
    steps = (record.manifest.get("training") or {}).get("steps") or len(record.steps)
    return [*lines, _("{steps} training steps", steps=steps)] if steps else lines


def _scores(record: RunRecord) -> Iterator[Line]:
    own = record.main
    if own is None:
        return
    yield _score_line(_("this skill"), own)
    for score in record.scores:
        if score.who != "model" and score.metric == own.metric and score.subset == own.subset:
            who = _("annotators, each against the others") if score.who == ANNOTATORS else ""
            yield _score_line(who or _("baseline '{who}'", who=score.who), score)
    if words := record.verdict.get("words"):
        yield dict(words)


def _score_line(who: str, score: Score) -> str:
    return _(
        "{who}: {metric} {value:.4f}, 95% interval {low:.4f} to {high:.4f}, n = {n}",
        who=who,
        metric=score.metric,
        value=score.value,
        low=score.low,
        high=score.high,
        n=score.n,
    )


def _limits(skill: Skill) -> Iterator[str]:
    decode = skill.config.decode
    yield _("It predicts for inputs like those of its exam; of others nothing is known.")
    shape = getattr(skill.model, "shape", None)
    if shape is not None:
        yield _("Inputs have at most {most} characters; longer ones get no prediction.", most=shape.max_source)
    if skill.model.head == "set":
        yield _("Its vocabulary holds single words or short pieces of the training texts.")
    if decode.reject and skill.model.head != "set":
        yield _("It was trained to reject ill-formed inputs; what it rejects is withheld.")
    if decode.abstain_below:
        yield _("Predictions with a probability below {least:g} are withheld.", least=decode.abstain_below)
    if decode.promise:
        yield _("Predictions that are not among the promised {share:g} are withheld.", share=decode.promise)


def _errors(record: RunRecord) -> Iterator[str]:
    kinds = Counter(str(line["error"]) for line in record.predictions if line.get("error") and not line.get("subset"))
    items = sum(not line.get("subset") for line in record.predictions)
    for kind, count in kinds.most_common(_KINDS):
        yield _("Wrong on the exam, {kind}: {count} of {items} items", kind=kind, count=count, items=items)


def _examples(record: RunRecord, *, right: bool) -> list[Mapping[str, Any]]:
    """Evenly spread over the main subset of the exam: memorised items are rows of the training."""
    main = [line for line in record.predictions if not line.get("subset") and not line.get("turns")]
    lines = [line for line in main if (line["verdict"] >= 1) == right and len(line["source"]) <= _SHOWN]
    if len(lines) <= _EXAMPLES:
        return lines
    return [lines[index * len(lines) // _EXAMPLES] for index in range(_EXAMPLES)]


def _example(line: Mapping[str, Any]) -> str:
    source, prediction, target = line["source"], line["prediction"], line["target"]
    given = _("no prediction") if prediction is None else prediction
    if line["verdict"] >= 1:
        return _("{source} → {prediction}", source=source, prediction=given)
    return _("{source} → {prediction} (right: {target})", source=source, prediction=given, target=target)
