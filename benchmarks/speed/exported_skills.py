"""A pretrained skill in other engines: its exam before and after, and CPU time of a prediction.

    python -m benchmarks.speed.exported_skills RUN [--targets gguf:q8_0 ct2:int8] [--limit 20] [--keep DIR]

Original and artifacts predict every exam item of the run, in one process with one thread each; `generate` of
transformers predicts the first PLAIN items from the folder that is exported for the Hub, one prompt at a time, as its
users would. CPU time is that of the whole process, engine threads included. Artifacts and predictions are kept in DIR
as they are made: interrupted, the same command goes on. Writes results/exported_skills.md and .json; a trial of fewer
than 500 items is only printed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya.exporters.exporter import ExportedSkill, ExportOptions, find_exporter
from terakoya.exporters.proof import Proof
from terakoya.exporters.prove import compare_predictions, exam_items, measure
from terakoya.records import Prediction
from terakoya.runs import read_lines
from terakoya.saved_model import Skill, read_skill, read_task

_CHUNK = 100  # items, after which what was measured is kept
_ENOUGH = 500  # items, from which a result is one
Predict = Callable[[Sequence[str]], Sequence[Prediction]]
TARGETS = ("gguf:f16", "gguf:q8_0", "ct2:float32", "ct2:int8")


@dataclass(frozen=True)
class Measured:
    """Predictions and the CPU milliseconds of one."""

    predictions: list[Prediction]
    milliseconds: float


def measure_cpu(predict: Callable[[], Predict], texts: Sequence[str], kept: Path) -> Measured:
    """Predict what is not kept yet, a chunk at a time.

    predict  opens what predicts; called only where something is left
    texts    of all items
    kept     JSON Lines file, one line a chunk
    """
    lines = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()] if kept.is_file() else []
    done = sum(len(line["predictions"]) for line in lines)
    ready = predict() if done < len(texts) else None
    for first in range(done, len(texts), _CHUNK):
        assert ready is not None
        some = texts[first : first + _CHUNK]
        started = time.process_time()
        found = list(ready(some))
        spent = time.process_time() - started
        values = [[one.source, one.raw, one.text, one.probability] for one in found]
        lines.append({"seconds": spent, "predictions": values})
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
    predictions = [Prediction(*values) for line in lines for values in line["predictions"]]
    milliseconds = 1000 * sum(line["seconds"] for line in lines) / len(predictions)
    return Measured(predictions[: len(texts)], milliseconds)


def one_by_one(predict: Predict) -> Predict:
    """The predictions of `predict`, each in a call of its own."""
    return lambda texts: [predict([text])[0] for text in texts]


class OpenedTarget:
    """An artifact that is written and opened when it is first needed; its facts are kept beside its predictions.

    target  such as "gguf:q8_0"
    place   folder of artifacts and predictions
    skill   returns the original
    """

    def __init__(self, target: str, place: Path, skill: Callable[[], Skill]) -> None:
        self.target, self.place, self.skill = target, place, skill
        self.name = target.replace(":", "-")
        self.exported: ExportedSkill | None = None

    def predict(self) -> Predict:
        """What predicts."""
        if self.exported is None:
            artifact = artifact_of(self.skill, self.target, self.place)
            self.exported = find_exporter(self.target.partition(":")[0]).open(artifact)
            facts = {"runtime": self.exported.runtime, "size": measure(artifact)[0]}
            self._facts.write_text(json.dumps(facts), encoding="utf-8")
        return self.exported.predict

    @property
    def _facts(self) -> Path:
        return self.place / f"{self.name}.facts.json"

    @property
    def runtime(self) -> str:
        """Name and version."""
        return str(json.loads(self._facts.read_text(encoding="utf-8"))["runtime"])

    @property
    def size(self) -> int:
        """Bytes of the artifact."""
        return int(json.loads(self._facts.read_text(encoding="utf-8"))["size"])

    def close(self) -> None:
        """Release what the runtime holds."""
        if self.exported is not None:
            self.exported.close()


def _transformers(skill: Skill, place: Path) -> Predict:
    return plain_generate(skill, artifact_of(lambda: skill, "hub", place))


def plain_generate(skill: Any, folder: Path) -> Callable[[Sequence[str]], list[Prediction]]:
    """Predictions by `generate` of transformers, with the prompts of the skill and without a grammar."""
    from transformers import AutoModelForCausalLM

    from terakoya.models.protocol import Query

    module: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = skill.model.prompt

    def predict(texts: Sequence[str]) -> list[Prediction]:
        found = []
        for text in texts:
            ids = torch.tensor([prompt.prompt_ids(Query(text))])
            output = module.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=skill.max_tokens + 1
            )
            raw = prompt.tokenizer.decode([one for one in output[0, ids.shape[1] :].tolist() if one != prompt.end])
            found.append(Prediction(text, raw, skill.task.codec.read(raw)))
        return found

    return predict


def row(name: str, proof: Proof | None, milliseconds: float, n: int, size: int) -> tuple[str, ...]:
    """One line of the table."""
    megabytes = f"{size / 1e6:.0f}" if size else ""
    if proof is None:
        return name, str(n), "", "", "", f"{milliseconds:.1f}", megabytes
    change = f"{proof.after:.4f} [{proof.low:+.4f}, {proof.high:+.4f}]"
    return name, str(n), f"{proof.equal}", change, proof.state, f"{milliseconds:.1f}", megabytes


def artifact_of(skill: Callable[[], Skill], target: str, place: Path) -> Path:
    """The artifact of a target such as "gguf:q8_0", written where it is not kept."""
    name, _colon, quantisation = target.partition(":")
    folder = place / target.replace(":", "-")
    finished = place / f"{folder.name}.path"
    if not finished.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        artifact = find_exporter(name).write(skill(), folder, ExportOptions(quantisation))
        finished.write_text(str(artifact), encoding="utf-8")
    return Path(finished.read_text(encoding="utf-8"))


def main() -> None:
    """Measures every target for the run that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--single", type=int, default=40, help="items that are predicted one at a time as well")
    parser.add_argument("--plain", type=int, default=10, help="items that transformers predicts")
    parser.add_argument("--limit", type=int, default=0, help="exam items; 0 is all")
    parser.add_argument("--keep", type=Path, help="folder for artifacts and predictions")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        place = args.keep or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        page, values = measure_all(args.run, args.targets, args, place)
    print(page if 0 < args.limit < _ENOUGH else write_results("exported_skills", page, values))


def measure_all(
    run: Path, targets: Sequence[str], counts: argparse.Namespace, place: Path
) -> tuple[str, dict[str, Any]]:
    """The page and its values.

    run      whose skill it is
    targets  each with its quantisation
    counts   of items: limit, single and plain
    place    folder for artifacts and predictions
    """
    limit, plain = counts.limit, counts.plain
    scored: Any = SimpleNamespace(task=read_task(run))  # whose codec and metrics compare; the model is opened if needed
    opened_skill = cache(lambda: read_skill(run, scored=True))
    items = exam_items(list(read_lines(run / "predictions.jsonl")))[: limit or None]
    texts = [item.source for item in items]
    ours = measure_cpu(lambda: opened_skill().predict, texts, place / "terakoya.jsonl")
    before = ours.predictions
    some = texts[: counts.single]
    single = measure_cpu(lambda: one_by_one(opened_skill().predict), some, place / "single.jsonl")
    same = compare_predictions(scored, items, before, before)
    rows = [row("Terakoya, in batches", same, ours.milliseconds, len(items), 0)]
    rows.append(row("Terakoya, one at a time", None, single.milliseconds, counts.single, 0))
    values: dict[str, Any] = {"terakoya": {"batches_ms": ours.milliseconds, "single_ms": single.milliseconds}}
    for target in targets:
        engine = OpenedTarget(target, place, opened_skill)
        found = measure_cpu(engine.predict, texts, place / f"{engine.name}.jsonl")
        proof = compare_predictions(scored, items, before, found.predictions)
        rows.append(row(f"{target}, {engine.runtime}", proof, found.milliseconds, len(items), engine.size))
        values[target] = {**asdict(proof), "runtime": engine.runtime, "cpu_ms": found.milliseconds}
        if not target.startswith("gguf"):  # its server predicts one at a time anyway
            one = measure_cpu(lambda one=engine: one_by_one(one.predict()), some, place / f"{engine.name}-single.jsonl")  # type: ignore[misc]
            rows.append(row(f"{target}, one at a time", None, one.milliseconds, len(some), 0))
            values[target]["single_ms"] = one.milliseconds
        engine.close()
        print(*rows[-1], flush=True)
    if plain:
        found = measure_cpu(lambda: _transformers(opened_skill(), place), texts[:plain], place / "transformers.jsonl")
        proof = compare_predictions(scored, items[:plain], before[:plain], found.predictions)
        rows.append(row("transformers, generate, no grammar", proof, found.milliseconds, plain, 0))
        values["transformers"] = {**asdict(proof), "cpu_ms": found.milliseconds}
    head = ("engine", "n", "equal", f"{scored.task.metric} [95% of the difference]", "verdict", "CPU ms each", "MB")
    summary = machine_summary(("torch", "transformers", "ctranslate2", "xllamacpp"))
    page = f"# A trained skill in other engines: {scored.task.name}\n\n{summary}, one thread.\n\n"
    return page + markdown_table(head, rows), values


if __name__ == "__main__":
    main()
