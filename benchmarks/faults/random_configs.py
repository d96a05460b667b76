"""Random configurations: a config and data drawn by number, and how its run ends: finished, refused, or crashed."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from random import Random
from typing import Any

from terakoya.errors import TerakoyaError
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.records import MEMORISED, subset_of
from terakoya.saved_model import read_skill

# Settings and their possible values. Many combinations make no sense: a refusal with a reason is as good as a run.
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
    "decode.method": ("beam", "sample", "expected-metric"),
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
NOUNS = ("りんご", "ばなな", "そら", "くさ", "ゆき", "からす", "みかん", "うみ", "すみれ", "はい")
COLOURS = ("あか", "きいろ", "あお", "みどり", "しろ", "くろ", "だいだい", "こん", "むらさき", "はいいろ")
LABELS = ("🍎", "🍌", "☁️", "🌿", "⛄", "🐦", "🍊", "🌊", "💜", "🌫️")
DIGITS = "〇一二三四五六七八九"
UNITS = ("g", "個", "大さじ", "cc")


def rows_of(kind: str, rng: Random) -> list[tuple[str, str]]:
    """240 (source, target) rows of a learnable task of this kind: text, labels, number or quantity."""
    rows: dict[str, str] = {}
    while len(rows) < 240:
        index, other_index = rng.randrange(10), rng.randrange(10)
        adjectives = rng.choice(("この", "あの", "ねえ、", "", "さあ、")) + rng.choice(("小さな", "大きな", "古い", ""))
        if kind == "text":
            rows[f"{adjectives}{NOUNS[index]}と{NOUNS[other_index]}の色は"] = COLOURS[index]
        elif kind == "labels":
            names = dict.fromkeys((LABELS[index], LABELS[other_index]))
            rows[f"{adjectives}{NOUNS[index]}と{NOUNS[other_index]}"] = " ".join(names)
        elif kind == "number":
            number = rng.randrange(10**4)
            rows["".join(DIGITS[int(digit)] for digit in str(number))] = str(number)
        else:
            quantity, factor, unit = rng.randrange(1, 60), rng.randrange(2, 9), rng.choice(UNITS)
            before, after = (unit, "") if unit == "大さじ" else ("", unit)
            rows[f"{adjectives}{before}{quantity}{after}を{factor}倍"] = f"{before}{quantity * factor}{after}"
    return list(rows.items())


def draw_settings(number: int, bases: dict[str, str]) -> tuple[dict[str, Any], str]:
    """(settings, kind of task) of run `number`; `bases` maps names to model bases."""
    rng = Random(f"settings/{number}")
    kind = rng.choice(("text", "number", "labels", "quantity"))
    settings: dict[str, Any] = {
        "name": "random", "seed": number,
        "task.data": "rows.tsv", "task.codec": kind,
        "model.base": bases[rng.choice(sorted(bases))],
        "train.steps": 12, "train.evaluate_every": 6, "train.threads": 1,
    }  # fmt: skip
    if kind == "number" and rng.random() < 0.7:
        settings["task.notation"] = rng.choice(
            ("bracketed", "groups", "short-groups", "pds", "exponent", "reversed", "calculator")
        )
    for key in rng.sample(sorted(CHOICES), rng.randint(1, 6)):
        settings[key] = rng.choice(CHOICES[key])
    if "train.epochs" in settings:
        settings.pop("train.steps")
    return settings, kind


def to_toml(settings: dict[str, Any]) -> str:
    """TOML of settings whose names are "section.key"."""
    sections: dict[str, list[str]] = {"": []}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join((f"[{name}]\n" if name else "") + "\n".join(lines) + "\n" for name, lines in sections.items())


def try_run(number: int, bases: dict[str, str], folder: Path) -> dict[str, Any]:
    """How run `number` ended: "finished", "refused" (with the message) or "crashed" (with the traceback).

    number  seed of settings and data
    bases   model bases by name
    folder  where data, config and run folder are written; must not exist
    """
    settings, kind = draw_settings(number, bases)
    folder.mkdir()
    lines = [f"{source}\t{target}" for source, target in rows_of(kind, Random(f"rows/{number}"))]
    (folder / "rows.tsv").write_text("\n".join(["source\ttarget", *lines]) + "\n", encoding="utf-8")
    (folder / "random.toml").write_text(to_toml(settings), encoding="utf-8")
    recorded = {key: Path(value).name if key == "model.base" else value for key, value in settings.items()}
    outcome: dict[str, Any] = {"number": number, "settings": recorded}
    try:
        result = pipeline.run(str(folder / "random.toml"), run_dir=folder / "runs", anyway=True)
    except TerakoyaError as error:
        empty = not (error.what and error.do)
        return outcome | {
            "ended": "crashed" if empty else "refused",
            "kind": type(error).__name__,
            "message": str(error),
        }
    except Exception:
        return outcome | {"ended": "crashed", "message": traceback.format_exc()}
    try:  # a finished run may not be refused any more
        check_run(result.folder, result, constrained=settings.get("decode.constrained", True))
    except Exception:
        return outcome | {"ended": "crashed", "message": traceback.format_exc()}
    return outcome | {"ended": "finished"}


def check_run(folder: Path, result: Any, *, constrained: bool) -> None:
    """Assert that scores lie in their intervals, predictions are legal, and both are reproduced from the run folder."""
    for score in result.scores:
        assert score.low <= score.value <= score.high, score
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    main_lines = [line for line in lines if subset_of(line) != MEMORISED]
    codec = read_skill(folder).task.codec
    for line in main_lines if constrained else ():
        grammar = codec.for_source(line["source"]) if hasattr(codec, "for_source") else codec
        assert line["prediction"] is None or grammar.complete(line["raw"]), line
    again = list(commands.predict(folder, [line["source"] for line in main_lines]))
    assert [one["prediction"] for one in again] == [line["prediction"] for line in main_lines], (
        "other predictions from the folder"
    )
    values, repeated = (
        {(score.who, score.metric): score.value for score in one.scores if score.who == "model" and not score.subset}
        for one in (result, commands.evaluate(folder))
    )
    assert repeated and repeated == {key: values[key] for key in repeated}
