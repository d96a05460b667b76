"""Settings that are set and have no effect: a setting that is silently ignored is worse than an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from terakoya.config import Config
from terakoya.i18n import Both, both, japanese
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.defaults import BUILT_IN
from terakoya.training.prepare import TrainingSetup

_LORA = ("lora_rank", "lora_alpha", "lora_dropout", "lora_targets")
_SAMPLING = ("top_k", "top_p")
_PRETRAINED = (
    "revision",
    "adaptation",
    "template",
    "instruction",
    "vocabulary",
    "new_tokens",
    "new_token_init",
    "merge",
)
_BUILT_IN = ("family", "width", "layers", "attention_heads", "dropout")

_Reasons = Iterator[tuple[str, Both]]  # key of a setting, and why it has no effect


@dataclass(frozen=True)
class SettingContext:
    """What decides whether a setting can have an effect.

    built_in  whether the model is a built-in one
    head      "sequence" or "set"
    family    "encoder-decoder", "decoder" or "set"
    dev       whether there is a dev split
    labels    whether the targets are labels
    """

    built_in: bool
    head: str
    family: str
    dev: bool
    labels: bool


def settings_findings(setup: TrainingSetup, model: Model) -> list[Finding]:
    """Every setting that differs from its default and has no effect.

    setup  task, split and resolved config
    model  the model to be trained
    """
    context = SettingContext(
        built_in=setup.config.model.base in BUILT_IN,
        head=model.head,
        family=model.info.family,
        dev=bool(setup.split.dev),
        labels=setup.task.codec.name.startswith("labels"),
    )
    return [
        Finding(
            "no-effect",
            "stop",
            both(f"{key} = {value!r} does nothing: {why}", f"{key} = {value!r} は効果がない：{japanese(why)}"),
            where=key,
            do=both(f"Leave {key} out.", f"{key} を外すこと。"),
        )
        for key, why in _ineffective_settings(setup.config, context)
        for value in (_changed_value(setup.config, key),)
        if value is not None
    ]


def _changed_value(config: Config, key: str) -> object | None:
    """The value of a setting that differs from its default; None where it was left as it is."""
    section, name = key.split(".")
    value = getattr(getattr(config, section), name)
    return None if value == getattr(getattr(type(config)(), section), name) else value


def _ineffective_settings(config: Config, context: SettingContext) -> _Reasons:
    yield from _ineffective_in_model(config, context)
    yield from _ineffective_in_training(config, context)
    yield from _ineffective_in_decoding(config, context)


def _for_keys(section: str, keys: Iterable[str], why: Both) -> _Reasons:
    return ((f"{section}.{key}", why) for key in keys)


def _ineffective_in_model(config: Config, context: SettingContext) -> _Reasons:
    if context.built_in:
        yield from _for_keys(
            "model", _PRETRAINED, both("a built-in model starts untrained", "組み込みモデルは未学習の状態から始まる")
        )
        yield (
            "model.forward",
            both("a built-in model is not transformers'", "組み込みモデルは transformers のものではない"),
        )
        yield "model.dtype", both("built-in models are trained in float32", "組み込みモデルは float32 で学習する")
        yield (
            "train.checkpointing",
            both(
                "built-in models keep few activations between the passes",
                "組み込みモデルは順伝播と逆伝播の間にほとんど活性値を保持しない",
            ),
        )
    else:
        why = both("a pretrained model has its own shape", "事前学習済みモデルの形は決まっている")
        yield from _for_keys("model", _BUILT_IN, why)
        if context.family == "encoder-decoder":
            yield "model.template", both("an encoder-decoder has no chat turns", "encoder-decoder に会話の形式はない")
        if config.model.new_tokens == "none":
            yield (
                "model.new_token_init",
                both(
                    "no token is added (model.new_tokens = 'none')", "トークンを追加しない（model.new_tokens = 'none'）"
                ),
            )
    if config.model.adaptation == "full":
        why = both(
            "all weights are trained (model.adaptation = 'full')",
            "すべての重みを学習する（model.adaptation = 'full'）",
        )
        yield from _for_keys("model", _LORA, why)
        yield "model.merge", both("there is no adapter to be merged", "統合するアダプタがない")
    if context.head != "set":
        yield (
            "model.label_init",
            both("only a set head has a weight for each label", "ラベルごとの重みを持つのは集合用ヘッドだけである"),
        )


def _ineffective_in_training(config: Config, context: SettingContext) -> _Reasons:
    train = config.train
    other_loss = both(f"the loss is '{train.loss}'", f"損失は '{train.loss}' である")
    if train.loss != "focal":
        yield "train.focal_gamma", other_loss
    if train.loss != "class-balanced":
        yield "train.class_balance_beta", other_loss
    if context.head == "set":
        yield (
            "train.label_smoothing",
            both(
                "smoothing is for tokens, and this head scores sets",
                "平滑化はトークンのためのものであり、このヘッドは集合を採点する",
            ),
        )
        yield "train.label_order", both("a set has no order", "集合に順序はない")
    elif train.loss != "cross-entropy":
        yield "train.label_smoothing", other_loss
    if not context.labels:
        why = both("the targets are no labels", "正解はラベルではない")
        yield from _for_keys("train", ("label_order", "on_collapse"), why)
    if not context.dev:
        why = both("there is no dev split", "検証データがない")
        yield from _for_keys("train", ("patience", "dev_items"), why)
    if not train.guards:
        yield (
            "train.on_collapse",
            both("the guards are off (train.guards = false)", "監視を切ってある（train.guards = false）"),
        )


def _ineffective_in_decoding(config: Config, context: SettingContext) -> _Reasons:
    method = config.decode.method
    if context.head == "set":
        return  # its decoding has settings of its own
    why = both(f"the method is '{method}'", f"方法は '{method}' である")
    if method != "beam":
        yield "decode.beams", why
    if method not in ("sample", "expected-metric"):
        yield from _for_keys("decode", ("temperature", *_SAMPLING), why)
    if method != "expected-metric":
        yield from _for_keys("decode", ("samples", "objective"), why)
