"""A pretrained skill in other engines: its exam before and after, and CPU time of a prediction.

    python -m benchmarks.speed.exported_skills RUN [--targets gguf:q8_0 ct2:int8] [--plain 40]

Original and artifacts predict every exam item of the run, in one process with one thread each; `generate` of
transformers predicts the first PLAIN items from the folder that is exported for the Hub, one prompt at a time, as its
users would. CPU time is that of the whole process, engine threads included. Writes results/exported_skills.md
and .json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya.exporters.exporter import ExportOptions, find_exporter
from terakoya.exporters.proof import Proof
from terakoya.exporters.prove import compare_predictions, exam_items, measure
from terakoya.records import Prediction
from terakoya.runs import read_lines
from terakoya.saved_model import Skill, read_skill

TARGETS = ("gguf:f16", "gguf:q8_0", "ct2:float32", "ct2:int8")


def cpu_per_prediction(
    predict: Callable[[Sequence[str]], Sequence[Prediction]], texts: Sequence[str]
) -> tuple[list[Prediction], float]:
    """The predictions, and the CPU milliseconds of one."""
    started = time.process_time()
    found = list(predict(texts))
    return found, 1000 * (time.process_time() - started) / len(texts)


def one_by_one(skill: Skill) -> Callable[[Sequence[str]], list[Prediction]]:
    """The skill's predictions, each in a call of its own."""
    return lambda texts: [skill.predict([text])[0] for text in texts]


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


def main() -> None:
    """Measures every target for the run that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--plain", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    skill = read_skill(args.run, scored=True)
    items = exam_items(list(read_lines(args.run / "predictions.jsonl")))
    texts = [item.source for item in items]
    before, ours = cpu_per_prediction(skill.predict, texts)
    _found, single = cpu_per_prediction(one_by_one(skill), texts[: args.plain])
    rows = [row("Terakoya, in batches", compare_predictions(skill, items, before, before), ours, len(items), 0)]
    rows.append(row("Terakoya, one at a time", None, single, args.plain, 0))
    values: dict[str, Any] = {"terakoya": {"batches_ms": ours, "single_ms": single}}
    with tempfile.TemporaryDirectory() as place:
        for target in args.targets:
            name, _colon, quantisation = target.partition(":")
            exporter = find_exporter(name)
            folder = Path(place) / target.replace(":", "-")
            folder.mkdir()
            artifact = exporter.write(skill, folder, ExportOptions(quantisation))
            opened = exporter.open(artifact)
            after, milliseconds = cpu_per_prediction(opened.predict, texts)
            proof = compare_predictions(skill, items, before, after)
            rows.append(row(f"{target}, {opened.runtime}", proof, milliseconds, len(items), measure(artifact)[0]))
            values[target] = {**asdict(proof), "runtime": opened.runtime, "cpu_ms": milliseconds}
            opened.close()
            print(*rows[-1], flush=True)
        if args.plain:
            folder = Path(place) / "hub"
            folder.mkdir()
            find_exporter("hub").write(skill, folder, ExportOptions())
            found, milliseconds = cpu_per_prediction(plain_generate(skill, folder), texts[: args.plain])
            proof = compare_predictions(skill, items[: args.plain], before[: args.plain], found)
            rows.append(row("transformers, generate, no grammar", proof, milliseconds, args.plain, 0))
            values["transformers"] = {**asdict(proof), "cpu_ms": milliseconds}
    head = ("engine", "n", "equal", f"{skill.task.metric} [95% of the difference]", "verdict", "CPU ms each", "MB")
    summary = machine_summary(("torch", "transformers", "ctranslate2", "xllamacpp"))
    page = f"# A trained skill in other engines: {skill.task.name}\n\n{summary}, one thread.\n\n"
    print(write_results("exported_skills", page + markdown_table(head, rows), values))


if __name__ == "__main__":
    main()
