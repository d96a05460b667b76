"""Steps, warm-up and learning rate, held against the data and against what is known to work."""

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
class Known:
    """Peak learning rates that are known to teach, and by whom."""

    low: float
    high: float
    source: str


T5 = Known(
    1e-5,
    1e-3,
    both(
        "Raffel et al., 2020 (1e-3); transformers' T5 page (1e-4 to 3e-4 with AdamW)",
        "Raffel ほか 2020（1e-3）、transformers の T5 のページ（AdamW で 1e-4〜3e-4）",
    ),
)
DECODER = Known(
    2e-6,
    3e-4,
    both(
        "Gemma's fine-tuning guide and the numerals log (5e-5); Qwen2.5 report (7e-6 to 7e-7)",
        "Gemma の微調整ガイドと数詞の実験記録（5e-5）、Qwen2.5 の報告（7e-6〜7e-7）",
    ),
)
ADAPTED = Known(
    2e-5,
    2e-3,
    both(
        "Hu et al., 2021, arXiv:2106.09685 (2e-4); ten times the rate of full training",
        "Hu ほか 2021、arXiv:2106.09685（2e-4）、全体を学習する場合の十倍",
    ),
)
SMALL = Known(
    1e-4,
    2e-2,
    both(
        "our own trials with built-in models (3e-3 below a million weights; docs/log.md)",
        "組み込みモデルでの自らの試行（百万パラメータ未満で 3e-3、docs/log.md）",
    ),
)
LARGER = Known(
    3e-5,
    6e-3,
    both(
        "our own trials with built-in models (6e-4 above a million weights; docs/log.md)",
        "組み込みモデルでの自らの試行（百万パラメータ以上で 6e-4、docs/log.md）",
    ),
)

EVIDENCE = Known(
    5e-3,
    1e-1,
    both(
        "our own trials with the built-in model for sets (3e-2 to 5e-2)",
        "集合用の組み込みモデルでの自らの試行（3e-2〜5e-2）",
    ),
)


def known_rates(card: ModelInfo) -> Known:
    """What is known for a model of this family and size."""
    if card.family == "set":
        return EVIDENCE
    if card.name in BUILT_IN:
        return SMALL if card.weights < 1_000_000 else LARGER
    if card.trainable < 0.5 * card.weights:
        return ADAPTED
    return T5 if card.family == "encoder-decoder" else DECODER


def schedule_findings(lesson: TrainingSetup) -> Iterator[Finding]:
    how = lesson.config.train
    steps, warmup = int(how.steps), warmup_steps(how, int(how.steps))
    if steps < 1:
        yield Finding(
            "steps",
            "stop",
            both("0 steps: nothing would be taught", "0ステップ：何も学習しない"),
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
    yield from _numbers(lesson)
    if lesson.task.draw is None:
        yield from _rows_seen(lesson, steps)


def rate_findings(lesson: TrainingSetup, card: ModelInfo) -> Iterator[Finding]:
    """The learning rate against the table above; a factor of three beyond it is still nobody's business."""
    rate, known = float(lesson.config.train.learning_rate), known_rates(card)
    if not math.isfinite(rate) or rate <= 0 or known.low / 3 <= rate <= known.high * 3:
        return
    side, side_ja = ("above", "上回って") if rate > known.high else ("below", "下回って")
    yield Finding(
        "learning-rate",
        "warn",
        both(
            f"a learning rate of {rate:.2g} lies {side} all that is known for a model like this ({known.low:g} to "
            f"{known.high:g}: {known.source})",
            f"学習率 {rate:.2g} は、このようなモデルで知られている範囲（{known.low:g}〜"
            f"{known.high:g}：{japanese(known.source)}）を{side_ja}いる",
        ),
        where="train.learning_rate",
        do=both(
            "Set train.learning_rate = 'auto', or be sure.",
            "train.learning_rate = 'auto' とするか、確信があってのことか確かめること。",
        ),
        values={"learning_rate": rate, "low": known.low, "high": known.high},
    )


def _numbers(lesson: TrainingSetup) -> Iterator[Finding]:
    """TOML knows `nan` and `inf`, and a sign is easily mistyped."""
    how = lesson.config.train
    sane = {
        "learning_rate": 0 < float(how.learning_rate) < math.inf,
        "weight_decay": 0 <= float(how.weight_decay) < math.inf,
        "betas": all(0 <= beta < 1 for beta in how.betas),
        "average": 0 <= float(how.average) < 1,
        "clip": how.clip < math.inf,
    }
    for key, is_sane in sane.items():
        if not is_sane:
            what = both(
                f"{key} = {getattr(how, key)} cannot be trained with", f"{key} = {getattr(how, key)} では学習できない"
            )
            yield Finding(
                "numbers",
                "stop",
                what,
                where=f"train.{key}",
                do=both(f"Leave train.{key} out, or mend it.", f"train.{key} を外すか、直すこと。"),
            )
    decayed = float(how.learning_rate) * float(how.weight_decay)
    if decayed > 1:
        what = both(
            f"weight decay times learning rate is {decayed:.3g}: every step wipes out the weights or enlarges them",
            f"重み減衰と学習率の積が {decayed:.3g} である：毎ステップ重みが消えるか、大きくなる",
        )
        yield Finding(
            "numbers",
            "stop",
            what,
            where="train.weight_decay",
            do=both("Set train.weight_decay = 0.01.", "train.weight_decay = 0.01 とすること。"),
        )
    if how.loss == "focal" and how.focal_gamma < 1 and how.focal_gamma != 0:
        what = both(
            f"focal_gamma = {how.focal_gamma:g}: below 1 the loss has an infinite slope where the model is sure",
            f"focal_gamma = {how.focal_gamma:g}：1 未満では、モデルが確信する所で損失の傾きが無限になる",
        )
        yield Finding(
            "numbers",
            "warn",
            what,
            where="train.focal_gamma",
            do=both("Set train.focal_gamma = 2.", "train.focal_gamma = 2 とすること。"),
        )


def _rows_seen(lesson: TrainingSetup, steps: int) -> Iterator[Finding]:
    how = lesson.config.train
    rows = len(lesson.split.train)
    passes = steps * int(how.batch_size) * how.accumulate / max(1, rows)
    figures = {"passes": passes}
    if passes < 1:
        what = both(
            f"{steps} steps see {passes:.0%} of the {rows:,} rows: the others are never taught",
            f"{steps}ステップで見るのは{rows:,}行のうち{passes:.0%}である：残りは一度も学習されない",
        )
        yield Finding(
            "steps",
            "warn",
            what,
            where="train.steps",
            do=both("Raise train.steps or train.epochs.", "train.steps か train.epochs を増やすこと。"),
            values=figures,
        )
    elif passes > 1000:
        what = both(
            f"{steps} steps see every row {passes:,.0f} times", f"{steps}ステップで全行を{passes:,.0f}回ずつ見る"
        )
        yield Finding(
            "steps",
            "warn",
            what,
            where="train.steps",
            do=both("Lower train.steps, or bring rows.", "train.steps を減らすか、行を増やすこと。"),
            values=figures,
        )
