"""Settings that are set and have no effect: a setting that is silently ignored is worse than an error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from terakoya.config import Config
from terakoya.data.unused_settings import Reasons, no_effect_findings
from terakoya.i18n import Message, _
from terakoya.models.conformance import is_our_model
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.defaults import BUILT_IN, resolve
from terakoya.training.parallel.launch import launched_processes
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
_BASE_SCORES = ("base_scores", "base_prompt", "base_shots", "base_prompts", "base_weight")
_BUILT_IN = ("family", "width", "layers", "attention_heads", "dropout")
_OF_SEQUENCES = (
    "method",
    "beams",
    "samples",
    "temperature",
    *_SAMPLING,
    "repetition_penalty",
    "constrained",
    "reject",
    "max_tokens",
)
_SET_HEAD = _("a set head scores label sets and writes no tokens")


@dataclass(frozen=True)
class SettingContext:
    """What decides whether a setting can have an effect.

    built_in  whether the model is a built-in one
    plugin    whether an installed package brings it; it alone knows which settings of `[model]` it uses
    head      "sequence" or "set"
    family    "encoder-decoder", "decoder" or "set"
    dev       whether there is a dev split
    labels    whether the targets are labels
    drawn     whether the task draws its rows
    reverse   whether the task has a reverse rule
    replicas  whether `train.replicas` differs from what is the default here, and the model cannot be replicated
    processes  that torchrun started; 1 without it
    """

    built_in: bool
    plugin: bool
    head: str
    family: str
    dev: bool
    labels: bool
    drawn: bool
    reverse: bool
    replicas: bool
    processes: int = 1


def settings_findings(setup: TrainingSetup, model: Model) -> list[Finding]:
    """Every setting that differs from its default and has no effect.

    setup  task, split and resolved config
    model  the model to be trained
    """
    drawn, train = setup.task.draw is not None, setup.config.train
    default = resolve(
        train.model_copy(update={"replicas": "auto"}), model.info, len(setup.split.train), streaming=drawn
    )
    context = SettingContext(
        built_in=setup.config.model.base in BUILT_IN,
        plugin=not is_our_model(model),
        head=model.head,
        family=model.info.family,
        dev=bool(setup.split.dev),
        labels=setup.task.codec.name.startswith("labels"),
        drawn=drawn,
        reverse=setup.task.reverse is not None,
        processes=launched_processes(),
        replicas=train.replicas != default.replicas and not hasattr(model, "shared_weight_replica"),
    )
    return no_effect_findings(setup.config, _ineffective_settings(setup.config, context))


def _ineffective_settings(config: Config, context: SettingContext) -> Reasons:
    yield from _ineffective_in_model(config, context)
    yield from _ineffective_in_training(config, context)
    yield from _ineffective_in_decoding(config, context)
    yield from _ineffective_in_scoring(config, context)


def _for_keys(section: str, keys: Iterable[str], why: Message) -> Reasons:
    return ((f"{section}.{key}", why) for key in keys)


def _ineffective_in_model(config: Config, context: SettingContext) -> Reasons:
    if context.plugin:
        return
    if context.built_in:
        of_base = ("revision",) if config.model.base_scores else ()  # of the base whose scores are used
        unused = [key for key in _PRETRAINED if key not in of_base]
        yield from _for_keys("model", unused, _("a built-in model starts untrained"))
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
        # An experiment for either kind of model may name the family that the base has anyway.
        meant = config.model.family == context.family
        yield from _for_keys("model", (key for key in _BUILT_IN if not (meant and key == "family")), why)
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
    if context.head == "set":
        yield "model.max_target", _SET_HEAD
        if not context.built_in:
            yield from _for_keys("model", _BASE_SCORES, _("only a built-in set head takes scores of another base"))
        elif not config.model.base_scores:
            yield from _for_keys("model", _BASE_SCORES[1:], _("no base is named (model.base_scores)"))
        if context.built_in:
            yield from _for_keys(
                "model", (*_BUILT_IN, "max_source"), _("a built-in set head has features and no layers")
            )
    else:
        yield (
            "model.label_init",
            _("only a set head has a weight for each label"),
        )
        yield from _for_keys("model", _BASE_SCORES, _("only a built-in set head takes scores of another base"))


def _ineffective_in_training(config: Config, context: SettingContext) -> Reasons:
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
        if train.select == "loss":
            yield "train.select", why
        if train.stop_when_solved:
            yield "train.stop_when_solved", why
    if train.schedule != "wsd":
        why = _("the schedule is '{schedule}'", schedule=train.schedule)
        yield from _for_keys("train", ("decay", "decay_when_solved"), why)
    if context.built_in:
        yield "train.loss_on", _("a built-in model predicts no tokens of its input")
    yield from _ineffective_switches(config, context)
    if not train.guards:
        yield (
            "train.on_collapse",
            _("the guards are off (train.guards = false)"),
        )


def _ineffective_in_scoring(config: Config, context: SettingContext) -> Reasons:
    if context.built_in:
        why = _("a built-in model starts untrained")
        yield from _for_keys("score", ("untrained_shots", "untrained_minutes"), why)
    elif not config.score.untrained_base:
        why = _("the untrained base does not take the exam (score.untrained_base = false)")
        yield from _for_keys("score", ("untrained_shots", "untrained_minutes"), why)


def _ineffective_switches(config: Config, context: SettingContext) -> Reasons:
    """What was switched on where there is nothing to switch; off is off everywhere."""
    if not config.decode.reject:
        yield "train.reject_share", _("nothing is rejected (decode.reject = false)")
    if config.train.curriculum and not context.drawn:
        yield "train.curriculum", _("the rows are not drawn by a rule, which alone has easier ones to begin with")
    if config.train.prefix_cache and context.built_in:
        yield "train.prefix_cache", _("a built-in model has no prompt that its rows share")
    if context.built_in or context.head == "set":
        yield "train.shard", _("only a pretrained base that generates its targets is divided among processes")
    elif context.processes == 1:
        yield "train.shard", _("there is one process (torchrun starts several: docs/scale.md)")
    elif config.train.optimizer == "muon":
        yield "train.shard", _("Muon updates whole matrices (train.optimizer = 'muon')")
    if context.replicas:
        yield "train.replicas", _("this model cannot share its weights with a replica")


def _ineffective_in_decoding(config: Config, context: SettingContext) -> Reasons:
    method = config.decode.method
    if context.built_in:
        yield "decode.engine", _("a built-in model is computed by Terakoya alone")
    elif context.head == "set":
        yield "decode.engine", _SET_HEAD
    if not context.reverse:
        yield "decode.verify", _("the task has no reverse rule by which a prediction could be verified")
    if context.head == "set":
        yield from _for_keys("decode", _OF_SEQUENCES, _SET_HEAD)
        return
    for key in ("logit_adjustment", "share_cap"):
        if getattr(config.decode, key):  # switched off it is off
            yield f"decode.{key}", _("only a set head decodes so")
    why = _("the method is '{method}'", method=method)
    if method != "beam":
        yield "decode.beams", why
    if method not in ("sample", "expected-metric"):
        yield from _for_keys("decode", ("temperature", *_SAMPLING), why)
    if method != "expected-metric":
        yield from _for_keys("decode", ("samples", "objective"), why)
