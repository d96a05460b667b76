"""A minute of looking before a night of training: one real forward and backward pass on the longest rows."""

from __future__ import annotations

import math

from terakoya.models.model import Model, Pair
from terakoya.records import Example, Finding
from terakoya.training.losses import plain
from terakoya.training.schedule import warmup_steps
from terakoya.training.teach import Lesson, pair

ROWS = 32  # in the batch that is tried: the longest there are


def preflight(lesson: Lesson, model: Model) -> list[Finding]:
    """What would go wrong, told before the first step."""
    return [*schedule_findings(lesson), *first_loss(model, longest(lesson, model))]


def longest(lesson: Lesson, model: Model) -> list[Pair]:
    """The rows that need most room: whatever breaks on length breaks on them."""
    pairs = [pair(lesson.task, example) for example in _some(lesson.split.train)]
    return sorted(pairs, key=model.length)[-ROWS:]


def first_loss(model: Model, pairs: list[Pair]) -> list[Finding]:
    """An untrained model guesses evenly: its first loss is near ln V. Far above it, something is broken at step 0."""
    outputs = model.outputs(model.collate(pairs))
    loss = plain(outputs)
    loss.backward()  # type: ignore[no-untyped-call]
    model.module.zero_grad(set_to_none=True)
    first = float(loss.detach())
    if outputs.sizes is not None:
        return []
    even = math.log(outputs.logits.shape[-1])
    figures = {"first_loss": first, "even_guess": even}
    if not math.isfinite(first):
        return [
            Finding("first loss", "stop", "the first loss is not finite", do="Look at the weights.", figures=figures)
        ]
    if first > 1.25 * even + 0.5:
        what = f"the first loss is {first:.2f} where an even guess gives {even:.2f}"
        do = "Embeddings or head are broken before training; for new tokens set model.new_token_init = 'meaning'."
        return [Finding("first loss", "warn", what, do=do, figures=figures)]
    return [Finding("first loss", "note", f"{first:.2f}; an even guess gives {even:.2f}", figures=figures)]


def shown_tokens(lesson: Lesson, model: Model, rows: int = 4) -> str:
    """A few rows as the model sees them, the learnt tokens in brackets: 「」 around what the loss is taken over."""
    shown = []
    for one in longest(lesson, model)[-rows:]:
        shown.append("".join(f"「{piece}」" if learnt else piece for piece, learnt in model.shown(one)))
    return "\n".join(shown)


def schedule_findings(lesson: Lesson) -> list[Finding]:
    """A warm-up as long as the training only ever raises the learning rate."""
    how = lesson.config.train
    steps, warmup = int(how.steps), warmup_steps(how, int(how.steps))
    if warmup >= steps:
        what = f"the warm-up takes {warmup} of {steps} steps: the learning rate only ever rises"
        return [
            Finding("warm-up", "stop", what, where="train.warmup", do="Set train.warmup = 0.1 (a tenth of all steps).")
        ]
    return []


def _some(examples: tuple[Example, ...], most: int = 20_000) -> tuple[Example, ...]:
    return examples[:most]
