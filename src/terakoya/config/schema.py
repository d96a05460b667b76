"""The sections of a config: every key with its type, its default and its description.

This is the only place of defaults and descriptions: `terakoya explain`, docs/settings.md and the JSON schema for
editors are made from it (explain.py). `auto` is resolved when a run starts (training/defaults.py) and recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from terakoya.config.installed_name import InstalledName
from terakoya.config.secret_values import checked_text, checked_url, checked_variable
from terakoya.config.teacher_request import checked_extra, checked_headers, checked_pool, checked_rates
from terakoya.errors.third_party import entry_points
from terakoya.i18n import _, languages

# Our own names; the tables behind them are codec.choose.CODECS and training.losses.LOSSES.
CODEC_NAMES = ("text", "number", "quantity", "labels")
LOSS_NAMES = ("cross-entropy", "focal", "class-balanced", "order-invariant")
Auto = Literal["auto"]
if TYPE_CHECKING:
    Language = str
else:
    Language = Literal[("", *languages())]  # every catalogue that is installed


class Section(BaseModel):
    """Base of all sections: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TaskConfig(Section):
    """What is to be learned: either `use` (a task) or `data` (a table)."""

    use: str = Field(
        default="",
        description=_(
            "Name of a task: one that ships, one of an installed package, or a .py file with a function `task`. "
            '"": the table of `task.data`.'
        ),
    )
    data: str = Field(
        default="",
        description=_(
            "Table of examples, relative to the config: .csv, .tsv, .jsonl or .parquet, several by a pattern "
            '("rows/*.jsonl"), files elsewhere ("hf://…", "s3://…"), "hub:owner/name", or two parallel texts '
            '"src.txt|tgt.txt". "": the task of `task.use`.'
        ),
    )
    dev: str = Field(
        default="",
        description=_('Table of the dev split, in the forms of `task.data`. "": split off from `task.data`.'),
    )
    exam: str = Field(
        default="",
        description=_(
            'Table of the exam split (the held-out test set), in the forms of `task.data`. "": split off from it.'
        ),
    )
    corrections: str = Field(
        default="",
        description=_(
            "Corrected targets of the table, as `terakoya correct` logs them. Corrected rows and their groups are in "
            'train; all others stay where the table\'s own split puts them. "": none.'
        ),
    )
    source: str = Field(default="source", description=_("Column that holds the input text."))
    target: str = Field(default="target", description=_("Column that holds the expected output."))
    group: str = Field(
        default="",
        description=_('Column whose equal values must stay in one split. "": the normal form of the source.'),
    )
    split: str = Field(
        default="",
        description=_(
            'Column that assigns each row to train, dev or exam (or test); used by split.method = "column". "": none.'
        ),
    )
    encoding: str = Field(
        default="",
        description=_('Character encoding of text files. "": by byte-order mark, else UTF-8.'),
    )
    codec: Annotated[str, InstalledName(entry_points.CODECS, ("", *CODEC_NAMES))] = Field(
        default="",
        description=_(
            "Representation of targets that the model generates and the codec decodes: text, a number, a quantity "
            'with its unit, a set of labels, or that of an installed package. "": the task\'s own, text for a table.'
        ),
    )
    notation: str = Field(
        default="",
        description=_(
            "Notation in which numbers are generated: plain, bracketed, groups, short-groups, pds, exponent, reversed "
            'or calculator. "": the task\'s own, else plain.'
        ),
    )
    separator: str = Field(
        default="",
        description=_('Text between the labels of a target, for the codec "labels". "": white space.'),
    )
    metric: str = Field(
        default="",
        description=_(
            "Name of the main metric, which decides the verdict: one of docs/metrics.md, of the task, or of an "
            'installed package. "": the codec\'s own.'
        ),
    )
    augment: int = Field(
        default=0,
        ge=0,
        description=_(
            "Further training rows that a rule makes from each training row: numerals with other digits, ingredient "
            "lines with other amounts, emoji texts in other frames, or the task's own. Nothing of dev and exam is "
            "made. 0: none."
        ),
    )
    augment_method: Literal["rule", "symmetry"] = Field(
        default="rule",
        description=_(
            "How `task.augment` makes rows: by a rule, with exact targets; or by lexical symmetry (Akyürek and "
            "Andreas, 2023), which needs no rule: characters that always bring the same character of the target are "
            "exchanged in source and target, and a small share of the rows made is wrong."
        ),
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description=_("Keyword arguments of the task named by `task.use`, as a table. {}: the task's defaults."),
    )


class SplitConfig(Section):
    """How examples are split into train, dev and exam. Only "hash" and "column" are stable when rows are added."""

    method: Literal["hash", "exact", "stratified", "tail", "column"] = Field(
        default="hash",
        description=_(
            'How rows are assigned: "hash" by a threshold on the hash of the group (stable when rows are added), '
            '"exact" with exact sizes, "stratified" with equal proportions of a tag, "tail" the last rows of the '
            'file, "column" by the column `task.split`.'
        ),
    )
    dev: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description=_("Share of the dev split among all examples, in [0, 1)."),
    )
    exam: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description=_("Share of the exam split among all examples, in [0, 1)."),
    )
    dev_items: int = Field(
        default=0,
        ge=0,
        description=_('Exact number of dev examples for the methods "exact" and "tail". 0: by `split.dev`.'),
    )
    exam_items: int = Field(
        default=0,
        ge=0,
        description=_('Exact number of exam examples for the methods "exact" and "tail". 0: by `split.exam`.'),
    )
    stratify: str = Field(
        default="",
        description=_('Tag whose proportions the method "stratified" preserves. "": the target.'),
    )
    folds: int = Field(
        default=0,
        ge=0,
        description=_("Number of cross-validation folds, at least 3; one is the exam, the next one dev. 0: no folds."),
    )
    fold: int = Field(
        default=0,
        ge=0,
        description=_("Index of the fold that is the exam, from 0; used where `split.folds` is set."),
    )
    salt: str = Field(
        default="",
        description=_('Text mixed into the hash of the group: another salt gives another split. "": none.'),
    )


class ModelConfig(Section):
    """The model, and how a pretrained one is adapted."""

    base: str = Field(
        default="small",
        description=_(
            "The model: built in (tiny, small, base), of a plug-in, a name on the Hugging Face Hub, a folder, or a "
            ".gguf file."
        ),
    )
    family: Literal["auto", "encoder-decoder", "decoder"] = Field(
        default="auto",
        description=_("Architecture of a built-in model. auto: encoder-decoder. A pretrained model keeps its own."),
    )
    head: Literal["auto", "sequence", "set"] = Field(
        default="auto",
        description=_(
            'Output head: a sequence of tokens, or scores of a label set. auto: set where the codec is "labels", '
            "else sequence."
        ),
    )
    width: int = Field(
        default=0,
        ge=0,
        description=_("Hidden dimension of a built-in model. 0: that of the named size."),
    )
    layers: int = Field(
        default=0,
        ge=0,
        description=_(
            "Number of layers of the encoder and of the decoder of a built-in model. 0: those of the named size."
        ),
    )
    attention_heads: int = Field(
        default=0,
        ge=0,
        description=_(
            "Number of attention heads of a built-in model; it must divide the width. 0: that of the named size."
        ),
    )
    dropout: float = Field(
        default=-1.0,
        ge=-1,
        lt=1,
        description=_(
            "Dropout probability of a built-in model. -1: that of the named size, and 0.2 below 1,000 training rows."
        ),
    )
    max_source: int = Field(
        default=0,
        ge=0,
        description=_(
            "Largest number of tokens of an input. 0: measured from the data with a margin (built-in), or all "
            "positions of a pretrained model. Longer rows are refused, never truncated."
        ),
    )
    max_target: int = Field(
        default=0,
        ge=0,
        description=_(
            "Largest number of tokens of a target. 0: measured from the data with a margin (built-in), or the "
            "positions of a pretrained model, at most 4,096."
        ),
    )
    revision: str = Field(
        default="",
        description=_('Branch, tag or commit of a model on the Hugging Face Hub. "": its main branch.'),
    )
    adaptation: Literal["full", "lora"] = Field(
        default="full",
        description=_(
            "How a pretrained model is fine-tuned: all weights (full), or low-rank adapters (lora; Hu et al., 2021)."
        ),
    )
    lora_rank: int = Field(default=16, ge=1, description=_("Rank of the LoRA matrices."))
    lora_alpha: int = Field(
        default=32,
        ge=1,
        description=_("LoRA scaling numerator: updates are multiplied by alpha / rank."),
    )
    lora_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description=_("Dropout probability on the input of the LoRA adapters. 0: none."),
    )
    lora_targets: tuple[str, ...] = Field(
        default=(),
        description=_("Names of the modules that receive LoRA adapters. []: every linear layer of the blocks."),
    )
    merge: bool = Field(
        default=True,
        description=_("Merge LoRA adapters into the weights of the saved model; false saves the adapters alone."),
    )
    vocabulary: Literal["auto", "full", "trimmed"] = Field(
        default="auto",
        description=_(
            "Vocabulary of a pretrained model: full, or trimmed to the tokens that the data needs, which saves time "
            "and memory. auto: trimmed for causal models with a large vocabulary where further targets can be expected "
            "to need no other tokens, else full."
        ),
    )
    new_tokens: Literal["needed", "none"] = Field(
        default="needed",
        description=_("Add a token for each label or character that the tokenizer cannot represent (needed), or none."),
    )
    new_token_init: Literal["meaning", "mean", "random"] = Field(
        default="meaning",
        description=_(
            "Initial embedding of added tokens: mean of the tokens of their description (meaning), of all tokens "
            "(mean), or random."
        ),
    )
    label_init: Literal["auto", "random", "names"] = Field(
        default="auto",
        description=_(
            "Initial weights of a set head's labels: random, or from the labels' names. auto: from names where the "
            "task has some, else random."
        ),
    )
    base_scores: str = Field(
        default="",
        description=_(
            "A pretrained causal checkpoint (folder, .gguf file or name on the Hugging Face Hub) whose own scores of "
            "the labels are added to those of a built-in set head; it is not trained, and is needed to predict. "
            '"": none.'
        ),
    )
    base_prompt: str = Field(
        default="Text: {source}\nLabels:",
        description=_(
            "Prompt of `model.base_scores` for one text, which stands in place of {source}; labels follow it."
        ),
    )
    base_shots: int = Field(
        default=5,
        ge=0,
        le=100,
        description=_("Training rows that each prompt of `model.base_scores` shows as examples."),
    )
    base_prompts: int = Field(
        default=3,
        ge=1,
        le=20,
        description=_("Prompts of `model.base_scores` with other examples, over which its scores are averaged."),
    )
    base_weight: Annotated[float, Field(ge=0)] | Auto = Field(
        default="auto",
        description=_(
            "Weight of the scores of `model.base_scores` beside the logits of the set head. auto: the one under which "
            "the sets of dev are most probable. 1: both count fully, for instance where a rule labelled train and dev, "
            "so that dev cannot say what the base is worth elsewhere."
        ),
    )
    template: Literal["auto", "chat", "plain"] = Field(
        default="auto",
        description=_(
            "Prompt format of a pretrained causal model: its chat template, or plain text. auto: chat where the "
            "tokenizer has a template, else plain."
        ),
    )
    instruction: str = Field(
        default="",
        description=_('Text put before every input of a pretrained model. "": the task\'s own.'),
    )
    dtype: Literal["auto", "float32", "mixed", "bfloat16", "float16"] = Field(
        default="auto",
        description=_(
            "Floating-point type of a pretrained model's weights. mixed: float32, with bfloat16 mixed precision, which "
            "pays on a GPU that supports it and on processors with AMX. auto: mixed on such a GPU, else float32. "
            "float16 needs CUDA, else float32 is used."
        ),
    )
    forward: Literal["fused", "library"] = Field(
        default="fused",
        description=_(
            "Forward pass of a pretrained model: fused layers where a test shows equal results, or only the library's."
        ),
    )


class TrainConfig(Section):
    """Optimisation, checkpoints and guards. Every `auto` is resolved before the first step and recorded."""

    steps: int | Auto = Field(
        default="auto",
        description=_(
            "Number of optimizer steps. auto: from `train.epochs` if given; else built-in 40 epochs within 1,500 to "
            "20,000 steps (10,000 for rows generated by rule), built-in set head 20 to 25 epochs, at least 150, "
            "pretrained 3 epochs, at least 100."
        ),
    )
    epochs: float | Auto = Field(
        default="auto",
        description=_(
            "Passes over the training split; `train.steps` takes precedence. auto: what the steps amount to."
        ),
    )
    minutes: float = Field(
        default=0.0,
        ge=0,
        description=_("Wall-clock limit of training in minutes. 0: no limit."),
    )
    seeds: int = Field(
        default=1,
        ge=1,
        le=100,
        description=_(
            "Number of models that are trained, with seeds counted from `seed`. The exam is opened once for all of "
            "them, and the verdict holds for the recipe and not for one model alone. The first model predicts."
        ),
    )
    batch_size: Annotated[int, Field(ge=1)] | Auto = Field(
        default="auto",
        description=_(
            "Rows per forward pass. auto: built-in 16 below 1,000 rows, else 32 (64 for rows generated by rule); "
            "built-in set head 32 below 2,000 rows, else 64; pretrained 16."
        ),
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        description=_("Batches whose gradients are accumulated into one optimizer step. 1: none."),
    )
    learning_rate: float | Auto = Field(
        default="auto",
        description=_(
            "Peak learning rate. auto: built-in 3e-3 below one million weights, else 6e-4; built-in set head 0.05; "
            "pretrained 5e-5, with LoRA 2e-4."
        ),
    )
    schedule: Literal["auto", "constant", "linear", "cosine", "one-cycle", "wsd"] = Field(
        default="auto",
        description=_(
            "Learning-rate schedule after the warmup; wsd (warmup-stable-decay) holds the peak until dev is solved and "
            "decays then. auto: one-cycle for built-in models, linear for set heads and pretrained models."
        ),
    )
    decay: float = Field(
        default=0.2,
        gt=0,
        description=_(
            "Length of the decay of the schedule wsd: below 1 a share of `train.steps`, else a number of steps."
        ),
    )
    decay_when_solved: float = Field(
        default=0.99,
        ge=0,
        description=_(
            "Dev metric at which the decay of the schedule wsd begins; training ends with the decay, at the latest "
            "after `train.steps`. 0: only at the latest possible step."
        ),
    )
    warmup: Annotated[float, Field(ge=0)] | Auto = Field(
        default="auto",
        description=_(
            "Warmup: below 1 a share of all steps, else a number of steps. auto: 0.1 built-in, 0 built-in set head, "
            "0.06 pretrained."
        ),
    )
    optimizer: Literal["auto", "adamw", "muon"] = Field(
        default="auto",
        description=_("Optimizer. auto: muon for built-in sequence models with at least 1,000 rows, else adamw."),
    )
    weight_decay: float | Auto = Field(
        default="auto",
        description=_("Decoupled weight decay. auto: 0.01 for built-in sequence models, else 0."),
    )
    betas: tuple[float, float] = Field(
        default=(0.9, 0.98),
        description=_("Decay rates of the gradient moments of AdamW."),
    )
    clip: float = Field(
        default=1.0,
        ge=0,
        description=_("Largest gradient norm; larger gradients are scaled down. 0: no clipping."),
    )
    loss: Annotated[
        str,
        InstalledName(entry_points.LOSSES, ("auto", *LOSS_NAMES)),
    ] = Field(
        default="auto",
        description=_(
            "Training loss: cross-entropy, focal (Lin et al., 2017), class-balanced (Cui et al., 2019), "
            "order-invariant (conditional Bernoulli, set heads only), or that of an installed package. "
            "auto: cross-entropy."
        ),
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description=_("Label smoothing of the cross-entropy, in [0, 1). 0: none."),
    )
    focal_gamma: float = Field(
        default=2.0,
        ge=0,
        description=_('Exponent gamma of the loss "focal".'),
    )
    class_balance_beta: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description=_('Beta of the effective number of samples in the loss "class-balanced".'),
    )
    logit_adjustment: float = Field(
        default=0.0,
        ge=0,
        description=_(
            "Strength tau of logit adjustment in the loss (Menon et al., 2021), against frequent labels. 0: off."
        ),
    )
    label_order: Literal["as-given", "canonical", "shuffled"] = Field(
        default="as-given",
        description=_(
            "Order of the labels of a target for sequence models: as given, canonical (sorted), or shuffled anew."
        ),
    )
    loss_on: Literal["target", "all"] = Field(
        default="target",
        description=_(
            "Tokens of a causal model that enter the loss: those of the target, or those of the prompt as well."
        ),
    )
    average: float | Auto = Field(
        default="auto",
        description=_(
            "Decay of the exponential moving average of the weights that predictions use. 0: off. auto: off."
        ),
    )
    curriculum: bool | Auto = Field(
        default="auto",
        description=_("Begin with easier rows. auto: true where a task generates its rows by rule, else false."),
    )
    reject_share: float = Field(
        default=0.1,
        gt=0.0,
        lt=1.0,
        description=_(
            "Share of the training rows that are corrupted sources with an empty target, where `decode.reject` is on. "
            "A corrupted source that stands in the data, or that the task's rule can read, is left as it was."
        ),
    )
    evaluate_every: Annotated[int, Field(ge=1)] | Auto = Field(
        default="auto",
        description=_(
            "Steps between two evaluations on the dev split. auto: a twentieth of all steps; for built-in set heads "
            "a tenth of their default steps; for pretrained models whose last weights are kept a fifth of all steps."
        ),
    )
    dev_items: int = Field(
        default=400,
        ge=1,
        description=_("Largest number of dev examples that each evaluation generates predictions for."),
    )
    select: Literal["auto", "metric", "loss", "last"] = Field(
        default="metric",
        description=_(
            "Which weights are kept: those with the best dev metric, with the lowest dev loss, or the last ones. "
            "auto: the last ones where dev has fewer than 100 items and the learning rate falls to nothing, else "
            "metric."
        ),
    )
    crossfit: bool = Field(
        default=True,
        description=_(
            "Built-in set heads: calibrate on out-of-fold predictions of the training split too where dev has fewer "
            "than 400 rows."
        ),
    )
    refit: bool | Auto = Field(
        default="auto",
        description=_(
            "Train again on train and dev together once everything is selected. auto: true for built-in set heads, "
            "which alone support it, else false."
        ),
    )
    stop_when_solved: float = Field(
        default=1.0,
        ge=0,
        description=_(
            "Dev metric that must be reached in five evaluations in a row for training to stop early. 0: never."
        ),
    )
    patience: int = Field(
        default=0,
        ge=0,
        description=_("Evaluations without improvement after which training stops. 0: no limit."),
    )
    keep: int = Field(
        default=2,
        ge=2,
        description=_("Number of newest checkpoints kept; each holds the best weights as well."),
    )
    bucket: bool = Field(
        default=True,
        description=_("Put rows of similar length into one batch, which saves padding."),
    )
    prefix_cache: bool | Auto = Field(
        default="auto",
        description=_(
            "Compute a prefix that prompts share only once, where that is exact. auto: true for pretrained models."
        ),
    )
    checkpointing: bool = Field(
        default=False,
        description=_("Gradient checkpointing of pretrained models: less memory, more time."),
    )
    shard: bool = Field(
        default=False,
        description=_(
            "Divide weights, gradients and optimizer state of a pretrained model among the processes of torchrun "
            "(FSDP2; Zhao et al., 2023): for bases above a billion weights. false: each process has all."
        ),
    )
    on_oom: Literal["stop", "halve"] = Field(
        default="stop",
        description=_("What happens when memory runs out: stop, or repeat the step in halves of the batch."),
    )
    threads: int = Field(
        default=0,
        ge=0,
        description=_(
            "CPU threads of each matrix multiplication. 0: one for models below one million weights and for set "
            "heads, else all cores."
        ),
    )
    replicas: Annotated[int, Field(ge=1)] | Auto = Field(
        default="auto",
        description=_(
            "Parts of a batch that are processed in parallel threads with shared weights. auto: 2 for models below one "
            "million weights with one thread on at least two cores, else 1."
        ),
    )
    guards: bool = Field(
        default=True,
        description=_("Checks during training (non-finite values, divergence, collapse and others)."),
    )
    on_collapse: Literal["warn", "stop"] = Field(
        default="warn",
        description=_("What the collapse guard does when predictions concentrate on few labels: warn or stop."),
    )
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb", "trackio"], ...] = Field(
        default=(),
        description=_("Experiment trackers that receive the metrics besides the run folder. []: none."),
    )


class DecodeConfig(Section):
    """How predictions are decoded."""

    engine: Literal["own", "ct2"] = Field(
        default="own",
        description=_(
            "What generates the predictions of a pretrained skill in exams and `terakoya predict`: Terakoya (own), or "
            "CTranslate2 (ct2). That must first predict dev equally, else Terakoya predicts and a finding says why. It "
            "halved the processor time of single predictions; batches over a trimmed vocabulary cost less with own. "
            "Training and serving always have Terakoya's own decoding."
        ),
    )
    method: Literal["greedy", "beam", "sample", "expected-metric"] = Field(
        default="greedy",
        description=_(
            "Decoding of sequence models: greedy search, beam search, sampling, or expected-metric (minimum Bayes risk "
            "over samples; Kumar and Byrne, 2004). Set heads always maximise `decode.objective`."
        ),
    )
    beams: int = Field(default=4, ge=1, description=_('Beam width of the method "beam".'))
    samples: int = Field(
        default=16,
        ge=1,
        description=_('Samples per query of the method "expected-metric".'),
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        description=_("Softmax temperature of sampling; below 1 sharpens the distribution."),
    )
    top_k: int = Field(
        default=0,
        ge=0,
        description=_("Sampling considers only the k most probable tokens. 0: all."),
    )
    top_p: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description=_(
            "Sampling considers only the most probable tokens with this total probability (nucleus sampling). 1: all."
        ),
    )
    repetition_penalty: float = Field(
        default=1.0,
        gt=0,
        description=_("Factor that lowers the scores of tokens already generated (Keskar et al., 2019). 1: none."),
    )
    constrained: bool = Field(
        default=True,
        description=_("Generate only outputs that the codec's grammar permits."),
    )
    objective: Literal["auto", "probability", "jaccard", "f1"] = Field(
        default="auto",
        description=_(
            "What expected-metric decoding and set heads maximise: the probability of an exact match, the expected "
            "Jaccard index, or the expected F1. auto: Jaccard for label sets, else probability."
        ),
    )
    logit_adjustment: float = Field(
        default=0.0,
        ge=0,
        description=_("Strength tau with which the label prior is subtracted when a set head decodes. 0: off."),
    )
    share_cap: float = Field(
        default=1.4,
        ge=0,
        description=_(
            "Set heads: largest share of a frequent label among predictions, as a multiple of its share in training. "
            "The default costs score (Jaccard 0.036 [0.027, 0.045] on the shipped emoji sets): it keeps frequent "
            "labels from crowding out the others. 0: off."
        ),
    )
    max_tokens: int = Field(
        default=0,
        ge=0,
        description=_("Largest number of generated tokens. 0: from the longest target."),
    )
    batch_size: int = Field(
        default=64,
        ge=1,
        description=_("Queries decoded at once; halved where memory runs out, with the same predictions."),
    )
    abstain_below: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=_("Calibrated probability below which a prediction is withheld. 0: never."),
    )
    promise: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description=_(
            "Share of the returned predictions that is promised to be right, such as 0.98: as many as that allows "
            "are returned, all others withheld. The threshold is tested on dev (exact bound, 95%). 0: no promise."
        ),
    )
    novel: Literal["withhold", "predict"] = Field(
        default="withhold",
        description=_(
            "What is done with a source unlike those of training, such as one in another language: withhold its "
            "prediction, or predict. An exam is scored with all predictions, and counts such items."
        ),
    )
    reject: bool = Field(
        default=False,
        description=_(
            "Whether a sequence model is trained to reject ill-formed sources: `train.reject_share` of its rows are "
            "corrupted sources with an empty target, and what it rejects is withheld. For notations in which every "
            "character counts; in free text a source with a character less is still a good one."
        ),
    )
    unknown: Literal["withhold", "predict"] = Field(
        default="withhold",
        description=_(
            "What is done with a source that holds characters the model does not know: withhold its prediction, or "
            "predict from the rest. An exam is scored from the rest, and counts such items."
        ),
    )
    verify: bool = Field(
        default=False,
        description=_("Withhold a prediction from which the task's reverse rule does not reproduce the source."),
    )


class ScoreConfig(Section):
    """How the exam is scored."""

    smallest_gain: float = Field(
        default=0.02,
        ge=0,
        description=_("Smallest gain over the best baseline, in units of the metric, that counts as worthwhile."),
    )
    good_enough: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=_(
            "Mean score on the exam, in units of the metric, that is good enough for what the model is wanted for; "
            "the record then says first whether it is reached. 0: none is set."
        ),
    )
    curve_minutes: float = Field(
        default=3.0,
        ge=0,
        description=_(
            "Longest expected time, in minutes, of a learning curve that a run trains by itself, before the exam, "
            "where it scores much higher on its training rows than on dev. Three times its own training is expected; "
            "where that is longer, the record names the command. 0: never by itself."
        ),
    )
    exam_items: int = Field(
        default=0,
        ge=0,
        description=_("Size of the exam of a task that generates it by rule. 0: the task's own."),
    )
    resamples: int = Field(
        default=2000,
        ge=100,
        description=_("Bootstrap resamples of the confidence intervals."),
    )
    baselines: tuple[Annotated[str, InstalledName(entry_points.BASELINES, ())], ...] = Field(
        default=(),
        description=_("Baselines of installed packages, beside the standard ones. []: none."),
    )
    untrained_base: bool = Field(
        default=True,
        description=_(
            "With a pretrained base, the base as it was before training takes the exam too, as a baseline. false: it "
            "does not."
        ),
    )
    untrained_shots: int = Field(
        default=16,
        ge=0,
        description=_(
            "Largest number of training examples in the prompt of the untrained base; 0, 2, 4, 8 … are tried on dev. "
            "0: zero-shot only. Encoder-decoders always predict zero-shot."
        ),
    )
    untrained_minutes: float = Field(
        default=10.0,
        gt=0,
        description=_(
            "Time budget of the untrained base in minutes: no larger number of examples is tried where dev and exam "
            "would take longer, and it is left out where even zero-shot would."
        ),
    )


class TeacherSettings(Section):
    """Settings of one teacher: who it is, its limits and its prices."""

    kind: Literal["api", "rules", "lexicon"] = Field(
        default="api",
        description=_(
            "The teacher: a large model behind an OpenAI-compatible API, or, free and offline, the recipe's rules or "
            "the emoji lexicon."
        ),
    )
    base_url: str = Field(default="https://openrouter.ai/api/v1", description=_("Address of the API."))
    model: str = Field(
        default="",
        description=_('Name of the model at the provider; required for the kind "api".'),
    )
    key_variable: str = Field(
        default="OPENROUTER_API_KEY",
        description=_('Name of the environment variable that holds the API key, never the key itself. "": no key.'),
    )
    licence: str = Field(
        default="",
        description=_(
            "Terms under which the teacher's output may be trained on: a licence name or an address. Required unless "
            "--i-have-the-right is given."
        ),
    )
    budget: float = Field(
        default=0.0,
        ge=0,
        description=_(
            "Spending cap in `teacher.currency`; it is never exceeded. 0: none, then `teacher.requests` is required."
        ),
    )
    requests: int = Field(
        default=0,
        ge=0,
        description=_("Largest number of requests. 0: no limit, then `teacher.budget` is required."),
    )
    price_in: float = Field(
        default=-1.0,
        ge=-1,
        description=_("Price of one million prompt tokens. 0: free. -1: not known."),
    )
    price_out: float = Field(
        default=-1.0,
        ge=-1,
        description=_("Price of one million response tokens. 0: free. -1: not known."),
    )
    batch: int = Field(
        default=0,
        ge=0,
        le=50_000,
        description=_(
            "Largest number of requests in one batch of the provider's batch interface, which is slower and cheaper; "
            "as many sentences are planned at once. 0: requests are sent one by one."
        ),
    )
    batch_price: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description=_("Price of a request in a batch, as a share of `teacher.price_in` and `teacher.price_out`."),
    )
    max_concurrent: int = Field(default=64, ge=1, description=_("Largest number of requests pending at once."))
    requests_per_minute: int = Field(
        default=0,
        ge=0,
        description=_("Rate limit in requests per minute. 0: none."),
    )
    tokens_per_minute: int = Field(
        default=0,
        ge=0,
        description=_("Rate limit in tokens per minute. 0: none."),
    )
    max_tokens: int = Field(default=256, ge=1, description=_("Largest number of tokens of a response."))
    max_tokens_name: str = Field(
        default="max_tokens",
        pattern=r"^[A-Za-z_]\w*$",
        description=_(
            "Field of the request that carries `teacher.max_tokens`; some models take only max_completion_tokens."
        ),
    )
    temperature: Annotated[float, Field(ge=0)] | Literal["unset"] = Field(
        default=0.7,
        description=_(
            "Sampling temperature of the teacher. unset: it is not sent, for models that accept only their own."
        ),
    )
    thinking: Literal["reject", "strip"] = Field(
        default="reject",
        description=_(
            "A response with the model's thinking in its text: reject it, or strip the thinking in front of the "
            "output. An empty thinking block is always dropped."
        ),
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description=_(
            "Further fields of every request's body, as a table: reasoning effort, chat template arguments, provider "
            "routing. {}: none."
        ),
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description=_(
            "Further HTTP headers of every request, as a table. ${NAME} in a value is the environment variable NAME. "
            "{}: none."
        ),
    )
    deadline: float = Field(
        default=60.0,
        gt=0,
        description=_("Wall-clock limit of one request in seconds."),
    )
    attempts: int = Field(
        default=5,
        ge=1,
        description=_("Attempts per request before it is abandoned."),
    )
    hedge: bool = Field(
        default=False,
        description=_("Send a second request where the first is far slower than usual; both may be charged."),
    )

    @field_validator("key_variable")
    @classmethod
    def _name_of_a_variable(cls, name: str) -> str:
        return checked_variable(name)

    @field_validator("base_url")
    @classmethod
    def _without_password(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("model", "licence")
    @classmethod
    def _without_key(cls, text: str) -> str:
        return checked_text(text)

    @field_validator("extra")
    @classmethod
    def _only_further_fields(cls, extra: dict[str, Any]) -> dict[str, Any]:
        return checked_extra(extra)

    @field_validator("headers")
    @classmethod
    def _only_legal_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        return checked_headers(headers)


class PooledTeacher(TeacherSettings):
    """One of several teachers. A setting that is left out is that of [teacher]; `budget` and `requests` are its own."""

    weight: float = Field(
        default=1.0,
        ge=0,
        allow_inf_nan=False,
        description=_(
            "Its share of the rows, in proportion to the weights of all teachers. 0: no row that has not begun with it."
        ),
    )

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only what was written: everything else follows [teacher]."""
        return {key: value for key, value in dump(self).items() if key in self.model_fields_set}


class TeacherConfig(TeacherSettings):
    """The teacher that generates data, or several, their limits and their prices."""

    pool: dict[str, PooledTeacher] = Field(
        default_factory=dict,
        description=_(
            "Several teachers for one data set, as tables `[teacher.pool.NAME]`. Each may hold `weight` (its share of "
            "the rows, by default 1; 0: no new rows), a `budget` and `requests` of its own, and every setting of who a "
            "teacher is, how it is sent requests and what it costs (from `kind` to `hedge`); what it leaves out is "
            "that of [teacher]. {}: one teacher, [teacher] itself."
        ),
    )
    fallback: bool = Field(
        default=False,
        description=_(
            "Whether rows of a teacher in `teacher.pool` that is exhausted or down go to the others. false: they stay "
            "open, and the same command requests them again."
        ),
    )
    recipe: str = Field(
        default="",
        description=_("Name of a recipe that ships, or a folder with recipe.toml and prompt files."),
    )
    sources: str = Field(
        default="",
        description=_(
            'Source sentences: "ours" (the shipped corpus), "hand", "phrases", a path (.txt or a table), or '
            '"hub:owner/name". "": the recipe\'s own.'
        ),
    )
    exclude: tuple[str, ...] = Field(
        default=(),
        description=_("Earlier data sets whose source sentences are not used again. []: none."),
    )
    samples: int = Field(default=1000, ge=1, description=_("Number of rows to generate."))
    currency: str = Field(default="USD", description=_("Currency of budget and prices."))
    rates: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default_factory=dict,
        description=_(
            "Exchange rates for a provider that reports costs in another currency, as a table of codes: units of "
            "`teacher.currency` for one unit of the other. Costs in a currency without a rate are refused. {}: none."
        ),
    )
    banned: tuple[str, ...] = Field(default=(), description=_("Labels that are never accepted. []: none."))
    labels: tuple[str, ...] = Field(
        default=(),
        description=_("The closed label set. []: the recipe's own, else any label."),
    )
    quota: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=_("Largest share of one label among all label uses. 0: no limit."),
    )
    density: int = Field(
        default=0,
        ge=0,
        description=_(
            "Uses of each label of the closed set at which generation is complete. 0: only `teacher.samples` counts."
        ),
    )
    max_rejected: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description=_("Share of rejected rows at which generation stops before more is spent."),
    )

    @field_validator("recipe", "sources", "currency")
    @classmethod
    def _no_key_in_text(cls, text: str) -> str:
        return checked_text(text)

    @field_validator("rates")
    @classmethod
    def _by_code(cls, rates: dict[str, float]) -> dict[str, float]:
        return checked_rates(rates)

    @field_validator("pool")
    @classmethod
    def _by_usable_names(cls, pool: dict[str, PooledTeacher]) -> dict[str, PooledTeacher]:
        return checked_pool(pool)


class Config(Section):
    """Everything that determines a run."""

    name: str = Field(default="run", description=_("Name of the run and of its folder."))
    seed: int = Field(
        default=0,
        ge=0,
        description=_("Seed of all random generators: the same seed gives the same bits on the same machine."),
    )
    lang: Language = Field(
        default="",
        description=_('Language of findings, errors and reports. "": by the locale.'),
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto",
        description=_("Device that computes. auto: the first of cuda, mps and cpu that exists."),
    )
    task: TaskConfig = Field(
        default=TaskConfig(),
        description=_("What is to be learned: either a task (`use`) or a table (`data`)."),
    )
    split: SplitConfig = Field(
        default=SplitConfig(),
        description=_("How examples are split into train, dev and exam."),
    )
    model: ModelConfig = Field(
        default=ModelConfig(),
        description=_("The model, and how a pretrained one is adapted."),
    )
    train: TrainConfig = Field(
        default=TrainConfig(),
        description=_("Optimisation, checkpoints and guards."),
    )
    decode: DecodeConfig = Field(default=DecodeConfig(), description=_("How predictions are decoded."))
    score: ScoreConfig = Field(default=ScoreConfig(), description=_("How the exam is scored."))
    teacher: TeacherConfig = Field(
        default=TeacherConfig(),
        description=_("The teacher that generates data, its limits and its prices."),
    )


def known_keys() -> Iterator[tuple[str, str, Any]]:
    """Every (section, key, default); the section "" holds the top level."""
    for name, field in Config.model_fields.items():
        default = field.default
        if isinstance(default, Section):
            for key in type(default).model_fields:
                yield name, key, getattr(default, key)
        else:
            yield "", name, default
