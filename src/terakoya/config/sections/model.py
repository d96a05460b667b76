"""Section [model]: the model, and how a pretrained one is adapted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from terakoya.config.sections.section import Auto, Section
from terakoya.i18n import _


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
