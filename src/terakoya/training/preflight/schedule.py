"""Steps, warm-up and learning rate, compared with the data and with what is known to work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from terakoya.i18n import both, japanese
from terakoya.models.protocol import ModelInfo
from terakoya.records import Finding
from terakoya.training.defaults import BUILT_IN
from terakoya.training.prepare import TrainingSetup
from terakoya.training.schedule import warmup_steps


@dataclass(frozen=True)
class KnownRates:
    """Peak learning rates that are known to work, from `low` to `high`, and the `source` of that knowledge."""

    low: float
    high: float
    source: str


T5 = KnownRates(
    1e-5,
    1e-3,
    both(
        "Raffel et al., 2020 (1e-3); transformers' T5 page (1e-4 to 3e-4 with AdamW)",
        "Raffel ほか 2020（1e-3）、transformers の T5 のページ（AdamW で 1e-4〜3e-4）",
    ),
)
DECODER = KnownRates(
    2e-6,
    3e-4,
    both(
        "Gemma's fine-tuning guide and the numerals log (5e-5); Qwen2.5 report (7e-6 to 7e-7)",
        "Gemma の微調整ガイドと数詞の実験記録（5e-5）、Qwen2.5 の報告（7e-6〜7e-7）",
    ),
)
LORA = KnownRates(
    2e-5,
    2e-3,
    both(
        "Hu et al., 2021, arXiv:2106.09685 (2e-4); ten times the rate of full training",
        "Hu ほか 2021、arXiv:2106.09685（2e-4）、全体を学習する場合の十倍",
    ),
)
SMALL = KnownRates(
    1e-4,
    2e-2,
    both(
        "our own experiments with built-in models (3e-3 below a million weights; docs/log.md)",
        "組み込みモデルでの自らの実験（百万パラメータ未満で 3e-3、docs/log.md）",
    ),
)
LARGER = KnownRates(
    3e-5,
    6e-3,
    both(
        "our own experiments with built-in models (6e-4 above a million weights; docs/log.md)",
        "組み込みモデルでの自らの実験（百万パラメータ以上で 6e-4、docs/log.md）",
    ),
)

SET_HEAD = KnownRates(
    5e-3,
    1e-1,
    both(
        "our own experiments with the built-in model for sets (3e-2 to 5e-2)",
        "集合用の組み込みモデルでの自らの実験（3e-2〜5e-2）",
    ),
)


def known_rates(info: ModelInfo) -> KnownRates:
    """What is known for a model of this family and size.

    info  of the model
    """
    if info.family == "set":
        return SET_HEAD
    if info.name in BUILT_IN:
        return SMALL if info.weights < 1_000_000 else LARGER
    if info.trainable < 0.5 * info.weights:
        return LORA
    return T5 if info.family == "encoder-decoder" else DECODER


def schedule_findings(setup: TrainingSetup) -> Iterator[Finding]:
    """Whether steps and warm-up fit each other and the data, and whether every value can be trained with.

    setup  task, split and resolved config
    """
    train = setup.config.train
    steps, warmup = int(train.steps), warmup_steps(train, int(train.steps))
    if steps < 1:
        yield Finding(
            "steps",
            "stop",
            both("0 steps: nothing would be learnt", "0ステップ：何も学習しない"),
            where="train.steps",
            do=both("Set train.steps.", "train.steps を設定すること。"),
        )
        return
    if warmup >= steps:
        yield Finding(
            "warm-up",
            "stop",
            both(
                f"the warm-up takes {warmup} of {steps} steps: the learning rate only ever rises",
                f"全{steps}ステップのうち{warmup}ステップがウォームアップである：学習率は上がるだけで終わる",
            ),
            where="train.warmup",
            do=both(
                "Set train.warmup = 0.1 (a tenth of all steps).", "train.warmup = 0.1（全ステップの一割）とすること。"
            ),
            values={"warmup": float(warmup), "steps": float(steps)},
        )
    elif warmup > 0.5 * steps:
        what = both(
            f"the warm-up takes {warmup} of {steps} steps: more than half of the training is below its rate",
            f"全{steps}ステップのうち{warmup}ステップがウォームアップである："
            "学習の半分より長く、本来の学習率に届かない",
        )
        yield Finding(
            "warm-up",
            "warn",
            what,
            where="train.warmup",
            do=both("Set train.warmup = 0.1.", "train.warmup = 0.1 とすること。"),
        )
    yield from _number_findings(setup)
    if setup.task.draw is None:
        yield from _coverage_findings(setup, steps)


def rate_findings(setup: TrainingSetup, info: ModelInfo) -> Iterator[Finding]:
    """The learning rate against the known ones above; up to a factor of three beyond them is no concern.

    setup  the resolved config
    info   family and size of the model
    """
    rate, known = float(setup.config.train.learning_rate), known_rates(info)
    if not math.isfinite(rate) or rate <= 0 or known.low / 3 <= rate <= known.high * 3:
        return
    side = both("above", "上回って") if rate > known.high else both("below", "下回って")
    low, high, source = known.low, known.high, known.source
    yield Finding(
        "learning-rate",
        "warn",
        both(
            f"a learning rate of {rate:.2g} lies {side} all that is known for a model like this ({low:g} to {high:g}: "
            f"{source})",
            f"学習率 {rate:.2g} は、このようなモデルで知られている範囲（{low:g}〜{high:g}：{japanese(source)}）を"
            f"{japanese(side)}いる",
        ),
        where="train.learning_rate",
        do=both(
            "Set train.learning_rate = 'auto', unless it is intended.",
            "train.learning_rate = 'auto' とするか、確信があってのことか確かめること。",
        ),
        values={"learning_rate": rate, "low": low, "high": high},
    )


def _number_findings(setup: TrainingSetup) -> Iterator[Finding]:
    """TOML knows `nan` and `inf`, and a sign is easily mistyped."""
    train = setup.config.train
    sane = {
        "learning_rate": 0 < float(train.learning_rate) < math.inf,
        "weight_decay": 0 <= float(train.weight_decay) < math.inf,
        "betas": all(0 <= beta < 1 for beta in train.betas),
        "average": 0 <= float(train.average) < 1,
        "clip": train.clip < math.inf,
    }
    for key, is_sane in sane.items():
        if not is_sane:
            value = getattr(train, key)
            what = both(f"{key} = {value} cannot be trained with", f"{key} = {value} では学習できない")
            yield Finding(
                "numbers",
                "stop",
                what,
                where=f"train.{key}",
                do=both(f"Leave train.{key} out, or correct it.", f"train.{key} を外すか、直すこと。"),
            )
    decayed = float(train.learning_rate) * float(train.weight_decay)
    if decayed > 1:
        what = both(
            f"weight decay times learning rate is {decayed:.3g}: every step erases the weights or enlarges them",
            f"重み減衰と学習率の積が {decayed:.3g} である：毎ステップ重みが消えるか、大きくなる",
        )
        yield Finding(
            "numbers",
            "stop",
            what,
            where="train.weight_decay",
            do=both("Set train.weight_decay = 0.01.", "train.weight_decay = 0.01 とすること。"),
        )
    gamma = train.focal_gamma
    if train.loss == "focal" and gamma < 1 and gamma != 0:
        what = both(
            f"focal_gamma = {gamma:g}: below 1 the loss has an infinite gradient where the model is certain",
            f"focal_gamma = {gamma:g}：1 未満では、モデルの確率が 1 に近い所で損失の勾配が無限になる",
        )
        yield Finding(
            "numbers",
            "warn",
            what,
            where="train.focal_gamma",
            do=both("Set train.focal_gamma = 2.", "train.focal_gamma = 2 とすること。"),
        )


def _coverage_findings(setup: TrainingSetup, steps: int) -> Iterator[Finding]:
    train = setup.config.train
    rows = len(setup.split.train)
    epochs = steps * int(train.batch_size) * train.accumulate / max(1, rows)
    values = {"passes": epochs}
    if epochs < 1:
        what = both(
            f"{steps} steps see {epochs:.0%} of the {rows:,} rows: the others are never trained on",
            f"{steps}ステップで見るのは{rows:,}行のうち{epochs:.0%}である：残りは一度も学習に使われない",
        )
        yield Finding(
            "steps",
            "warn",
            what,
            where="train.steps",
            do=both("Raise train.steps or train.epochs.", "train.steps か train.epochs を増やすこと。"),
            values=values,
        )
    elif epochs > 1000:
        what = both(
            f"{steps} steps see every row {epochs:,.0f} times", f"{steps}ステップで全行を{epochs:,.0f}回ずつ見る"
        )
        yield Finding(
            "steps",
            "warn",
            what,
            where="train.steps",
            do=both("Lower train.steps, or add rows.", "train.steps を減らすか、行を増やすこと。"),
            values=values,
        )
