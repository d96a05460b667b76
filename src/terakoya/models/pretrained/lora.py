"""LoRA (Hu et al., 2021, arXiv:2106.09685) as peft puts it in, with rows of new tokens taught beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, need
from terakoya.i18n import both
from terakoya.models.pretrained.metadata import About
from terakoya.models.pretrained.tokenizer import Tokens
from terakoya.models.pretrained.vocabulary import Words


def settings(config: ModelConfig) -> dict[str, Any]:
    """What peft is told, as a saved folder keeps it."""
    return {
        "r": config.lora_rank,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": list(config.lora_targets) or "all-linear",
        "bias": "none",
    }


def put_in(module: Any, told: Mapping[str, Any], seed: int) -> None:
    """Adapters are trained and nothing else is. Raises ConfigError where no layer has a name that is asked for."""
    peft = need("peft", extra="hub")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(peft.LoraConfig(**told), module)
        except ValueError as error:
            raise ConfigError(
                both(str(error), f"層の名前が合わない：{error}"),
                where="model.lora_targets",
                do=both("Name linear layers of the model.", "モデルの線形層を指定すること。"),
            ) from error
    for name, weight in module.named_parameters():
        weight.requires_grad_("lora_" in name)


def free_new_rows(words: Words, tokens: Tokens, about: About) -> None:
    """New tokens are taught too: a frozen row would stay what it began as."""
    if about.new_tokens:
        ids = words.numbering.inward([tokens.learnt[token] for token in about.new_tokens])
        words.free_rows(ids[0], len(ids))
