"""The cost of a generation, estimated before it starts."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from terakoya.config import Config
from terakoya.generation.configured import configured_teachers, shares
from terakoya.generation.output import CostEstimate
from terakoya.generation.permission import unknown_price
from terakoya.generation.prepare import prices_of
from terakoya.generation.recipe import Recipe
from terakoya.generation.sources import source_sentences
from terakoya.generation.teacher.ledger_index import INDEX, usage
from terakoya.generation.teacher.protocol import NANO, TeacherRequest
from terakoya.i18n import _


def estimate_cost(config: Config, recipe: Recipe, folder: Path, home: Path) -> CostEstimate:
    """Expected and maximum cost, extrapolated from the first 200 prompts without sending anything.

    config  the whole config; `teacher` and `seed` are used
    recipe  the steps whose prompts are measured
    folder  the generation folder: response lengths are taken from its ledger, else guessed from the sentences
    home    the folder that paths of the config are relative to
    Raises ConfigError where the model's prices are not known.
    """
    teacher, share = config.teacher, shares(config.teacher)
    paid = [one for one in configured_teachers(teacher) if one.config.kind == "api" and share[one.name]]
    if not paid:
        return CostEstimate(teacher.samples * len(recipe.steps), 0.0, 0.0, _("this teacher is free"))
    for one in paid:
        if min(one.config.price_in, one.config.price_out) < 0:
            raise unknown_price(one.section)
    measured = usage(folder / INDEX)
    sentences = list(islice(source_sentences(config, teacher.sources or recipe.sources, home), 200))
    likely = worst = 0.0
    for step in recipe.steps:
        for sentence in sentences:
            turns = step.turns(sentence.text, teacher.banned, ())
            request = TeacherRequest(step.name, "", "", turns, "", teacher.max_tokens, None, config.seed)
            characters = sum(len(turn.content) for turn in turns)
            fallback = (characters, 3 * step.most if "labels" in step.checks else len(sentence.text))
            tokens_in, tokens_out = measured.get(step.name, fallback)
            for one in paid:
                prices, longest, part = prices_of(one.config), one.config.max_tokens, share[one.name]
                likely += part * prices.of(round(tokens_in), round(tokens_out))
                worst += part * prices.of(3 * request.max_tokens_in + longest, 2 * longest)
    scale = teacher.samples / max(len(sentences), 1) / NANO
    basis = _("earlier responses in this folder") if measured else _("prompt lengths, one token per character")
    return CostEstimate(teacher.samples * len(recipe.steps), likely * scale, worst * scale, basis)
