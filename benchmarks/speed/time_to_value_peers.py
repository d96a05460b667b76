"""One training with an exam at fixed steps: the process of one peer, which `time_to_value.py` starts.

Seconds are those of the training alone: decoding and scoring between steps are timed apart and left out. What was done
before the first step (imports, opening the base, tokens of the rows) is a figure of its own. The record is a file of
JSON lines: the settings, a line for every evaluation as soon as it is done, and the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RATE, BATCH = 5e-5, 16
ROWS_AT_ONCE = 50  # of a peer's own `generate`
MAX_NEW_TOKENS = 40


class Record:
    """Seconds of training without its evaluations, and a line for each of these.

    path      of the file, written anew
    settings  of this training, its first line
    at        steps after which the exam is taken
    predict   gives the answers to the exam, in its order
    targets   the answers that are right
    """

    def __init__(
        self,
        path: Path,
        settings: dict[str, Any],
        at: Collection[int],
        predict: Callable[[], Sequence[str]],
        targets: Sequence[str],
    ) -> None:
        self.path, self.at, self.predict, self.targets = path, at, predict, targets
        self.cpu = self.wall = 0.0
        self._cpu_began = self._wall_began = 0.0
        self.peak_gb = 0.0
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
        self._write({"settings": settings})

    def start(self) -> None:
        """The first step begins."""
        self._write({"cpu_before_first_step": round(time.process_time(), 3)})
        self._resume()

    def after_step(self, step: int) -> None:
        """Take the exam where it is due; `step` is the number of steps done."""
        if step not in self.at:
            return
        with self._paused():
            # Before the first decoding, which has a peak of its own.
            self.peak_gb = self.peak_gb or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
            began = time.process_time()
            answers = self.predict()
            correct = sum(answer.strip() == target for answer, target in zip(answers, self.targets, strict=True))
            self._write(
                {
                    "step": step, "cpu": round(self.cpu, 3), "wall": round(self.wall, 3),
                    "correct": correct, "n": len(self.targets),
                    "evaluation_cpu": round(time.process_time() - began, 3), "answers": list(answers[:5]),
                }
            )  # fmt: skip

    def finish(self, steps: int) -> None:
        """The training is over after so many `steps`."""
        self._pause()
        end = {
            "steps": steps,
            "cpu": round(self.cpu, 3),
            "wall": round(self.wall, 3),
            "peak_gb": round(self.peak_gb, 2),
        }
        self._write({"finished": end})

    def _resume(self) -> None:
        self._cpu_began, self._wall_began = time.process_time(), time.monotonic()

    def _pause(self) -> None:
        self.cpu += time.process_time() - self._cpu_began
        self.wall += time.monotonic() - self._wall_began

    @contextmanager
    def _paused(self) -> Iterator[None]:
        self._pause()
        yield
        self._resume()

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """The steps after which the exam is taken: evenly spaced, and after the last one.

    steps        of the whole training
    evaluations  how often
    """
    every = -(-steps // evaluations)
    return sorted({*range(every, steps + 1, every), steps})


def load_rows(seed: int, items: int) -> tuple[Any, Any]:
    """(task, split): the numerals log's regime of 160 rows in exponent notation, with an exam of so many `items`.

    seed   of the rows
    items  of the exam
    """
    from terakoya import registry
    from terakoya.tasks.numerals.small import small_split

    experiment = registry.find_experiment("kannume-160-pretrained", ())
    return registry.find_task(experiment.config, experiment.folder), small_split(seed, items=items)


def plain_prompt(instruction: str, source: str) -> str:
    """The text before a target, as a base without chat template gets it from Terakoya.

    instruction  of the task
    source       of the row
    """
    return f"{instruction}\n{source}\n"


# ── TRL ───────────────────────────────────────────────────────────────────────────────────────────────────────


def run_trl(args: argparse.Namespace) -> None:
    """TRL's SFTTrainer, as in the log or as a careful user would set it.

    args  the options of the command line
    """
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

    tuned = args.peer == "trl-tuned"
    task, split = load_rows(args.seed, args.items)
    prompts = [plain_prompt(task.instruction, row.source) for row in split.train]
    written = [task.codec.write(row.target) for row in split.train]
    pairs = list(zip(prompts, written, strict=True))
    if tuned:
        rows = Dataset.from_list([{"prompt": prompt, "completion": target} for prompt, target in pairs])
    else:
        rows = Dataset.from_list([{"text": prompt + target} for prompt, target in pairs])
    steps = args.steps if tuned else -(-len(pairs) // args.log_batch) * args.log_epochs
    tokenizer: Any = AutoTokenizer.from_pretrained(args.base)
    tokenizer.chat_template = None  # all peers read the same characters
    module: Any = AutoModelForCausalLM.from_pretrained(
        args.base, dtype=torch.float32, attn_implementation="sdpa" if tuned else "eager"
    )
    batch = BATCH if tuned else args.log_batch
    settings = trl_settings(tuned, mixed=args.dtype == "mixed", steps=steps, batch=batch, seed=args.seed)
    config = SFTConfig(output_dir=str(args.record.parent / "trl"), **settings)
    trainer = SFTTrainer(model=module, args=config, train_dataset=rows, processing_class=tokenizer)
    exam = [plain_prompt(task.instruction, row.source) for row in split.exam]
    record = Record(
        args.record, describe(args, steps) | settings, evaluation_steps(steps, args.evaluations),
        lambda: generate_batches(module, tokenizer, exam), [task.codec.write(row.target) for row in split.exam],
    )  # fmt: skip
    trainer.add_callback(_callback(record))
    record.start()
    trainer.train()
    record.finish(steps)


def trl_settings(tuned: bool, *, mixed: bool, steps: int, batch: int, seed: int) -> dict[str, Any]:
    """Arguments of TRL's SFTConfig.

    tuned  as a careful user would set them; else as in the guide that the log followed, without what costs time and is
           not training (saving, evaluating and TensorBoard)
    mixed  bfloat16 autocast for the careful user
    steps  of the training
    batch  rows of a step
    seed   of the order of rows
    """
    common = {
        "max_length": 512, "packing": False, "gradient_checkpointing": False, "optim": "adamw_torch_fused",
        "learning_rate": RATE, "max_steps": steps, "logging_steps": 1, "save_strategy": "no", "report_to": "none",
        "use_cpu": True, "per_device_train_batch_size": batch, "disable_tqdm": True, "seed": seed,
    }  # fmt: skip
    if not tuned:
        return common | {
            "lr_scheduler_type": "constant", "bf16": False,
        }  # fmt: skip
    return common | {
        "lr_scheduler_type": "linear", "warmup_steps": round(0.06 * steps),
        "completion_only_loss": True, "train_sampling_strategy": "group_by_length", "bf16": mixed,
    }  # fmt: skip


def generate_batches(module: Any, tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    """Greedy answers by the library's own `generate`, in batches padded on the left.

    module     the model, whose mode is afterwards as it was
    tokenizer  of the model
    prompts    one for each answer
    """
    import torch

    training = module.training
    module.eval()
    answers = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    for start in range(0, len(order), ROWS_AT_ONCE):
        chosen = order[start : start + ROWS_AT_ONCE]
        batch = tokenizer([prompts[n] for n in chosen], padding=True, padding_side="left", return_tensors="pt")
        with torch.inference_mode():
            found = module.generate(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False, use_cache=True, pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id, top_k=None, top_p=None,
            )  # fmt: skip
        texts = tokenizer.batch_decode(found[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for number, text in zip(chosen, texts, strict=True):
            answers[number] = text
    module.train(training)
    return answers


def _callback(record: Record) -> Any:
    from transformers import TrainerCallback

    class Evaluate(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            record.after_step(state.global_step)

    return Evaluate()


# ── ours ──────────────────────────────────────────────────────────────────────────────────────────────────────


def run_ours(args: argparse.Namespace) -> None:
    """Terakoya's own training with the settings of `kannume-160-pretrained`.

    args  the options of the command line
    """
    from terakoya import registry
    from terakoya.codec import TextCodec
    from terakoya.config import DecodeConfig
    from terakoya.decoding import evaluation_mode, generate
    from terakoya.decoding.predict import query_of
    from terakoya.training.device import precision
    from terakoya.training.loop import run_loop
    from terakoya.training.prepare import make_batches, prepare_training

    given = [
        f"model.base={args.base}", f"model.dtype={args.dtype}", "model.template=plain", "device=cpu",
        f"seed={args.seed}", f"train.steps={args.steps}", f"train.threads={args.threads}",
    ]  # fmt: skip
    experiment = registry.find_experiment("kannume-160-pretrained", given)
    task, split = load_rows(args.seed, args.items)
    maker = registry.find_model_maker(experiment.config.model.base, experiment.folder)
    setup, model, _limit = prepare_training(task, split, experiment.config, maker)
    at = evaluation_steps(args.steps, args.evaluations)
    train = setup.config.train.model_copy(update={"evaluate_every": at[0]})
    queries = [query_of(row) for row in split.exam]

    def predict() -> list[str]:
        with evaluation_mode(model):
            # As the other peers decode: greedy, and not held to the grammar of the notation.
            found = generate(model, queries, TextCodec(), DecodeConfig(constrained=False), max_tokens=MAX_NEW_TOKENS)
        return [one.raw for one in found]

    facts: dict[str, Any] = {
        "precision": precision("cpu", pretrained=True, dtype=args.dtype),
        "vocabulary": model.info.vocabulary,
    }
    facts |= {"batch_size": train.batch_size, "learning_rate": train.learning_rate, "schedule": train.schedule}
    record = Record(
        args.record,
        describe(args, args.steps) | facts,
        at,
        predict,
        [task.codec.write(row.target) for row in split.exam],
    )

    def evaluate(step: int) -> dict[str, float]:
        record.after_step(step)
        return {}

    record.start()
    run_loop(
        model, make_batches(setup, model), train, seed=args.seed, metric=task.metric, evaluate=evaluate, device="cpu",
        precision=precision("cpu", pretrained=True, dtype=args.dtype),
    )  # fmt: skip
    record.finish(args.steps)


def describe(args: argparse.Namespace, steps: int) -> dict[str, Any]:
    """What a record is of: two records with the same settings are of the same training.

    args   the options of the command line
    steps  of the training
    """
    return {
        "peer": args.peer, "seed": args.seed, "base": args.base.name, "items": args.items, "steps": steps,
        "dtype": "float32" if args.peer == "trl-as-logged" else args.dtype, "threads": args.threads,
        "evaluations": args.evaluations,
    }  # fmt: skip


def main() -> None:
    """The body of a peer's process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--dtype", required=True)
    for name in ("seed", "items", "steps", "log-epochs", "log-batch", "evaluations", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    (run_ours if args.peer == "ours" else run_trl)(args)


if __name__ == "__main__":
    main()
