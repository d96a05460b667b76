"""LoRA adapters (Hu et al., 2021, arXiv:2106.09685) through peft, with the embedding rows of new tokens trained too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, need
from terakoya.i18n import _
from terakoya.models.pretrained.metadata import PretrainedMetadata
from terakoya.models.pretrained.tokenizer import PromptTokenizer
from terakoya.models.pretrained.vocabulary import VocabularyTables


def peft_settings(config: ModelConfig) -> dict[str, Any]:
    """Keyword arguments of peft.LoraConfig for this config, as a saved folder keeps them.

    config  rank, alpha, dropout and target layers of the adapters
    """
    return {
        "r": config.lora_rank,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": list(config.lora_targets) or "all-linear",
        "bias": "none",
    }


def inject(module: Any, settings: Mapping[str, Any], seed: int) -> None:
    """Put adapters into a model; afterwards they are its only trainable weights.

    module    a model of transformers
    settings  of `peft_settings`
    seed      of the adapters' initial values
    Raises ConfigError where no layer has one of the target names.
    """
    peft = need("peft", extra="hub")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(peft.LoraConfig(**settings), module)
        except ValueError as error:
            raise ConfigError(
                _("no layer has a name of model.lora_targets: {error}", error=error),
                where="model.lora_targets",
                do=_("Name linear layers of the model."),
            ) from error
    for name, weight in module.named_parameters():
        weight.requires_grad_("lora_" in name)


def train_new_rows(vocabulary: VocabularyTables, tokenizer: PromptTokenizer, metadata: PretrainedMetadata) -> None:
    """Make the embedding rows of new tokens trainable: frozen, they would keep their initial values.

    vocabulary  of the model
    tokenizer   knows the ids of the new tokens
    metadata    lists the new tokens; without any nothing happens
    """
    if metadata.new_tokens:
        ids = vocabulary.id_map.to_trimmed([tokenizer.added_tokens[token] for token in metadata.new_tokens])
        vocabulary.free_rows(ids[0], len(ids))
