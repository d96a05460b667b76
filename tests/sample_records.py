"""Records that look like real ones, for the tests of the page and for looking at it. Drawn from a seed."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from terakoya.data.statistics import dataset_statistics
from terakoya.records import Example, Finding, Score, Signature, Split, Step
from terakoya.reporting import RunRecord
from terakoya.scoring.statistics.intervals import wilson

DIGITS = "〇一二三四五六七八九"
FORMS = ("plain", "daiji", "mixed", "positional", "digits with units", "bare unit")
TOPICS = ("カフェ", "雨", "試験", "猫", "給料日")
ERRORS = ("zeros lost", "digit wrong", "place skipped", "unreadable")
EMOJI = list("😀 ✨ 🎉 😭 🍜 🌸 💻 ☕ 🐈 🎵 😴 🏃 📚 🌧 🍣 🔥 💰 🎂 🚃 👀".replace(" ", ""))


def score(who: str, right: int, n: int, part: str = "") -> Score:
    low, high = wilson(right, n)
    return Score(
        who, "exact", right / n, low, high, n, Signature("3f9c0a1be2d47755", "exact|v:1", "greedy", "number"), part
    )


def verdict(state: str, value: float, baseline: float, n: int, best: str) -> dict[str, Any]:
    gain = value - baseline
    return {
        "state": state, "best": best, "value": value, "baseline": baseline, "gain": gain, "low": gain - 0.03,
        "high": gain + 0.03, "p": 1e-9, "n": n, "detectable": 0.02, "needed": None, "smallest_gain": 0.02,
    }  # fmt: skip


def numerals(n: int = 1000, seed: int = 7) -> RunRecord:
    """A model that has nearly learnt to read numbers."""
    rng = Random(seed)
    items = [_numeral(rng) for _ in range(n)]
    right = sum(item["verdict"] for item in items)
    steps = tuple(_step(number, rng) for number in range(10, 2401, 10))
    return RunRecord(
        name="kannume-20261121-101500",
        config={
            "name": "kannume", "seed": 7, "task": {"use": "numerals", "notation": "groups"}, "model": {"base": "small"},
            "train": {"steps": "auto", "learning_rate": "auto", "batch_size": "auto", "loss": "cross-entropy"},
            "decode": {"method": "greedy"}, "split": {"method": "hash"},
        },
        manifest=_manifest(),
        findings=(
            Finding("recall", "note", "182 items of the exam are taught on purpose and scored apart", "exam"),
            Finding("hole", "warn", "magnitude 10^15 stands in 0.4% of the training examples", "train",
                    "Raise the share of large magnitudes in the sampler.", (3, 8, 21)),
        ),
        steps=steps,
        scores=(
            score("model", int(right), n), score("rule", n, n), score("nearest neighbour", n // 9, n),
            score("most frequent", 3, n), score("constant", 3, n), score("model", 180, 182, "memorised"),
        ),
        verdict=verdict("learned", right / n, (n // 9) / n, n, "nearest neighbour"),
        predictions=tuple(items),
        dataset=dataset_statistics(Split(*(_examples(rng, size) for size in (182, 400, 1000))), drawn=True),
    )  # fmt: skip


def emoji(n: int = 400, seed: int = 3) -> RunRecord:
    """A model that predicts ✨ for nearly everything: collapsed, and not learned."""
    rng = Random(seed)
    weights = [1 / (rank + 1.5) for rank in range(len(EMOJI))]
    targets = [" ".join(dict.fromkeys(rng.choices(EMOJI, weights, k=3))) for _ in range(n)]
    items = []
    for number, target in enumerate(targets):
        answer = "✨ 😀" if rng.random() < 0.7 else " ".join(rng.sample(EMOJI, 2))
        both, either = set(target.split()) & set(answer.split()), set(target.split()) | set(answer.split())
        items.append({
            "source": f"今日は{rng.choice(TOPICS)}だった。{number}", "target": target,
            "raw": answer, "prediction": answer, "verdict": len(both) / len(either), "subset": "",
            "tags": {"labels": str(len(target.split()))}, "probability": round(rng.random() * 0.3, 4),
        })  # fmt: skip
    value = sum(item["verdict"] for item in items) / n
    mark = Signature("77aa0a1be2d4aaaa", "jaccard|v:1", "best-expected", "labels", "91aa")
    rows = [("model", value), ("constant", value + 0.04), ("most frequent", value + 0.02), ("nearest neighbour", 0.11)]
    split = Split(tuple(Example(f"文{i}", target) for i, target in enumerate(targets)), (), ())
    return RunRecord(
        name="絵文字-20261121-113000",
        manifest=_manifest() | {"openings": 3, "model": {"name": "small", "family": "set", "weights": 812_400}},
        findings=(Finding("collapse", "stop", "one answer (✨ 😀) was given to 70% of the dev items from step 600 on",
                          "train", "Teach the labels as sets: model.head = \"set\"."),),
        steps=tuple(_step(number, rng, 3.2) for number in range(20, 1001, 20)),
        scores=tuple(Score(who, "jaccard", v, v - 0.025, v + 0.025, n, mark) for who, v in rows),
        verdict=verdict("not learned", value, value + 0.04, n, "constant"),
        predictions=tuple(items),
        dataset=dataset_statistics(split, str.split),
        cost={"provider": "example", "requests": 2000, "tokens_in": 412_000, "tokens_out": 98_000, "charged": 0.68},
    )  # fmt: skip


def _numeral(rng: Random) -> dict[str, Any]:
    size = rng.randint(4, 15)
    digits = "".join(rng.choice(DIGITS) for _ in range(size))
    target = "".join(str(DIGITS.index(char)) for char in digits).lstrip("0") or "0"
    form, good = rng.choice(FORMS), rng.random() < 0.985
    item = {
        "source": digits + ("円" if form == "mixed" else ""), "target": target, "raw": f"({target})",
        "prediction": target, "verdict": 1.0, "subset": "", "tags": {"form": form, "magnitude": str(size)},
        "probability": round(1 - rng.random() ** 3 * 0.2, 4),
    }  # fmt: skip
    if good:
        return item
    error = rng.choice(ERRORS)
    wrong = None if error == "unreadable" else target[:-1] + "0" * rng.randint(0, 2) + "7"
    raw = f"({target[:3]}||" if wrong is None else f"({wrong})"
    return item | {"raw": raw, "prediction": wrong, "verdict": 0.0, "error": error,
                   "probability": round(rng.random() * 0.8, 4)}  # fmt: skip


def _examples(rng: Random, n: int) -> tuple[Example, ...]:
    made = (_numeral(rng) for _ in range(n))
    return tuple(Example(item["source"], item["target"], tags=tuple(item["tags"].items())) for item in made)


def _step(number: int, rng: Random, floor: float = 0.02) -> Step:
    loss = floor + 5.3 * math.exp(-number / 220) + rng.random() * 0.08
    share = 1 / (1 + math.exp(-(number - 700) / 160)) if floor < 1 else 0.18
    dev = {
        "exact": min(share, 0.99),
        "jaccard": share,
        "top_share": 1 - share * 0.9,
        "distinct_share": share * 0.97,
        "loss": loss + 0.1,
    }
    return Step(number, loss, loss, 1e-3, 0.8, 4096, number * 0.11, dev if number % 200 == 0 else None)


def _manifest() -> dict[str, Any]:
    return {
        "format": 1, "state": "done", "seed": 7, "openings": 1,
        "times": {"started": "2026-11-21T10:15:00+09:00", "ended": "2026-11-21T10:19:42+09:00"},
        "versions": {"python": "3.11.2", "terakoya": "0.1.0", "torch": "2.13.0"},
        "machine": {"system": "Linux", "release": "6.1", "processor": "a processor", "cores": 2, "memory": 4 * 2**30},
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "changed": True},
        "fingerprints": {"exam": "3f9c0a1be2d47755", "data": "aa9c0a1be2d47711"},
        "model": {"name": "small", "family": "encoder-decoder", "weights": 1_204_736, "vocabulary": 96},
        "values": {"even_guess": math.log(96), "prior_entropy": 2.31},
        "resolved": {"train": {"steps": 2400, "learning_rate": 0.002, "batch_size": 64}},
    }  # fmt: skip
