"""Where a learning rate is too high for a pretrained base, and which signal of the first 20 steps says so.

    python -m benchmarks.quality.rate_edge BASE [--tasks …] [--seeds …] [--factors …] [--planned 100] [--steps 20]
    python -m benchmarks.quality.rate_edge --table       # only the table of the runs that there are

Each run fine-tunes the base on 160 rows of a task by today's recipe (mixed precision, linear decay over `--planned`
steps, no label smoothing or weight decay) at a multiple of the default rate, and ends after `--steps` of them. Logged:
training loss, gradient norm, loss on dev, what the right input is worth there (`gain`), and what the base has forgotten
of running text (`RunningText.forgotten`). A run of all steps also predicts dev and 80 exam items: a rate has fallen
where its value is below half of that of the default rate, same task and seed. A threshold is to be judged on seeds that
did not choose it. A finished run is not repeated.
Written: results/rate_edge.md and .json; the runs stand in work/rate_edge/.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch

from benchmarks.quality.running_text import RunningText
from benchmarks.reporting import WORK as WORK_FOLDERS
from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya import registry
from terakoya.decoding import evaluation_mode
from terakoya.decoding.predict import predict_queries, query_of
from terakoya.models.pretrained.model import PretrainedCausal
from terakoya.models.protocol import Model, Pair
from terakoya.pipeline.dataset import Dataset, load_dataset
from terakoya.records import Example, Split
from terakoya.runs import read_json
from terakoya.scoring.health import health
from terakoya.scoring.score_predictions import score_predictions
from terakoya.training.dev_evaluation import dev_pairs, rotate_queries
from terakoya.training.losses import plain
from terakoya.training.prepare import TrainingSetup, make_batches, prepare_training
from terakoya.training.step import Engine

WORK = WORK_FOLDERS / "rate_edge"
TRAIN, DEV, EXAM = 160, 40, 80  # rows
POINTS = (0, 5, 10, 15, 20, 40, 70, 100)  # steps at which the text is read
_DEV_FROM = 20  # steps, where dev is
SHOWN = (10, 15, 20)  # in the table
TASKS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kannume": ("kannume-160", (f"score.exam_items={EXAM}",)),
    "recipe": ("recipe-scaling", ("model.width=auto",)),
    "janum": ("janum", ()),
    "martian": ("martian", ()),
}
_RECIPE = (
    "train.batch_size=16", "train.label_smoothing=0", "train.weight_decay=0", "train.warmup=6", "model.dtype=mixed",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What trainings at different rates have in common: task, seed, steps planned and done, further settings."""

    task: str
    seed: int
    planned: int
    steps: int
    settings: tuple[str, ...] = ()

    def file(self, factor: float) -> Path:
        """Where the training at this multiple of the default rate is kept."""
        parts = (self.task, self.seed, f"{factor:g}", self.planned, self.steps, *self.settings)
        return WORK / ("_".join(map(str, parts)) + ".json")


def open_task(base: str, plan: Plan) -> tuple[TrainingSetup, PretrainedCausal, int]:
    """The base made ready for 160 rows of a task, its exam cut to 80 items."""
    experiment, own = TASKS[plan.task]
    length = (f"train.steps={plan.planned}", f"train.evaluate_every={plan.planned}")
    settings = (f"seed={plan.seed}", f"model.base={base}", *length, *_RECIPE, *own, *plan.settings)
    dataset = few_rows(load_dataset(registry.find_experiment(experiment, settings)), plan.seed)
    maker = registry.find_model_maker(base, dataset.folder)
    setup, model, max_tokens = prepare_training(dataset.task, dataset.split, dataset.config, maker)
    if not isinstance(model, PretrainedCausal):
        raise SystemExit(f"{base} is no causal language model")
    return setup, model, max_tokens


def few_rows(dataset: Dataset, seed: int) -> Dataset:
    """160 fixed rows for training, 40 for dev and 80 for the exam, drawn where the task draws."""
    task, split, rng = dataset.task, dataset.split, Random(f"few rows {seed}")
    train, dev = list(split.train), [row for row in split.dev if not row.subset]
    if task.draw is not None:
        drawn: dict[str, Example] = {}
        while len(drawn) < TRAIN + DEV:
            row = task.draw(rng, 1.0)
            drawn.setdefault(row.source, row)
        train, dev = list(drawn.values())[:TRAIN], list(drawn.values())[TRAIN:]
    exam = [row for row in split.exam if not row.subset]
    parts = [
        rows if len(rows) <= most else rng.sample(rows, most)
        for rows, most in ((train, TRAIN), (dev, DEV), (exam, EXAM))
    ]
    fixed = Split(tuple(parts[0]), tuple(parts[1]), tuple(parts[2]), f"{TRAIN} rows")
    return replace(dataset, task=replace(task, draw=None), split=fixed)


def run(base: str, plan: Plan, factors: Sequence[float]) -> None:
    """One training for each factor, unless it was done before; the base is opened once."""
    missing = [factor for factor in factors if not plan.file(factor).is_file()]
    if not missing:
        return
    setup, model, max_tokens = open_task(base, plan)
    torch.set_num_threads(int(setup.config.train.threads))
    opened = {name: weight.detach().clone() for name, weight in model.parameters_to_train()}
    text = RunningText(model, autocast=True)
    WORK.mkdir(parents=True, exist_ok=True)
    for factor in missing:
        with torch.no_grad():
            for name, weight in model.parameters_to_train():
                weight.copy_(opened[name])
        rate = factor * float(setup.config.train.learning_rate)
        facts: dict[str, Any] = {**asdict(plan), "factor": factor, "rate": rate}
        facts |= {"base_loss": text.base, "shuffled_loss": text.shuffled}
        facts["lines"] = list(trajectory(setup, model, rate, plan.steps, text))
        if plan.steps == plan.planned:
            facts["dev_value"] = predicted(setup, model, setup.split.dev, max_tokens)
            facts["exam_value"] = predicted(setup, model, setup.split.exam, max_tokens)
        plan.file(factor).write_text(json.dumps(facts), encoding="utf-8")
        print(plan, factor, facts.get("dev_value"), facts.get("exam_value"), facts["lines"][-1], flush=True)


def trajectory(
    setup: TrainingSetup, model: PretrainedCausal, rate: float, steps: int, text: RunningText
) -> Iterator[dict[str, Any]]:
    """What is seen at each step, by name."""
    train = setup.config.train.model_copy(update={"learning_rate": rate})
    this = replace(setup, config=setup.config.model_copy(update={"train": train}))
    engine = Engine(model, make_batches(this, model), train, setup.config.seed, "cpu", "bf16")
    dev = dev_pairs(setup, model)
    rotated = rotate_queries(dev)
    for step in range(steps + 1):
        seen: dict[str, Any] = {"step": step}
        started = time.process_time()
        if step:
            result = engine.step(step - 1)
            seen |= {"train": result.plain, "norm": result.gradient_norm}
        seen["step_seconds"] = time.process_time() - started
        if step in POINTS:
            started = time.process_time()
            seen["forgotten"] = text.forgotten()
            seen["text_seconds"] = time.process_time() - started
        if step in POINTS and step >= _DEV_FROM:
            seen["dev"] = loss_on(model, dev)
            seen["gain"] = loss_on(model, rotated) - seen["dev"]
        yield seen
    engine.close()


def loss_on(model: Model, rows: Sequence[Pair]) -> float:
    """Nats per target, in the precision of the training."""
    with evaluation_mode(model), torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        loss = float(plain(model.outputs(model.collate(rows))))
    model.module.train()
    return loss


def predicted(setup: TrainingSetup, model: Model, rows: Sequence[Example], max_tokens: int) -> dict[str, float]:
    """Value of the task's metric, number of items, and share of illegal predictions."""
    task, name = setup.task, setup.task.metric
    queries = [query_of(row) for row in rows]
    found = predict_queries(model, queries, task, setup.config.decode, max_tokens=max_tokens, seed=setup.config.seed)
    values = score_predictions("model", rows, found, task.codec, {name: task.metrics[name]}).item_scores(name)
    unreadable = health([one.text for one in found]).unreadable
    return {"value": sum(values) / len(values), "n": len(values), "unreadable": unreadable}


def read_runs() -> list[dict[str, Any]]:
    """Every finished run, ordered by task, settings, steps, rate and seed."""
    runs = [read_json(file) for file in WORK.glob("*.json")]
    return sorted(
        runs, key=lambda one: (one["task"], one["settings"], one["planned"], one["factor"], one["steps"], one["seed"])
    )


def page(runs: Sequence[Mapping[str, Any]]) -> str:
    """A row for each run."""
    healthy = {_alike(one): value_of(one) for one in runs if one["factor"] == 1}
    lines = []
    for one in runs:
        at = {line["step"]: line for line in one["lines"] if "forgotten" in line}
        usual, value = healthy.get(_alike(one)), value_of(one)
        verdict = "" if value is None or not usual else "fallen" if value < usual / 2 else "healthy"
        lines.append((
            one["task"], " ".join(one["settings"]), one["seed"], one["planned"], f"{one['rate']:.3g}",
            f"{one['factor']:g}", *(f"{at[step]['forgotten']:.2f}" if step in at else "" for step in SHOWN),
            *(f"{at[20][name]:.2f}" if 20 in at else "" for name in ("dev", "gain")),
            "" if value is None else f"{value:.3f}", verdict,
        ))  # fmt: skip
    head = (
        "task", "settings", "seed", "steps", "rate", "factor", *(f"forgotten at {step}" for step in SHOWN),
        "dev loss at 20", "gain at 20", "dev and exam", "",
    )  # fmt: skip
    return (
        f"# The edge of the learning rate\n\n{machine_summary(('torch', 'transformers'))}\n\n"
        f"{markdown_table(head, lines)}"
    )


def _alike(one: Mapping[str, Any]) -> Plan:
    """What trainings at other rates have in common with this one."""
    return Plan(one["task"], one["seed"], one["planned"], one["steps"], tuple(one["settings"]))


def value_of(one: Mapping[str, Any]) -> float | None:
    """Mean over dev and exam items; None for a run that ended early."""
    if "exam_value" not in one:
        return None
    parts = (one["dev_value"], one["exam_value"])
    return float(sum(part["value"] * part["n"] for part in parts) / sum(part["n"] for part in parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", default="", help="folder or name of a causal checkpoint")
    parser.add_argument("--tasks", nargs="*", default=["kannume", "recipe", "janum"], choices=list(TASKS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--factors", nargs="*", type=float, default=[1.0, 2.0, 4.0])
    parser.add_argument("--planned", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if not args.table and not args.base:
        parser.error("name a base, or ask for --table")
    for seed in () if args.table else args.seeds:
        for task in args.tasks:
            plan = Plan(task, seed, args.planned, args.steps, tuple(args.settings))
            run(str(Path(args.base)) if Path(args.base).exists() else args.base, plan, args.factors)
    runs = read_runs()
    values = {"machine": machine_summary(("torch",)), "runs": runs}
    print(write_results("rate_edge", page(runs), values).read_text("utf-8"))


if __name__ == "__main__":
    main()
