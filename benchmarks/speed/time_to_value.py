"""Training time until the exam value that TRL has at the end of the log's recipe: TRL as in the log, tuned, and ours.

    python -m benchmarks.speed.time_to_value BASE [--seeds 0] [--items 200] [--threads 1] [--dtype mixed|float32]
    python -m benchmarks.speed.time_to_value BASE --table        # only the page of the records that there are

BASE is the folder of a causal checkpoint (the log's is Gemma 3 270M). The rows are the numerals log's regime of 160 in
exponent notation; every peer is trained on the same ones as the same plain text, on the processor, and takes the same
exam of fresh numerals by greedy decoding. *As in the log*: the guide that the log followed, whose batches of 4 and
5 epochs its checkpoint numbers show, a constant 5e-5, the loss on all of the text, in float32. *Tuned*: what a careful
user of TRL would set for the same rows, steps and rate as ours. *Ours*: the settings of `kannume-160-pretrained`.

Counted is the training alone: not the evaluations, not what comes before the first step (shown beside it), and of
`terakoya run` neither preflight nor exam. A value is reached at the first evaluation at which it stands and is not lost
again at the next one; after the last evaluation there is none. Since a peer may have reached it any time after the
evaluation before, the least ratio that this leaves open is given too. A finished record is not measured again; an
interrupted one keeps its lines and is shown as such. Written: results/time_to_value.md and .json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting import ROOT, WORK, machine_summary, markdown_table, write_results

RECORDS = WORK / "time_to_value"
AS_LOGGED, TUNED, OURS = "trl-as-logged", "trl-tuned", "ours"
PEERS = {
    AS_LOGGED: "TRL as in the log: batches of {batch}, constant rate, loss on all text, float32, eager attention",
    TUNED: "TRL tuned: batches of 16 grouped by length, linear decay, loss on targets only, {dtype}, SDPA",
    OURS: "Terakoya: `kannume-160-pretrained`, {dtype}, {vocabulary} tokens",
}
PROMISED = 8.0


@dataclass(frozen=True)
class Evaluation:
    """An exam between two steps.

    step     steps done
    cpu      CPU seconds of training until then
    wall     wall seconds of training until then
    correct  items answered exactly
    """

    step: int
    cpu: float
    wall: float
    correct: int


@dataclass(frozen=True)
class Curve:
    """The exams of one training.

    evaluations  in order
    finished     whether the training came to its end
    """

    evaluations: Sequence[Evaluation]
    finished: bool = True


def first_confirmed(curve: Curve, correct: int) -> int | None:
    """Index of the first evaluation with so many correct items that the next one confirms; None: never reached.

    curve    of one training; the evaluation at its end needs no other
    correct  items that make up the value
    """
    enough = [one.correct >= correct for one in curve.evaluations]
    confirmed = [*enough[1:], curve.finished]
    return next((number for number, both in enumerate(zip(enough, confirmed, strict=False)) if all(both)), None)


def ratio(peer: Curve, ours: Curve, correct: int) -> tuple[float, float] | None:
    """(how many times as long a peer trains until the value as we do, the least that its evaluations leave open).

    peer     exams of the peer's training
    ours     exams of ours
    correct  items that make up the value
    Returns None where one of the two never reaches it.
    """
    theirs, own = first_confirmed(peer, correct), first_confirmed(ours, correct)
    if theirs is None or own is None:
        return None
    before = peer.evaluations[theirs - 1].cpu if theirs else 0.0
    seconds = ours.evaluations[own].cpu
    return peer.evaluations[theirs].cpu / seconds, before / seconds


def measure(peer: str, seed: int, args: argparse.Namespace) -> None:
    """Train a peer in a process of its own, unless its finished record is there."""
    file = record_path(args.base, peer, seed)
    options = {
        "peer": peer, "base": args.base, "record": file, "dtype": args.dtype, "seed": seed, "items": args.items,
        "steps": args.steps, "log-epochs": args.log_epochs, "log-batch": args.log_batch, "threads": args.threads,
        "evaluations": args.evaluations if peer == OURS else args.peer_evaluations,
    }  # fmt: skip
    if "finished" in (record := read_record(file)):
        asked = {key: options[key] for key in ("items", "threads", "evaluations")}
        if (had := {key: record["settings"][key] for key in asked}) != asked:
            raise SystemExit(f"{file} was measured with {had}: ask for the same, or move it away")
        return
    command = [sys.executable, "-m", "benchmarks.speed.time_to_value_peers"]
    threads = {"OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [*command, *(f"--{name}={value}" for name, value in options.items())],
        cwd=ROOT, env=os.environ | threads, stdout=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode:
        print(f"{peer}, seed {seed}: ended with {done.returncode}; what it measured is kept", file=sys.stderr)


def record_path(base: Path, peer: str, seed: int) -> Path:
    """Where the record of a peer and seed lies."""
    return RECORDS / base.name / f"{peer}_{seed}.jsonl"


def read_record(file: Path) -> dict[str, Any]:
    """The lines of a record as one: evaluations as `lines`, and `finished` where the training came to its end."""
    record: dict[str, Any] = {"lines": []}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        found = json.loads(line)
        if "step" in found:
            record["lines"].append(found)
        else:
            record |= found
    return record


def curve_of(record: Mapping[str, Any]) -> Curve:
    """The exams of a `record`."""
    keys = ("step", "cpu", "wall", "correct")
    evaluations = [Evaluation(*(line[key] for key in keys)) for line in record["lines"]]
    return Curve(evaluations, "finished" in record)


def tables(records: Mapping[int, Mapping[str, Any]]) -> tuple[str, list[tuple[float, float]]]:
    """(a section for each seed, the ratios of TRL as in the log to ours).

    records  by seed and peer, as `read_record` gives them
    """
    head = (
        "peer", "steps", "CPU s a step", "exact at the end", "reached after", "CPU s", "wall s", "ours is faster by",
        "at least", "CPU s before the first step", "peak GB",
    )  # fmt: skip
    sections, ratios = [], []
    for seed, peers in sorted(records.items()):
        logged = peers[AS_LOGGED]
        if "finished" not in logged:
            sections.append(f"Seed {seed}: TRL as in the log has not come to its end, so there is no value to reach.\n")
            continue
        value, items = logged["lines"][-1]["correct"], logged["lines"][-1]["n"]
        ours = curve_of(peers[OURS])
        lines = [_row(peer, record, ours, value) for peer, record in peers.items() if record["lines"]]
        sections.append(
            f"## Seed {seed}: {value / items:.3f} ({value} of {items})\n\n{markdown_table(head, lines)}\n"
            + "".join(f"- {_points(peer, record)}\n" for peer, record in peers.items() if record["lines"])
        )
        if (found := ratio(curve_of(logged), ours, value)) is not None:
            ratios.append(found)
    return "\n".join(sections), ratios


def _row(peer: str, record: Mapping[str, Any], ours: Curve, value: int) -> tuple[str, ...]:
    curve, settings = curve_of(record), record["settings"]
    last, items = curve.evaluations[-1], record["lines"][-1]["n"]
    named = PEERS[peer].format(
        dtype="bfloat16 autocast" if settings["dtype"] == "mixed" else "float32",
        vocabulary=settings.get("vocabulary", ""),
        batch=settings.get("per_device_train_batch_size", ""),
    )
    end = f"{last.correct / items:.3f}" + ("" if curve.finished else f" at step {last.step}, then interrupted")
    reached = first_confirmed(curve, value)
    at = curve.evaluations[reached] if reached is not None else None
    times = (f"step {at.step}", f"{at.cpu:.0f}", f"{at.wall:.0f}") if at else ("never", "–", "–")
    found = ratio(curve, ours, value)
    factors = (f"{found[0]:.1f} ×", f"{found[1]:.1f} ×") if found and peer != OURS else ("–", "–")
    before, peak = f"{record['cpu_before_first_step']:.0f}", record.get("finished", {}).get("peak_gb")
    return (
        named, str(settings["steps"]), f"{last.cpu / last.step:.2f}", end, *times, *factors, before,
        f"{peak:.1f}" if peak else "–",
    )  # fmt: skip


def _points(peer: str, record: Mapping[str, Any]) -> str:
    points = [f"{one.step}: {one.correct} ({one.cpu:.0f} s)" for one in curve_of(record).evaluations]
    return f"{peer}, correct items by step: {', '.join(points)}."


def page(records: Mapping[int, Mapping[str, Any]], base: str, command: str) -> str:
    """The page of results.

    records  by seed and peer
    base     name of the checkpoint
    command  that measured them
    """
    sections, ratios = tables(records)
    measured = next(one["settings"] for peers in records.values() for one in peers.values() if one["lines"])
    facts = (
        f"{machine_summary(('torch', 'transformers', 'accelerate', 'trl'))}; {measured['threads']} thread. Base "
        f"{base}, 160 rows, exponent notation, plain prompts; exam of {measured['items']} fresh items, exact match of "
        f"the text, greedy. `{command}`."
    )
    if ratios:
        mean, least = (statistics.geometric_mean([max(one[at], 1e-9) for one in ratios]) for at in (0, 1))
        verdict = (
            f"**TRL as in the log trains {mean:.1f} × as long as Terakoya until the same value** ({len(ratios)} of "
            f"{len(records)} seeds, CPU seconds, evaluations left out; at least {least:.1f} × whatever its value was "
            f"between its evaluations). Asked for: {PROMISED:.0f} ×."
        )
    else:
        verdict = "No seed in which TRL as in the log came to its end and ours reached its value."
    return f"# Time to the same exam value\n\n{facts}\n\n{verdict}\n\n{sections}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="folder of a causal checkpoint")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=[AS_LOGGED, OURS, TUNED])
    parser.add_argument("--items", type=int, default=200, help="of the exam")
    parser.add_argument("--steps", type=int, default=100, help="of ours and of TRL tuned")
    parser.add_argument("--log-epochs", type=int, default=5, help="of TRL as in the log")
    parser.add_argument("--log-batch", type=int, default=4, help="of TRL as in the log")
    parser.add_argument("--evaluations", type=int, default=10, help="of ours")
    parser.add_argument("--peer-evaluations", type=int, default=3, help="of each other peer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("mixed", "float32"), default="mixed", help="of ours and of TRL tuned")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    args.base = args.base.absolute()
    for seed in () if args.table else args.seeds:
        for peer in args.peers:
            measure(peer, seed, args)
    found = {seed: {peer: read_record(record_path(args.base, peer, seed)) for peer in PEERS} for seed in args.seeds}
    records = {seed: peers for seed, peers in found.items() if any(one["lines"] for one in peers.values())}
    if not records:
        print(f"no record of {args.base.name}: nothing was measured", file=sys.stderr)
        return 1
    given = [Path(word).name if Path(word).is_dir() else word for word in sys.argv[1:] if word != "--table"]
    command = " ".join(["python -m benchmarks.speed.time_to_value", *given])
    values = {
        "machine": machine_summary(("torch", "transformers", "accelerate", "trl")), "command": command,
        "seeds": records,
    }  # fmt: skip
    print(write_results("time_to_value", page(records, args.base.name, command), values).read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
