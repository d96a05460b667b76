"""Settings that are set and have no effect: a setting that is silently ignored is worse than an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from terakoya.config import Config
from terakoya.i18n import Message, _
from terakoya.models.conformance import is_our_model
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

_Reasons = Iterator[tuple[str, Message]]  # key of a setting, and why it has no effect


@dataclass(frozen=True)
class SettingContext:
    """What decides whether a setting can have an effect.

    built_in  whether the model is a built-in one
    plugin    whether an installed package brings it; it alone knows which settings of `[model]` it uses
    head      "sequence" or "set"
    family    "encoder-decoder", "decoder" or "set"
    dev       whether there is a dev split
    labels    whether the targets are labels
    """

    built_in: bool
    plugin: bool
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
        plugin=not is_our_model(model),
        head=model.head,
        family=model.info.family,
        dev=bool(setup.split.dev),
        labels=setup.task.codec.name.startswith("labels"),
    )
    return [
        Finding(
            "no-effect",
            "stop",
            _("{key} = {value!r} does nothing: {why}", key=key, value=value, why=why),
            where=key,
            do=_("Leave {key} out.", key=key),
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


def _for_keys(section: str, keys: Iterable[str], why: Message) -> _Reasons:
    return ((f"{section}.{key}", why) for key in keys)


def _ineffective_in_model(config: Config, context: SettingContext) -> _Reasons:
    if context.plugin:
        return
    if context.built_in:
        yield from _for_keys("model", _PRETRAINED, _("a built-in model starts untrained"))
        yield (
            "model.forward",
            _("a built-in model is not transformers'"),
        )
        yield "model.dtype", _("built-in models are trained in float32")
        yield (
            "train.checkpointing",
            _("built-in models keep few activations between the passes"),
        )
    else:
        why = _("a pretrained model has its own shape")
        yield from _for_keys("model", _BUILT_IN, why)
        if context.family == "encoder-decoder":
            yield "model.template", _("an encoder-decoder has no chat turns")
        if config.model.new_tokens == "none":
            yield (
                "model.new_token_init",
                _("no token is added (model.new_tokens = 'none')"),
            )
    if config.model.adaptation == "full":
        why = _("all weights are trained (model.adaptation = 'full')")
        yield from _for_keys("model", _LORA, why)
        yield "model.merge", _("there is no adapter to be merged")
    if context.head != "set":
        yield (
            "model.label_init",
            _("only a set head has a weight for each label"),
        )


def _ineffective_in_training(config: Config, context: SettingContext) -> _Reasons:
    train = config.train
    other_loss = _("the loss is '{loss}'", loss=train.loss)
    if train.loss != "focal":
        yield "train.focal_gamma", other_loss
    if train.loss != "class-balanced":
        yield "train.class_balance_beta", other_loss
    if context.head == "set":
        yield (
            "train.label_smoothing",
            _("smoothing is for tokens, and this head scores sets"),
        )
        yield "train.label_order", _("a set has no order")
    elif train.loss != "cross-entropy":
        yield "train.label_smoothing", other_loss
    if not context.labels:
        why = _("the targets are no labels")
        yield from _for_keys("train", ("label_order", "on_collapse"), why)
    if not context.dev:
        why = _("there is no dev split")
        yield from _for_keys("train", ("patience", "dev_items"), why)
    if not train.guards:
        yield (
            "train.on_collapse",
            _("the guards are off (train.guards = false)"),
        )


def _ineffective_in_decoding(config: Config, context: SettingContext) -> _Reasons:
    method = config.decode.method
    if context.head == "set":
        return  # its decoding has settings of its own
    why = _("the method is '{method}'", method=method)
    if method != "beam":
        yield "decode.beams", why
    if method not in ("sample", "expected-metric"):
        yield from _for_keys("decode", ("temperature", *_SAMPLING), why)
    if method != "expected-metric":
        yield from _for_keys("decode", ("samples", "objective"), why)
