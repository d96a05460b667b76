"""A run whose settings are drawn by lot: ended, refused in words, or fallen over. Shared with benchmarks."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from random import Random
from typing import Any

from terakoya.errors import TerakoyaError
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.saved_model import read_skill

# What is drawn from. Many a choice is foolish with another one: to be refused in words is as good as to run.
CHOICES: dict[str, tuple[Any, ...]] = {
    "model.family": ("encoder-decoder", "decoder"),
    "model.head": ("sequence", "set"),
    "model.width": (16, 24, 32),
    "model.layers": (1, 2),
    "model.dropout": (0.0, 0.2),
    "model.max_source": (4, 40, 200),
    "model.max_target": (3, 30),
    "model.adaptation": ("lora",),
    "model.lora_rank": (1, 8),
    "model.lora_dropout": (0.1,),
    "model.lora_targets": (("q_proj",), ("q", "v"), ("nowhere",)),
    "model.merge": (False,),
    "model.vocabulary": ("trimmed",),
    "model.new_tokens": ("none",),
    "model.new_token_init": ("mean", "random"),
    "model.label_init": ("random", "names"),
    "model.template": ("chat", "plain"),
    "model.instruction": ("答えだけを書け。",),
    "model.dtype": ("float32", "bfloat16", "float16"),
    "model.forward": ("library",),
    "split.method": ("exact", "stratified", "tail"),
    "split.folds": (3,),
    "split.dev": (0.0, 0.2),
    "train.steps": (1, 7, 20),
    "train.epochs": (0.5, 2.0),
    "train.batch_size": (1, 5, 64),
    "train.accumulate": (2, 3),
    "train.learning_rate": (1e-5, 3e-3, 1.0),
    "train.schedule": ("constant", "linear", "cosine", "one-cycle"),
    "train.warmup": (0.3, 5.0),
    "train.optimizer": ("adamw", "muon"),
    "train.weight_decay": (0.0, 0.3),
    "train.clip": (0.0, 0.1),
    "train.loss": ("cross-entropy", "focal", "class-balanced", "order-invariant"),
    "train.label_smoothing": (0.1,),
    "train.logit_adjustment": (1.0,),
    "train.label_order": ("canonical", "shuffled"),
    "train.loss_on": ("all",),
    "train.average": (0.0, 0.9),
    "train.curriculum": (True,),
    "train.evaluate_every": (1, 6),
    "train.dev_items": (1, 30),
    "train.select": ("loss", "last"),
    "train.crossfit": (False,),
    "train.refit": (True, False),
    "train.patience": (1,),
    "train.bucket": (False,),
    "train.prefix_cache": (False,),
    "train.checkpointing": (True,),
    "train.on_oom": ("halve",),
    "train.threads": (1, 2),
    "train.replicas": (1, 2),
    "train.guards": (False,),
    "train.on_collapse": ("stop",),
    "train.trackers": (("tensorboard",),),
    "decode.method": ("beam", "sample", "best-expected"),
    "decode.beams": (1, 3),
    "decode.temperature": (0.3, 2.0),
    "decode.top_k": (3,),
    "decode.top_p": (0.5,),
    "decode.repetition_penalty": (1.3,),
    "decode.constrained": (False,),
    "decode.objective": ("probability", "jaccard", "f1"),
    "decode.logit_adjustment": (0.5,),
    "decode.share_cap": (0.0, 1.1),
    "decode.max_tokens": (1, 6),
    "decode.batch_size": (1, 7),
    "decode.abstain_below": (0.3,),
    "score.smallest_gain": (0.5,),
    "score.resamples": (100,),
}
THINGS = ("りんご", "ばなな", "そら", "くさ", "ゆき", "からす", "みかん", "うみ", "すみれ", "はい")
COLOURS = ("あか", "きいろ", "あお", "みどり", "しろ", "くろ", "だいだい", "こん", "むらさき", "はいいろ")
LABELS = ("🍎", "🍌", "☁️", "🌿", "⛄", "🐦", "🍊", "🌊", "💜", "🌫️")
DIGITS = "〇一二三四五六七八九"
UNITS = ("g", "個", "大さじ", "cc")


def rows_of(kind: str, chance: Random) -> list[tuple[str, str]]:
    """Some 240 rows of a task that a model could learn."""
    found: dict[str, str] = {}
    while len(found) < 240:
        place, other = chance.randrange(10), chance.randrange(10)
        opening = chance.choice(("この", "あの", "ねえ、", "", "さあ、")) + chance.choice(
            ("小さな", "大きな", "古い", "")
        )
        if kind == "text":
            found[f"{opening}{THINGS[place]}と{THINGS[other]}の色は"] = COLOURS[place]
        elif kind == "labels":
            names = dict.fromkeys((LABELS[place], LABELS[other]))
            found[f"{opening}{THINGS[place]}と{THINGS[other]}"] = " ".join(names)
        elif kind == "number":
            number = chance.randrange(10**4)
            found["".join(DIGITS[int(digit)] for digit in str(number))] = str(number)
        else:
            many, times, unit = chance.randrange(1, 60), chance.randrange(2, 9), chance.choice(UNITS)
            before, behind = (unit, "") if unit == "大さじ" else ("", unit)
            found[f"{opening}{before}{many}{behind}を{times}倍"] = f"{before}{many * times}{behind}"
    return list(found.items())


def config_of(number: int, bases: dict[str, str]) -> tuple[dict[str, Any], str]:
    """The settings of run `number`, and the kind of its task."""
    chance = Random(f"settings/{number}")
    kind = chance.choice(("text", "number", "labels", "quantity"))
    told: dict[str, Any] = {
        "name": "lot", "seed": number,
        "task.data": "rows.tsv", "task.codec": kind,
        "model.base": bases[chance.choice(sorted(bases))],
        "train.steps": 12, "train.evaluate_every": 6, "train.threads": 1,
    }  # fmt: skip
    if kind == "number" and chance.random() < 0.7:
        told["task.notation"] = chance.choice(
            ("bracketed", "groups", "short-groups", "pds", "exponent", "reversed", "calculator")
        )
    for key in chance.sample(sorted(CHOICES), chance.randint(1, 6)):
        told[key] = chance.choice(CHOICES[key])
    if "train.epochs" in told:
        told.pop("train.steps")
    return told, kind


def written(told: dict[str, Any]) -> str:
    """TOML of settings whose names are section.key."""
    sections: dict[str, list[str]] = {"": []}
    for key, value in told.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join((f"[{name}]\n" if name else "") + "\n".join(lines) + "\n" for name, lines in sections.items())


def attempt(number: int, bases: dict[str, str], home: Path) -> dict[str, Any]:
    """How run `number` ended: "ran", "refused" with the words, or "fell" with all there is to know."""
    told, kind = config_of(number, bases)
    home.mkdir()
    lines = [f"{source}\t{target}" for source, target in rows_of(kind, Random(f"rows/{number}"))]
    (home / "rows.tsv").write_text("\n".join(["source\ttarget", *lines]) + "\n", encoding="utf-8")
    (home / "lot.toml").write_text(written(told), encoding="utf-8")
    shown = {key: Path(value).name if key == "model.base" else value for key, value in told.items()}
    outcome: dict[str, Any] = {"number": number, "settings": shown}
    try:
        result = pipeline.run(str(home / "lot.toml"), run_dir=home / "runs", anyway=True)
    except TerakoyaError as error:
        empty = not (error.what and error.do)
        return outcome | {"ended": "fell" if empty else "refused", "kind": type(error).__name__, "said": str(error)}
    except Exception:
        return outcome | {"ended": "fell", "said": traceback.format_exc()}
    try:  # what ran once may not be refused any more
        checked(result.folder, result, constrained=told.get("decode.constrained", True))
    except Exception:
        return outcome | {"ended": "fell", "said": traceback.format_exc()}
    return outcome | {"ended": "ran"}


def checked(folder: Path, result: Any, *, constrained: bool) -> None:
    """What a finished run promises: figures within their intervals, legal answers, the same ones and figures again."""
    for score in result.scores:
        assert score.low <= score.value <= score.high, score
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    own = [line for line in lines if line["part"] != "recall"]
    codec = read_skill(folder).task.codec
    for line in own if constrained else ():
        language = codec.bound(line["source"]) if hasattr(codec, "bound") else codec
        assert line["prediction"] is None or language.complete(line["raw"]), line
    again = list(commands.predict(folder, [line["source"] for line in own]))
    assert [one["prediction"] for one in again] == [line["prediction"] for line in own], "other answers from the folder"
    figures, anew = (
        {(score.who, score.metric): score.value for score in one.scores if score.who == "model" and not score.part}
        for one in (result, commands.evaluate(folder))
    )
    assert anew and anew == {key: figures[key] for key in anew}
