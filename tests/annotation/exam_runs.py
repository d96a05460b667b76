"""A finished run with an exam of any size, made without a training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from terakoya.records import Example, Score, Signature, set_fingerprint
from terakoya.runs import Run
from terakoya.scoring.statistics.intervals import mean_interval


def finished_run(
    parent: Path, name: str, items: int = 200, wrong: int = 5, leave_out: frozenset[str] = frozenset()
) -> Path:
    """Every `wrong`-th item is predicted wrongly; items whose source is in `leave_out` are not in the exam."""
    numbers = [n for n in range(items) if f"文{n}です" not in leave_out]
    examples = [Example(f"文{n}です", f"答{n % 9}") for n in numbers]
    values = [float(n % wrong > 0) for n in numbers]
    with Run.create(parent, name) as run:
        run.rewrite(
            "predictions.jsonl",
            (
                {
                    "source": one.source, "target": one.target, "raw": one.target if value else "答X",
                    "prediction": one.target if value else "答X", "verdict": value, "subset": "", "tags": {},
                    "probability": round(n % 97 / 97, 4), "fingerprint": one.fingerprint, "group": one.source,
                    **({} if value else {"error": ("wrong", "digit")[n % 2]}),
                }
                for n, one, value in zip(numbers, examples, values, strict=True)
            ),
        )  # fmt: skip
        mean = mean_interval(values)
        signature = Signature(set_fingerprint(examples), "exact|v:1", "greedy", "text")
        score = Score("model", "exact", mean.value, mean.low, mean.high, mean.n, signature)
        verdict = {"state": "learned", "words": {"en": "Learned.", "ja": "学習した。"}}
        run.write_json("scores.json", {"scores": [asdict(score)], "verdict": verdict})
        run.finish("done")
        return run.path
