"""Training the built-in model: our loop, batching and model code against transformers' Trainer, in one run.

    python benchmarks/training_speed.py [--rounds 5] [--steps 120]

All arms train the same weights on the same rows with the same batch size, threads, precision, optimizer (fused AdamW),
clipping and schedule. They differ in one part after the other:

ours               our loop, batches of similar length, our model
Trainer            transformers' Trainer around the same batches and the same model: the loop's share
Trainer, shuffled  as a Trainer user would: rows shuffled, every batch filled to its longest: the batching's share
Trainer, plain     the same weights in torch's own nn.Transformer layers with logits at every place: the model's share
Trainer, grouped   the plain model with the Trainer's own batches of similar length (LengthGroupedSampler): what a user
                   who knows that option has; it stands beside the parts, which begin from the usual shuffled batches

The plain model's loss is compared with ours first: the weights are the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from machine import table, told, write
from terakoya import registry
from terakoya.config import ModelConfig, TrainConfig, parse_config
from terakoya.models.builtin import model as tiny
from terakoya.models.protocol import Batch, Pair
from terakoya.training.batches import Fixed
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop
from terakoya.training.losses import plain
from terakoya.training.prepare import drawer

PROMISE = 1.5
WARM = 20  # steps that are not counted


class Ours(nn.Module):
    """Our model as a module that a Trainer can call."""

    def __init__(self, model: tiny.TinyModel) -> None:
        super().__init__()
        self.model = model
        self.net = model.module

    def forward(self, **tensors: Tensor) -> dict[str, Tensor]:
        return {"loss": plain(self.model.outputs(Batch(tensors, 0, 0)))}


class Plain(nn.Module):
    """The same weights in torch's own encoder and decoder layers; logits at every place, filling left out by -100."""

    def __init__(self, model: tiny.TinyModel) -> None:
        super().__init__()
        net, shape = model.module, model.shape
        self.embed, self.encoder_in, self.places, self.outputs = net.embed, net.encoder, net.places, shape.outputs
        ways: dict[str, Any] = {"dropout": shape.dropout, "batch_first": True, "norm_first": True}
        one = nn.TransformerEncoderLayer(shape.width, shape.heads, shape.feed, **ways)
        other = nn.TransformerDecoderLayer(shape.width, shape.heads, shape.feed, **ways)
        self.encoder = nn.TransformerEncoder(one, shape.encoder, net.memory_norm, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(other, shape.decoder, net.norm)
        self._copy(net, shape.width)

    def _copy(self, net: Any, width: int) -> None:
        with torch.no_grad():
            for mine, theirs in zip(self.encoder.layers, net.encoder.layers, strict=True):
                _attention(mine.self_attn, theirs.attention)
                _shared(mine, theirs, mine.norm2)
            for number, (mine, theirs) in enumerate(zip(self.decoder.layers, net.layers, strict=True)):
                _attention(mine.self_attn, theirs.attention)
                _shared(mine, theirs, mine.norm3)
                rows = slice(2 * number * width, 2 * (number + 1) * width)
                mine.norm2.load_state_dict(theirs.cross.norm.state_dict())
                for name in ("weight", "bias"):
                    into = getattr(mine.multihead_attn, f"in_proj_{name}")
                    into[:width] = getattr(theirs.cross.query, name)
                    into[width:] = getattr(net.memory, name)[rows]
                mine.multihead_attn.out_proj.load_state_dict(theirs.cross.out.state_dict())

    def forward(self, source: Tensor, answer: Tensor, labels: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        entered = self.encoder_in.enter(source, mask)
        filled = None if mask is None else ~mask[:, 0, 0]
        memory = self.encoder(entered, src_key_padding_mask=filled)
        asked = self.embed(answer) * self.encoder_in.scale + self.places[: answer.shape[1]]
        causal = nn.Transformer.generate_square_subsequent_mask(answer.shape[1])
        hidden = self.decoder(asked, memory, tgt_mask=causal, memory_key_padding_mask=filled, tgt_is_causal=True)
        logits = F.linear(hidden, self.embed.weight[: self.outputs])
        return {"loss": F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100), "logits": logits}


def _attention(mine: nn.MultiheadAttention, theirs: Any) -> None:
    mine.in_proj_weight.copy_(theirs.qkv.weight)
    mine.in_proj_bias.copy_(theirs.qkv.bias)
    mine.out_proj.load_state_dict(theirs.out.state_dict())


def _shared(mine: Any, theirs: Any, last_norm: nn.LayerNorm) -> None:
    mine.norm1.load_state_dict(theirs.attention.norm.state_dict())
    last_norm.load_state_dict(theirs.feed.norm.state_dict())
    mine.linear1.load_state_dict(theirs.feed.inner.state_dict())
    mine.linear2.load_state_dict(theirs.feed.outer.state_dict())


def with_labels(batch: Batch) -> dict[str, Tensor]:
    """What a plain model takes: labels at every place, -100 where there is filling."""
    tensors = dict(batch.tensors)
    targets, positions = tensors.pop("targets"), tensors.pop("positions", None)
    labels = torch.full_like(tensors["answer"], -100).flatten()
    labels[positions if positions is not None else slice(None)] = targets
    return tensors | {"labels": labels.view_as(tensors["answer"])}


class Clock(TrainerCallback):
    """Seconds from the end of the warm-up to the last step."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == WARM:
            self.began = time.process_time()
        self.ended = time.process_time()


class Once(Trainer):
    """A Trainer that takes the rows in the order given (the arms differ in one part at a time)."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


class Grouped(Trainer):
    """A Trainer that draws batches of similar length, by its own sampler."""

    def _get_train_sampler(self, *_: Any) -> Any:
        rows: Sequence[Pair] = self.train_dataset  # type: ignore[assignment]
        lengths = [len(row.ask.source) + len(row.written) for row in rows]
        return LengthGroupedSampler(self.args.per_device_train_batch_size, lengths=lengths)


def by_trainer(
    module: nn.Module,
    rows: Sequence[Any],
    collate: Callable[[list[Any]], Mapping[str, Tensor]],
    how: TrainConfig,
    *,
    batch: int,
    kind: type[Trainer],
) -> float:
    """Examples per CPU second under transformers' Trainer."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_steps=int(how.steps),
            optim="adamw_torch_fused",
            learning_rate=float(how.learning_rate),
            lr_scheduler_type="linear",
            weight_decay=float(how.weight_decay),
            max_grad_norm=how.clip,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=True,
            dataloader_drop_last=True,
        )
        kind(module, arguments, train_dataset=rows, data_collator=collate, callbacks=[clock]).train()  # type: ignore[arg-type]
    return (int(how.steps) - WARM) * int(how.batch_size) / (clock.ended - clock.began)


def by_us(model: tiny.TinyModel, pairs: Sequence[Pair], how: TrainConfig) -> float:
    """Examples per CPU second under our loop."""
    times: list[float] = []
    batches = Fixed(pairs, int(how.batch_size), 0, model.length)
    run_loop(model, batches, how, seed=0, on_step=lambda step: times.append(time.process_time()))
    return (len(times) - WARM) * int(how.batch_size) / (times[-1] - times[WARM - 1])


def fresh(pairs: Sequence[Pair], size: str) -> tiny.TinyModel:
    model = tiny.build(ModelConfig(base=size), pairs, seed=0)
    assert isinstance(model, tiny.TinyModel)
    return model


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", default="small")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    experiment = registry.find_experiment("kannume")
    task = registry.find_task(experiment.config, experiment.folder)
    assert task.split is not None
    draw = drawer(task, task.split)
    pairs = [draw(Random(f"rows/{number}"), 1.0) for number in range(asked.batch * asked.steps)]
    text = f"[train]\nsteps = {asked.steps}\nbatch_size = {asked.batch}\nwarmup = 0.0\n"
    text += 'optimizer = "adamw"\nschedule = "linear"\n'
    text += f"evaluate_every = {10 * asked.steps}\nthreads = {asked.threads}\naverage = 0.0\nguards = false\n"
    text += "replicas = 1\n"  # the Trainer has one thread too
    model = fresh(pairs, asked.size)
    how = resolve(parse_config(text).train, model.card, len(pairs))
    off = differs(model, pairs[: asked.batch])
    collate = model.collate
    cut = [list(Fixed(pairs, asked.batch, 0, model.length).at(step)) for step in range(asked.steps)]
    shuffled = Random(0).sample(pairs, len(pairs))
    arms: dict[str, Callable[[], float]] = {
        "ours": lambda: by_us(fresh(pairs, asked.size), pairs, how),
        "Trainer": lambda: by_trainer(
            Ours(fresh(pairs, asked.size)), cut, lambda rows: dict(collate(rows[0]).tensors), how, batch=1, kind=Once
        ),
        "Trainer, shuffled": lambda: by_trainer(
            Ours(fresh(pairs, asked.size)),
            shuffled,
            lambda rows: dict(collate(rows).tensors),
            how,
            batch=asked.batch,
            kind=Once,
        ),
        "Trainer, plain": lambda: by_trainer(
            Plain(fresh(pairs, asked.size)),
            shuffled,
            lambda rows: with_labels(collate(rows)),
            how,
            batch=asked.batch,
            kind=Once,
        ),
        "Trainer, grouped": lambda: by_trainer(
            Plain(fresh(pairs, asked.size)),
            shuffled,
            lambda rows: with_labels(collate(rows)),
            how,
            batch=asked.batch,
            kind=Grouped,
        ),
    }
    rounds = [{name: arm() for name, arm in arms.items()} for _ in range(asked.rounds)]
    return report(rounds, asked, model, off)


def differs(model: tiny.TinyModel, pairs: Sequence[Pair]) -> float:
    """Relative difference between our loss and the plain model's, on the same rows and weights."""
    batch = model.collate(pairs)
    with torch.no_grad():
        ours = float(plain(model.outputs(batch)))
        theirs = float(Plain(model)(**with_labels(batch))["loss"])
    return abs(ours - theirs) / ours


def report(rounds: Sequence[Mapping[str, float]], asked: Any, model: tiny.TinyModel, off: float) -> int:
    rates = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    ratios = {name: statistics.median(one["ours"] / one[name] for one in rounds) for name in rounds[0]}
    rows = [(name, f"{rates[name]:.0f}", f"{ratios[name]:.2f}") for name in rates]
    names = list(rates)
    parts = [
        (part, f"{statistics.median(one[before] / one[after] for one in rounds):.2f}")
        for part, before, after in zip(("loop", "batching", "model code"), names, names[1:], strict=False)
    ]
    whole, grouped = ratios["Trainer, plain"], ratios["Trainer, grouped"]
    page = (
        f"# Training the built-in model\n\n{told()}; {asked.threads} thread(s), float32, "
        f"{model.card.weights:,} weights, batch {asked.batch}, rows of kannume, {asked.steps} steps a round "
        f"of which {WARM} are not counted, medians of {asked.rounds} interleaved rounds.\n\n"
        f"{table(('arm', 'examples per CPU second', 'ours is faster by'), rows)}\n"
        f"Share of each part (times faster):\n\n{table(('part', 'times'), parts)}\n"
        f"The plain model's loss differs from ours by {off:.1e} (relative) on the same weights and rows. "
        f"Promised: at least {PROMISE} times transformers' Trainer; reached: {whole:.2f}; "
        f"{grouped:.2f} times one that is told to group rows by length.\n"
    )
    values = {"machine": told(), "rounds": list(rounds), "ratios": ratios, "difference": off}
    print(write("training_speed", page, values).read_text(encoding="utf-8"))
    return int(whole < PROMISE)


if __name__ == "__main__":
    raise SystemExit(main())
