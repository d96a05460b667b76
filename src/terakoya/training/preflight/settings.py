"""Settings that were asked for and do nothing: a wish that is quietly ignored is worse than an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from terakoya.config import Config
from terakoya.models.model import Model
from terakoya.records import Finding
from terakoya.training.lesson import Lesson
from terakoya.training.recipe import BUILT_IN

_LORA = ("lora_rank", "lora_alpha", "lora_dropout", "lora_targets")
_SAMPLED = ("top_k", "top_p")


@dataclass(frozen=True)
class Facts:
    """What decides whether a setting can have an effect."""

    built_in: bool
    head: str
    family: str
    drawn: bool
    dev: bool
    labels: bool


def settings_findings(lesson: Lesson, model: Model) -> list[Finding]:
    facts = Facts(
        built_in=lesson.config.model.base in BUILT_IN,
        head=model.head,
        family=model.card.family,
        drawn=lesson.task.draw is not None,
        dev=bool(lesson.split.dev),
        labels=lesson.task.codec.name.startswith("labels"),
    )
    return [
        Finding("no-effect", "stop", f"{key} = {value!r} does nothing: {why}", where=key, do=f"Leave {key} out.")
        for key, why in _useless(lesson.config, facts)
        for value in (_asked(lesson.config, key),)
        if value is not None
    ]


def _asked(config: Config, key: str) -> object | None:
    """The value of a setting that differs from its default; None where it was left as it is."""
    section, name = key.split(".")
    here, default = getattr(config, section), getattr(type(config)(), section)
    value = getattr(here, name)
    return None if value == getattr(default, name) else value


def _useless(config: Config, facts: Facts) -> Iterator[tuple[str, str]]:
    yield from _of_model(config, facts)
    yield from _of_training(config, facts)
    yield from _of_decoding(config, facts)


def _of_model(config: Config, facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.built_in:
        why = "a built-in model begins from nothing"
        yield from ((f"model.{key}", why) for key in ("revision", "adaptation", "template", "instruction"))
        yield from ((f"model.{key}", why) for key in ("vocabulary", "new_tokens", "new_token_init", "merge"))
        yield "model.dtype", "built-in models are trained in float32"
        yield "train.checkpointing", "built-in models keep little between the passes"
    else:
        why = "a pretrained model has its own shape"
        yield from ((f"model.{key}", why) for key in ("family", "width", "layers", "attention_heads", "dropout"))
        if facts.family == "encoder-decoder":
            yield "model.template", "an encoder-decoder has no turns"
        if config.model.new_tokens == "none":
            yield "model.new_token_init", "no token is added (model.new_tokens = 'none')"
    if config.model.adaptation == "full":
        yield from ((f"model.{key}", "all weights are trained (model.adaptation = 'full')") for key in _LORA)
        yield "model.merge", "there is no adapter to be merged"
    if facts.head != "set":
        yield "model.label_init", "only a head for sets has a weight for each label"


def _of_training(config: Config, facts: Facts) -> Iterator[tuple[str, str]]:
    how = config.train
    if how.loss != "focal":
        yield "train.focal_gamma", f"the loss is '{how.loss}'"
    if how.loss != "class-balanced":
        yield "train.class_balance_beta", f"the loss is '{how.loss}'"
    if facts.head == "set":
        yield "train.label_smoothing", "smoothing is for tokens, and this head scores sets"
        yield "train.label_order", "a set has no order"
    elif how.loss != "cross-entropy":
        yield "train.label_smoothing", f"the loss is '{how.loss}'"
    if not facts.labels:
        yield "train.label_order", "the answers are no labels"
        yield "train.on_collapse", "the answers are no labels"
    if not facts.dev:
        yield from ((f"train.{key}", "there is no dev set") for key in ("patience", "dev_items"))
    if not how.guards:
        yield "train.on_collapse", "the guards are off (train.guards = false)"


def _of_decoding(config: Config, facts: Facts) -> Iterator[tuple[str, str]]:
    how = config.decode
    if facts.head == "set":
        return  # its decoding has settings of its own
    if how.method not in ("beam",):
        yield "decode.beams", f"the method is '{how.method}'"
    if how.method not in ("sample", "best-expected"):
        yield from ((f"decode.{key}", f"the method is '{how.method}'") for key in ("temperature", *_SAMPLED))
    if how.method != "best-expected":
        yield from ((f"decode.{key}", f"the method is '{how.method}'") for key in ("samples", "objective"))
