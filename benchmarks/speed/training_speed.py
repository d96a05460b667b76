"""Training speed of the built-in model: our loop, batching and model code against transformers' Trainer, in one run.

    python -m benchmarks.speed.training_speed [--rounds 5] [--steps 120]

All arms train the same weights on the same rows with the same batch size, threads, precision, optimizer (fused AdamW),
gradient clipping and schedule. They differ in one part after the other:

ours               our loop, length-bucketed batches, our model
Trainer            transformers' Trainer around the same batches and the same model: the loop's share
Trainer, shuffled  as a Trainer user would: rows shuffled, each batch padded to its longest row: the batching's share
Trainer, plain     the same weights in torch's own nn.Transformer layers, logits at every position: the model's share
Trainer, grouped   the plain model with the Trainer's own length grouping (LengthGroupedSampler), for a user who knows
                   that option; it stands beside the parts, which start from the usual shuffled batches

The plain model's loss is compared with ours first, to show that the weights are the same.
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

from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya import registry
from terakoya.config import ModelConfig, TrainConfig, parse_config
from terakoya.models.builtin import model as tiny
from terakoya.models.protocol import Batch, Pair
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop
from terakoya.training.losses import plain
from terakoya.training.prepare import make_sampler

LEAST_RATIO = 1.5
WARMUP_STEPS = 20  # not counted


class TrainerAdapter(nn.Module):
    """Our model with the signature that a Trainer calls: keyword tensors in, a dict with the loss out."""

    def __init__(self, model: tiny.BuiltinModel) -> None:
        super().__init__()
        self.model = model
        self.net = model.module

    def forward(self, **tensors: Tensor) -> dict[str, Tensor]:
        return {"loss": plain(self.model.outputs(Batch(tensors, 0, 0)))}


class PlainTransformer(nn.Module):
    """The same weights in torch's own encoder and decoder layers; logits at every position, padding masked by -100."""

    def __init__(self, model: tiny.BuiltinModel) -> None:
        super().__init__()
        net, shape = model.module, model.shape
        self.embed, self.encoder_in, self.positions, self.outputs = net.embed, net.encoder, net.places, shape.outputs
        options: dict[str, Any] = {"dropout": shape.dropout, "batch_first": True, "norm_first": True}
        encoder_layer = nn.TransformerEncoderLayer(shape.width, shape.heads, shape.feed, **options)
        decoder_layer = nn.TransformerDecoderLayer(shape.width, shape.heads, shape.feed, **options)
        self.encoder = nn.TransformerEncoder(encoder_layer, shape.encoder, net.memory_norm, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(decoder_layer, shape.decoder, net.norm)
        self._copy_weights(net, shape.width)

    def _copy_weights(self, net: Any, width: int) -> None:
        with torch.no_grad():
            for mine, theirs in zip(self.encoder.layers, net.encoder.layers, strict=True):
                _copy_attention(mine.self_attn, theirs.attention)
                _copy_norms_and_mlp(mine, theirs, mine.norm2)
            for number, (mine, theirs) in enumerate(zip(self.decoder.layers, net.layers, strict=True)):
                _copy_attention(mine.self_attn, theirs.attention)
                _copy_norms_and_mlp(mine, theirs, mine.norm3)
                rows = slice(2 * number * width, 2 * (number + 1) * width)
                mine.norm2.load_state_dict(theirs.cross.norm.state_dict())
                for name in ("weight", "bias"):
                    into = getattr(mine.multihead_attn, f"in_proj_{name}")
                    into[:width] = getattr(theirs.cross.query, name)
                    into[width:] = getattr(net.memory, name)[rows]
                mine.multihead_attn.out_proj.load_state_dict(theirs.cross.out.state_dict())

    def forward(
        self, source: Tensor, decoder_input: Tensor, labels: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        embedded = self.encoder_in.embed_source(source, mask)
        padding = None if mask is None else ~mask[:, 0, 0]
        memory = self.encoder(embedded, src_key_padding_mask=padding)
        target = self.embed(decoder_input) * self.encoder_in.scale + self.positions[: decoder_input.shape[1]]
        causal = nn.Transformer.generate_square_subsequent_mask(decoder_input.shape[1])
        hidden = self.decoder(target, memory, tgt_mask=causal, memory_key_padding_mask=padding, tgt_is_causal=True)
        logits = F.linear(hidden, self.embed.weight[: self.outputs])
        return {"loss": F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100), "logits": logits}


def _copy_attention(mine: nn.MultiheadAttention, theirs: Any) -> None:
    mine.in_proj_weight.copy_(theirs.qkv.weight)
    mine.in_proj_bias.copy_(theirs.qkv.bias)
    mine.out_proj.load_state_dict(theirs.out.state_dict())


def _copy_norms_and_mlp(mine: Any, theirs: Any, last_norm: nn.LayerNorm) -> None:
    mine.norm1.load_state_dict(theirs.attention.norm.state_dict())
    last_norm.load_state_dict(theirs.feed.norm.state_dict())
    mine.linear1.load_state_dict(theirs.feed.inner.state_dict())
    mine.linear2.load_state_dict(theirs.feed.outer.state_dict())


def with_labels(batch: Batch) -> dict[str, Tensor]:
    """The tensors of a batch as a plain model takes them: labels at every position, -100 at padding."""
    tensors = dict(batch.tensors)
    targets, positions = tensors.pop("targets"), tensors.pop("positions", None)
    labels = torch.full_like(tensors["decoder_input"], -100).flatten()
    labels[positions if positions is not None else slice(None)] = targets
    return tensors | {"labels": labels.view_as(tensors["decoder_input"])}


class StepTimer(TrainerCallback):
    """CPU time at the end of the warm-up and of the last step."""

    def __init__(self) -> None:
        self.started = self.ended = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == WARMUP_STEPS:
            self.started = time.process_time()
        self.ended = time.process_time()


class SequentialTrainer(Trainer):
    """A Trainer that takes the rows in the given order (the arms differ in one part at a time)."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


class LengthGroupedTrainer(Trainer):
    """A Trainer with batches of similar length, by its own sampler."""

    def _get_train_sampler(self, *_: Any) -> Any:
        rows: Sequence[Pair] = self.train_dataset  # type: ignore[assignment]
        lengths = [len(row.query.source) + len(row.target) for row in rows]
        return LengthGroupedSampler(self.args.per_device_train_batch_size, lengths=lengths)


def trainer_throughput(
    module: nn.Module,
    rows: Sequence[Any],
    collate: Callable[[list[Any]], Mapping[str, Tensor]],
    config: TrainConfig,
    *,
    batch: int,
    trainer: type[Trainer],
) -> float:
    """Examples per CPU second under transformers' Trainer."""
    clock = StepTimer()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_steps=int(config.steps),
            optim="adamw_torch_fused",
            learning_rate=float(config.learning_rate),
            lr_scheduler_type="linear",
            weight_decay=float(config.weight_decay),
            max_grad_norm=config.clip,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=True,
            dataloader_drop_last=True,
        )
        trainer(module, arguments, train_dataset=rows, data_collator=collate, callbacks=[clock]).train()  # type: ignore[arg-type]
    return (int(config.steps) - WARMUP_STEPS) * int(config.batch_size) / (clock.ended - clock.started)


def our_throughput(model: tiny.BuiltinModel, pairs: Sequence[Pair], config: TrainConfig) -> float:
    """Examples per CPU second under our loop."""
    times: list[float] = []
    batches = EpochBatches(pairs, int(config.batch_size), 0, model.length)
    run_loop(model, batches, config, seed=0, on_step=lambda step: times.append(time.process_time()))
    return (len(times) - WARMUP_STEPS) * int(config.batch_size) / (times[-1] - times[WARMUP_STEPS - 1])


def new_model(pairs: Sequence[Pair], size: str) -> tiny.BuiltinModel:
    model = tiny.build(ModelConfig(base=size), pairs, seed=0)
    assert isinstance(model, tiny.BuiltinModel)
    return model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", default="small")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    experiment = registry.find_experiment("kannume")
    task = registry.find_task(experiment.config, experiment.folder)
    assert task.split is not None
    draw = make_sampler(task, task.split)
    pairs = [draw(Random(f"rows/{number}"), 1.0) for number in range(args.batch * args.steps)]
    text = f"[train]\nsteps = {args.steps}\nbatch_size = {args.batch}\nwarmup = 0.0\n"
    text += 'optimizer = "adamw"\nschedule = "linear"\n'
    text += f"evaluate_every = {10 * args.steps}\nthreads = {args.threads}\naverage = 0.0\nguards = false\n"
    text += "replicas = 1\n"  # the Trainer runs on one thread too
    model = new_model(pairs, args.size)
    config = resolve(parse_config(text).train, model.info, len(pairs))
    difference = loss_difference(model, pairs[: args.batch])
    collate = model.collate
    bucketed = [list(EpochBatches(pairs, args.batch, 0, model.length).at(step)) for step in range(args.steps)]
    shuffled = Random(0).sample(pairs, len(pairs))
    arms: dict[str, Callable[[], float]] = {
        "ours": lambda: our_throughput(new_model(pairs, args.size), pairs, config),
        "Trainer": lambda: trainer_throughput(
            TrainerAdapter(new_model(pairs, args.size)),
            bucketed,
            lambda rows: dict(collate(rows[0]).tensors),
            config,
            batch=1,
            trainer=SequentialTrainer,
        ),
        "Trainer, shuffled": lambda: trainer_throughput(
            TrainerAdapter(new_model(pairs, args.size)),
            shuffled,
            lambda rows: dict(collate(rows).tensors),
            config,
            batch=args.batch,
            trainer=SequentialTrainer,
        ),
        "Trainer, plain": lambda: trainer_throughput(
            PlainTransformer(new_model(pairs, args.size)),
            shuffled,
            lambda rows: with_labels(collate(rows)),
            config,
            batch=args.batch,
            trainer=SequentialTrainer,
        ),
        "Trainer, grouped": lambda: trainer_throughput(
            PlainTransformer(new_model(pairs, args.size)),
            shuffled,
            lambda rows: with_labels(collate(rows)),
            config,
            batch=args.batch,
            trainer=LengthGroupedTrainer,
        ),
    }
    rounds = [{name: arm() for name, arm in arms.items()} for _ in range(args.rounds)]
    return write_report(rounds, args, model, difference)


def loss_difference(model: tiny.BuiltinModel, pairs: Sequence[Pair]) -> float:
    """Relative difference between our loss and the plain model's, on the same rows and weights."""
    batch = model.collate(pairs)
    with torch.no_grad():
        ours = float(plain(model.outputs(batch)))
        theirs = float(PlainTransformer(model)(**with_labels(batch))["loss"])
    return abs(ours - theirs) / ours


def write_report(rounds: Sequence[Mapping[str, float]], args: Any, model: tiny.BuiltinModel, difference: float) -> int:
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
        f"# Training the built-in model\n\n{machine_summary()}; {args.threads} thread(s), float32, "
        f"{model.info.weights:,} weights, batch {args.batch}, rows of kannume, {args.steps} steps a round "
        f"of which {WARMUP_STEPS} are not counted, medians of {args.rounds} interleaved rounds.\n\n"
        f"{markdown_table(('arm', 'examples per CPU second', 'ours is faster by'), rows)}\n"
        f"Speed-up of each part:\n\n{markdown_table(('part', 'ratio'), parts)}\n"
        f"The plain model's loss differs from ours by {difference:.1e} (relative) on the same weights and rows. "
        f"To reach: at least {LEAST_RATIO} times transformers' Trainer; reached: {whole:.2f}; "
        f"{grouped:.2f} times one that groups rows by length.\n"
    )
    values = {"machine": machine_summary(), "rounds": list(rounds), "ratios": ratios, "difference": difference}
    print(write_results("training_speed", page, values).read_text(encoding="utf-8"))
    return int(whole < LEAST_RATIO)


if __name__ == "__main__":
    raise SystemExit(main())
