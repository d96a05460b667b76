"""Settings that were asked for and do nothing: a wish that is quietly ignored is worse than an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from terakoya.config import Config
from terakoya.i18n import both, japanese
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.defaults import BUILT_IN
from terakoya.training.prepare import TrainingSetup

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


def settings_findings(lesson: TrainingSetup, model: Model) -> list[Finding]:
    facts = Facts(
        built_in=lesson.config.model.base in BUILT_IN,
        head=model.head,
        family=model.card.family,
        drawn=lesson.task.draw is not None,
        dev=bool(lesson.split.dev),
        labels=lesson.task.codec.name.startswith("labels"),
    )
    return [
        Finding(
            "no-effect",
            "stop",
            both(f"{key} = {value!r} does nothing: {why}", f"{key} = {value!r} は効果がない：{japanese(why)}"),
            where=key,
            do=both(f"Leave {key} out.", f"{key} を外すこと。"),
        )
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
        why = both("a built-in model begins from nothing", "組み込みモデルは何もない状態から始まる")
        yield from ((f"model.{key}", why) for key in ("revision", "adaptation", "template", "instruction"))
        yield from ((f"model.{key}", why) for key in ("vocabulary", "new_tokens", "new_token_init", "merge"))
        yield (
            "model.forward",
            both("a built-in model is not transformers'", "組み込みモデルは transformers のものではない"),
        )
        yield "model.dtype", both("built-in models are trained in float32", "組み込みモデルは float32 で学習する")
        yield (
            "train.checkpointing",
            both(
                "built-in models keep little between the passes",
                "組み込みモデルは順伝播と逆伝播の間にほとんど何も保持しない",
            ),
        )
    else:
        why = both("a pretrained model has its own shape", "事前学習済みモデルの形は決まっている")
        yield from ((f"model.{key}", why) for key in ("family", "width", "layers", "attention_heads", "dropout"))
        if facts.family == "encoder-decoder":
            yield "model.template", both("an encoder-decoder has no turns", "encoder-decoder に会話の形式はない")
        if config.model.new_tokens == "none":
            yield (
                "model.new_token_init",
                both(
                    "no token is added (model.new_tokens = 'none')", "トークンを追加しない（model.new_tokens = 'none'）"
                ),
            )
    if config.model.adaptation == "full":
        yield from (
            (
                f"model.{key}",
                both(
                    "all weights are trained (model.adaptation = 'full')",
                    "すべての重みを学習する（model.adaptation = 'full'）",
                ),
            )
            for key in _LORA
        )
        yield "model.merge", both("there is no adapter to be merged", "統合するアダプタがない")
    if facts.head != "set":
        yield (
            "model.label_init",
            both(
                "only a head for sets has a weight for each label", "ラベルごとの重みを持つのは集合用のヘッドだけである"
            ),
        )


def _of_training(config: Config, facts: Facts) -> Iterator[tuple[str, str]]:
    how = config.train
    if how.loss != "focal":
        yield "train.focal_gamma", both(f"the loss is '{how.loss}'", f"損失は '{how.loss}' である")
    if how.loss != "class-balanced":
        yield "train.class_balance_beta", both(f"the loss is '{how.loss}'", f"損失は '{how.loss}' である")
    if facts.head == "set":
        yield (
            "train.label_smoothing",
            both(
                "smoothing is for tokens, and this head scores sets",
                "平滑化はトークンのためのものであり、このヘッドは集合を採点する",
            ),
        )
        yield "train.label_order", both("a set has no order", "集合に順序はない")
    elif how.loss != "cross-entropy":
        yield "train.label_smoothing", both(f"the loss is '{how.loss}'", f"損失は '{how.loss}' である")
    if not facts.labels:
        yield "train.label_order", both("the answers are no labels", "回答はラベルではない")
        yield "train.on_collapse", both("the answers are no labels", "回答はラベルではない")
    if not facts.dev:
        yield from (
            (f"train.{key}", both("there is no dev set", "検証の行がない")) for key in ("patience", "dev_items")
        )
    if not how.guards:
        yield (
            "train.on_collapse",
            both("the guards are off (train.guards = false)", "監視を切ってある（train.guards = false）"),
        )


def _of_decoding(config: Config, facts: Facts) -> Iterator[tuple[str, str]]:
    how = config.decode
    if facts.head == "set":
        return  # its decoding has settings of its own
    if how.method not in ("beam",):
        yield "decode.beams", both(f"the method is '{how.method}'", f"方法は '{how.method}' である")
    if how.method not in ("sample", "best-expected"):
        yield from (
            (f"decode.{key}", both(f"the method is '{how.method}'", f"方法は '{how.method}' である"))
            for key in ("temperature", *_SAMPLED)
        )
    if how.method != "best-expected":
        yield from (
            (f"decode.{key}", both(f"the method is '{how.method}'", f"方法は '{how.method}' である"))
            for key in ("samples", "objective")
        )
