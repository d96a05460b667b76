"""The sections of a config, and the only home of defaults. `auto` means: resolved from model family, size and data, and
recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Auto = Literal["auto"]


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TaskConfig(Section):
    """What is taught. Either `use` (a shipped task, an installed one, or a .py file) or `data` (a table)."""

    use: str = ""
    data: str = (
        ""  # path relative to the config; .csv .tsv .jsonl .parquet, "hub:owner/name", or two files "src.txt|tgt.txt"
    )
    dev: str = ""
    exam: str = ""
    source: str = "source"
    target: str = "target"
    group: str = ""
    split: str = ""  # the author's own split column, with values train / dev / exam (or test)
    encoding: str = ""  # "" means by BOM, else UTF-8
    codec: Literal["", "text", "number", "quantity", "labels"] = ""
    notation: str = ""  # of numbers: plain, bracketed, groups, short-groups, pds, exponent, reversed, calculator
    separator: str = ""  # between labels; "" is white space
    metric: str = ""  # "" is the codec's own
    options: dict[str, Any] = Field(default_factory=dict)  # of the task named by `use`


class SplitConfig(Section):
    """How examples are parted. Only "hash" is stable when rows are added; the others say so."""

    method: Literal["hash", "exact", "stratified", "tail", "column"] = "hash"
    dev: float = Field(default=0.1, ge=0, lt=1)
    exam: float = Field(default=0.1, ge=0, lt=1)
    dev_items: int = Field(default=0, ge=0)  # exact sizes, for the method "exact"; 0 takes the share
    exam_items: int = Field(default=0, ge=0)
    stratify: str = ""  # tag by which the method "stratified" cuts; "" is the target
    folds: int = Field(default=0, ge=0)
    fold: int = Field(default=0, ge=0)
    salt: str = ""  # another salt, another split


class ModelConfig(Section):
    base: str = "small"  # tiny | small | base (built in), a hub name, or a folder
    family: Literal["auto", "encoder-decoder", "decoder"] = "auto"
    head: Literal["auto", "sequence", "set"] = "auto"
    width: int = Field(default=0, ge=0)  # built-in models only; 0 is the named size's own
    layers: int = Field(default=0, ge=0)
    attention_heads: int = Field(default=0, ge=0)
    dropout: float = Field(default=-1.0, ge=-1, lt=1)  # -1: the family's own
    max_source: int = Field(default=0, ge=0)  # tokens; 0 is measured from the data
    max_target: int = Field(default=0, ge=0)
    revision: str = ""
    adaptation: Literal["full", "lora"] = "full"
    lora_rank: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    lora_targets: tuple[str, ...] = ()  # () is every linear layer of the blocks
    merge: bool = True
    vocabulary: Literal["full", "trimmed"] = "full"
    new_tokens: Literal["needed", "none"] = "needed"
    new_token_init: Literal["meaning", "mean", "random"] = "meaning"
    label_init: Literal["auto", "random", "names"] = "auto"  # auto: from names where labels have some
    template: Literal["auto", "chat", "plain"] = "auto"
    instruction: str = ""  # put before every source; the task's own where ""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    forward: Literal["quick", "library"] = "quick"  # quick: parts of it ours, where a trial finds them equal


class TrainConfig(Section):
    steps: int | Auto = "auto"
    epochs: float | Auto = "auto"
    minutes: float = Field(default=0.0, ge=0)  # 0: no bound
    batch_size: int | Auto = "auto"
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float | Auto = "auto"
    schedule: Literal["auto", "constant", "linear", "cosine", "one-cycle"] = "auto"
    warmup: float | Auto = "auto"  # share of all steps when below 1, else steps
    optimizer: Literal["auto", "adamw", "muon"] = "auto"
    weight_decay: float | Auto = "auto"
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = Field(default=1.0, ge=0)  # gradient norm; 0: not clipped
    loss: Literal["auto", "cross-entropy", "focal", "class-balanced", "order-invariant"] = "auto"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    focal_gamma: float = Field(default=2.0, ge=0)
    class_balance_beta: float = Field(default=0.999, ge=0, lt=1)
    logit_adjustment: float = Field(default=0.0, ge=0)  # tau in the loss; 0: off
    label_order: Literal["as-given", "canonical", "shuffled"] = "as-given"
    loss_on: Literal["answer", "all"] = "answer"
    average: float | Auto = "auto"  # decay of the weight average used for answers; 0: off
    curriculum: bool | Auto = "auto"
    evaluate_every: int | Auto = "auto"
    dev_items: int = Field(default=400, ge=1)  # asked by generation at each evaluation
    select: Literal["metric", "loss", "last"] = "metric"
    crossfit: bool = True  # of sets: where dev is small, how sure to be is settled on out-of-fold answers too
    refit: bool | Auto = "auto"  # taught again on train and dev once all is chosen; auto: the built-in set head is
    stop_when_solved: float = Field(default=1.0, ge=0)  # dev metric at which training may end early; 0: never
    patience: int = Field(default=0, ge=0)  # evaluations without a better one; 0: no limit
    keep: int = Field(default=2, ge=2)  # checkpoints
    bucket: bool = True  # batches of similar length
    prefix_cache: bool | Auto = "auto"  # shared prompt prefix computed once where exact
    checkpointing: bool = False  # gradient checkpointing
    on_oom: Literal["stop", "halve"] = "stop"
    threads: int = Field(default=0, ge=0)  # of every product; 0: one for small models and set heads, else all
    replicas: Annotated[int, Field(ge=1)] | Auto = "auto"  # parts of a batch worked on at the same time, a thread each
    guards: bool = True
    on_collapse: Literal["warn", "stop"] = "warn"
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb", "trackio"], ...] = ()


class DecodeConfig(Section):
    method: Literal["greedy", "beam", "sample", "best-expected"] = "greedy"
    beams: int = Field(default=4, ge=1)
    samples: int = Field(default=16, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    constrained: bool = True  # held to the codec's written language
    objective: Literal["auto", "probability", "jaccard", "f1"] = "auto"  # what best-expected maximises
    logit_adjustment: float = Field(default=0.0, ge=0)  # tau of the label prior at decoding
    share_cap: float = Field(default=1.4, ge=0)  # of sets: a label's largest share, × its share in training; 0: off
    max_tokens: int = Field(default=0, ge=0)  # 0: from the longest target
    batch_size: int = Field(default=64, ge=1)  # asked at once; fewer where memory runs out, with the same answers
    abstain_below: float = Field(default=0.0, ge=0, le=1)
    verify: bool = False  # an answer that cannot have produced its source is not given


class ScoreConfig(Section):
    smallest_gain: float = Field(default=0.02, ge=0)  # the smallest gain worth having
    exam_items: int = Field(default=0, ge=0)  # of a task made by rule; 0 is the task's own
    resamples: int = Field(default=2000, ge=100)


class TeacherConfig(Section):
    kind: Literal["api", "rules", "lexicon"] = "api"
    base_url: str = "https://openrouter.ai/api/v1"
    model: str = ""
    key_variable: str = "OPENROUTER_API_KEY"  # the name of an environment variable, never the key
    licence: str = ""  # the terms under which its output may be trained on
    recipe: str = ""  # a shipped recipe, or a folder of prompt files
    sources: str = ""  # ours | hand | phrases, a path (.txt or a table), "hub:owner/name"; "" is the recipe's own
    exclude: tuple[str, ...] = ()  # earlier data sets whose sentences are not used again
    samples: int = Field(default=1000, ge=1)
    budget: float = Field(default=0.0, ge=0)  # money in `currency`; 0: none, then only `requests` bounds
    currency: str = "USD"
    requests: int = Field(default=0, ge=0)
    price_in: float = Field(default=-1.0, ge=-1)  # per million tokens; -1: not known
    price_out: float = Field(default=-1.0, ge=-1)
    max_concurrent: int = Field(default=64, ge=1)
    requests_per_minute: int = Field(default=0, ge=0)
    tokens_per_minute: int = Field(default=0, ge=0)
    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.7, ge=0)
    deadline: float = Field(default=60.0, gt=0)  # seconds of wall clock for one call
    attempts: int = Field(default=5, ge=1)
    hedge: bool = False
    banned: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # the fixed label set; () is open
    quota: float = Field(default=0.0, ge=0, le=1)  # largest share of one label; 0: none
    density: int = Field(default=0, ge=0)  # examples per label at which generation is done; 0: `samples` decides
    max_rejected: float = Field(default=0.5, gt=0, le=1)  # share of rejected rows at which to stop before more is spent


class Config(Section):
    """Everything that decides a run; what shall happen."""

    name: str = "run"
    seed: int = Field(default=0, ge=0)
    lang: Literal["", "en", "ja"] = ""  # of findings, refusals and records; the locale decides where it is empty
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    task: TaskConfig = TaskConfig()
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    decode: DecodeConfig = DecodeConfig()
    score: ScoreConfig = ScoreConfig()
    teacher: TeacherConfig = TeacherConfig()


def known_keys() -> Iterator[tuple[str, str, Any]]:
    """Every (section, key, default); the section "" holds the top level."""
    for name, field in Config.model_fields.items():
        default = field.default
        if isinstance(default, Section):
            for key in type(default).model_fields:
                yield name, key, getattr(default, key)
        else:
            yield "", name, default
