"""What a generation will cost, told before it is begun."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from terakoya.config import Config
from terakoya.generation.output import Estimate
from terakoya.generation.prepare import prices_of, unknown_price
from terakoya.generation.recipe import Recipe
from terakoya.generation.sources import sources
from terakoya.generation.teacher.ledger_index import INDEX, usage
from terakoya.generation.teacher.protocol import NANO, Ask
from terakoya.i18n import both


def estimated(config: Config, recipe: Recipe, folder: Path, home: Path) -> Estimate:
    """From the first 200 prompts; answers as long as this folder's earlier ones, else as the sentences are."""
    teacher = config.teacher
    if teacher.kind != "api":
        return Estimate(teacher.samples * len(recipe.steps), 0.0, 0.0, "this teacher is free")
    if min(teacher.price_in, teacher.price_out) < 0:
        raise unknown_price()
    prices, known = prices_of(teacher), usage(folder / INDEX)
    sentences = list(islice(sources(config, teacher.sources or recipe.sources, home), 200))
    likely = worst = 0
    for step in recipe.steps:
        for sentence in sentences:
            turns = step.turns(sentence.text, teacher.banned, ())
            ask = Ask(step.name, "", "", turns, teacher.model, teacher.max_tokens, teacher.temperature, config.seed)
            characters = sum(len(turn.content) for turn in turns)
            guess = (characters, 3 * step.most if "labels" in step.checks else len(sentence.text))
            tokens_in, tokens_out = known.get(step.name, guess)
            likely += prices.of(round(tokens_in), round(tokens_out))
            worst += prices.of(3 * ask.most_tokens_in + teacher.max_tokens, 2 * teacher.max_tokens)
    scale = teacher.samples / max(len(sentences), 1) / NANO
    basis = (
        both("earlier answers in this folder", "このフォルダにあるこれまでの回答による")
        if known
        else both("the length of the prompts, one token a character", "プロンプトの長さ（一文字一トークン）による")
    )
    return Estimate(teacher.samples * len(recipe.steps), likely * scale, worst * scale, basis)
