"""Skills whose tokens an engine generates (CTranslate2, llama.cpp): prompts, codec and withholding stay those of the
trained skill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

from terakoya.decoding.constraints import GrammarConstraint, grammar_constraints
from terakoya.decoding.withholding import unknown_characters, withhold
from terakoya.i18n import _
from terakoya.models.pretrained.prompt_files import Prompts
from terakoya.models.protocol import Query
from terakoya.records import Prediction
from terakoya.saved_model import Skill


@dataclass(frozen=True)
class Generated:
    """A generated text.

    raw          the text
    probability  of all of its tokens, the end included; None where it did not end, or left the grammar
    """

    raw: str
    probability: float | None


class Engine(Protocol):
    """What generates the tokens."""

    prompts: Prompts

    def generate(
        self, queries: Sequence[Query], constraints: Sequence[GrammarConstraint] | None, limit: int
    ) -> list[Generated]:
        """One text for each of `queries`, greedily.

        queries      that fit
        constraints  one per query; None without a grammar
        limit        largest number of tokens, the end included
        """
        ...


@dataclass(frozen=True)
class EngineSkill(Skill):
    """A skill for which an engine predicts; its `model` is the engine."""

    def _predict(self, queries: Sequence[Query]) -> list[Prediction]:
        engine = cast("Engine", self.model)
        prompts, decode = engine.prompts, self.config.decode
        fitting = [index for index, query in enumerate(queries) if prompts.fits(query)]
        chosen = [queries[index] for index in fitting]
        constraints = None
        if decode.constrained:
            sources = [query.source for query in chosen]
            constraints = grammar_constraints(
                self.task.codec, sources, prompts.token_texts, prompts.end, reject=decode.reject
            )
        limit = min(self.max_tokens + 1, prompts.max_target)
        found = [Prediction(query.source, "", None, 0.0) for query in queries]
        for index, one in zip(fitting, engine.generate(chosen, constraints, limit), strict=True):
            text = None if one.probability is None else self.task.codec.read(one.raw)
            found[index] = Prediction(queries[index].source, one.raw, text, one.probability or 0.0)
        named = [
            replace(prediction, unknown=unknown_characters(prompts, query))
            for prediction, query in zip(found, queries, strict=True)
        ]
        confidence = self.confidence
        calibrated = [confidence.applied(prediction) for prediction in named] if confidence is not None else named
        return [withhold(prediction, self.task, decode) for prediction in calibrated]


def sequence_obstacle(skill: Skill) -> str | None:
    """Why an engine cannot generate what this `skill` does; None where it can."""
    if not hasattr(skill.model, "prompt"):
        return _("only pretrained models run there; a built-in one goes to onnx, runtime or page")
    if skill.model.head == "set":
        return _("this engine generates text, and this skill has a set head")
    decode = skill.config.decode
    if decode.method != "greedy" or decode.repetition_penalty != 1.0:
        return _("this engine decodes greedily and without a repetition penalty, and this skill does not")
    return None
