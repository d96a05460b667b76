"""Pretrained models, by hub name or folder: any causal or encoder-decoder checkpoint in safetensors.

    model = build(config.model, pairs, labels, seed=7)      # opened, new tokens added, trimmed, LoRA put in
    model = load(folder)                                    # what `save` wrote, or any checkpoint made elsewhere

Every quirk of the libraries ends in this file and its siblings: `hub_files` (what may be opened), `hub_load` (opening
it), `hub_tokens` and `hub_prompt` (how it is spoken to), `hub_trimmed` and `hub_lora` (what of it is held and taught),
`hub_causal`, `hub_seq2seq`, `hub_state` (training and asking), `hub_save` (what is left behind). `vocabulary` holds new
tokens and trimming.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, IncompatibleError, need
from terakoya.i18n import both
from terakoya.models.pretrained import lora, saving, vocabulary, vocabulary_trimming
from terakoya.models.pretrained.audit_tokenizer import reader
from terakoya.models.pretrained.checkpoint_files import Checkpoint, find_checkpoint, read_json, vetted
from terakoya.models.pretrained.fused.patching import quicken_layers
from terakoya.models.pretrained.fused.tree_attention import quicken_norms
from terakoya.models.pretrained.loading import Opened, opened
from terakoya.models.pretrained.metadata import About
from terakoya.models.pretrained.model import HubModel, kind_of
from terakoya.models.pretrained.prompt import Prompt, prompt_for
from terakoya.models.pretrained.set_model import HubSetModel, build_set, is_set, load_set
from terakoya.models.pretrained.tokenizer import Tokens
from terakoya.models.pretrained.vocabulary import Words
from terakoya.models.protocol import Pair
from terakoya.records import Finding

__all__ = ["build", "load", "reader"]


def build(
    config: ModelConfig,
    pairs: Iterable[Pair],
    labels: tuple[str, ...] = (),
    *,
    seed: int,
    instruction: str = "",
    label_names: Mapping[str, Sequence[str]] | None = None,
) -> HubModel | HubSetModel:
    """A checkpoint made ready for these pairs: with a set head where there are labels, unless config.head says not.

    labels       of a task whose answers are labels: one that exists only as bytes gets a token of its own
    label_names  words that a label's first values are made of, where better ones than its Unicode name are known
    """
    rows = list(pairs)
    checkpoint = find_checkpoint(config.base, config.revision)
    found = opened(checkpoint, config.dtype)
    tokens = _tokens(found)
    about = About(
        base=config.base,
        revision=checkpoint.revision,
        folder=str(checkpoint.folder),
        template=config.template,
        instruction=config.instruction or instruction,
        max_source=config.max_source,
        max_target=config.max_target,
        findings=found.findings,
        merge=config.merge,
        forward=config.forward,
    )
    as_set = config.head == "set" or (config.head == "auto" and bool(labels))
    if config.new_tokens == "needed" and not as_set:
        about = replace(about, new_tokens=_learn(found, tokens, rows, labels, config, label_names or {}, seed))
    prompt = _prompt(tokens, found, about.template, about.instruction, checkpoint.name)
    if config.vocabulary == "trimmed":
        # A set is written by no token: what its rows need is what they ask.
        asked = [Pair(row.ask, "") for row in rows] if as_set else rows
        about = replace(about, kept=vocabulary_trimming.kept(found, prompt, asked, about.new_tokens))
    if config.adaptation == "lora":
        about = replace(about, lora=lora.settings(config))
    lost = [row for row in rows if any(map(tokens.loses, (turn for turn in _texts(row))))]
    about = replace(about, findings=(*about.findings, *_unknown(lost, len(rows))))
    model = _assembled(found, checkpoint, prompt, about, seed)
    if about.lora is None:
        _own(found.module)
    if not as_set:
        return model
    if not labels:
        raise ConfigError(
            both(
                "a set head scores labels, and this task has none", "集合ヘッドはラベルに点を付けるが、この課題にはない"
            ),
            where="model.head",
            do=both(
                "Set task.codec = 'labels', or model.head = 'sequence'.",
                "task.codec = 'labels' か model.head = 'sequence' とすること。",
            ),
        )
    return build_set(model, rows, labels, seed, {} if config.label_init == "random" else label_names or {})


def load(folder: Path, *, instruction: str = "", template: str = "auto") -> HubModel | HubSetModel:
    """The model in a folder that `save` wrote, as it was taught; or any checkpoint, asked as these options say."""
    model = _load(folder, instruction, template)
    return load_set(model, folder) if is_set(folder) else model


def _load(folder: Path, instruction: str, template: str) -> HubModel:
    about_file = folder / saving.ABOUT
    if not about_file.is_file():
        checkpoint = Checkpoint(str(folder), folder, "", vetted(folder))
        found = opened(checkpoint)
        about = About(
            str(folder), folder=str(folder), template=template, instruction=instruction, findings=found.findings
        )
        prompt = _prompt(_tokens(found), found, template, instruction, checkpoint.name)
        return _assembled(found, checkpoint, prompt, about, 0)
    facts = read_json(about_file, str(folder))
    if facts.pop("format", None) != saving.FORMAT:
        raise IncompatibleError(
            both("another version of terakoya wrote this model", "別の版の terakoya が書いたモデルである"),
            where=str(folder),
            do=both("Open it with the version of terakoya that made it.", "作ったときの版の terakoya で開くこと。"),
        )
    adapter = facts.pop("adapter")
    kept, new = facts.pop("kept"), facts.pop("new_tokens")
    about = About(**facts, kept=None if kept is None else tuple(kept), new_tokens=tuple(new), folder=str(folder))
    if adapter:
        return _load_adapter(folder, about)
    checkpoint = Checkpoint(about.base, folder, about.revision, vetted(folder))
    found = opened(checkpoint)
    prompt = _prompt(_tokens(found), found, about.template, about.instruction, str(folder))
    return _assembled(found, checkpoint, prompt, replace(about, lora=None, findings=found.findings), 0)


def _load_adapter(folder: Path, about: About) -> HubModel:
    """Base and adapter together; the tokenizer (with its new tokens) is the adapter's."""
    base = find_checkpoint(about.base, about.revision)
    found = opened(base)
    transformers = need("transformers", extra="hub")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    found = replace(found, tokenizer=tokenizer)
    _make_room(found.module, tokenizer)
    prompt = _prompt(_tokens(found), found, about.template, about.instruction, str(folder))
    model = _assembled(found, base, prompt, replace(about, folder=str(base.folder)), 0)
    saving.read_adapter(model, folder)
    return model


def _prompt(tokens: Tokens, found: Opened, kind: str, instruction: str, name: str) -> Prompt:
    """The checkpoint's prompt; what is wrong with its template is said with its name."""
    try:
        return prompt_for(tokens, causal=found.causal, kind=kind, instruction=instruction)
    except IncompatibleError as error:
        error.where = error.where or name
        raise


def _assembled(found: Opened, checkpoint: Checkpoint, prompt: Prompt, about: About, seed: int) -> HubModel:
    """Trimmed where wanted, LoRA put in where wanted, behind the face of its family."""
    if about.forward == "quick":
        quicken_norms(found.module)
    words = Words(found.module, about.kept)
    if about.kept is not None:
        vocabulary_trimming.read_rest(words, found.module, checkpoint.folder)
    if about.lora is not None:
        lora.put_in(found.module, about.lora, seed)
        lora.free_new_rows(words, prompt.tokens, about)
    if about.forward == "quick":
        quicken_layers(found.module)
    _ends(found.module, prompt, found.causal)
    return kind_of(found.causal)(found.module, prompt, words, about)


def _own(module: torch.nn.Module) -> None:
    """Weights to be trained leave the mapped file. The first step would copy them anyway, page by page, and whatever
    else of the file was touched (a table of 262,144 rows) would stay in memory as long as one weight lies in it."""
    for weight in module.parameters():
        weight.data = weight.data.clone()


def _tokens(found: Opened) -> Tokens:
    settings: Any = found.module.generation_config
    ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    return Tokens(found.tokenizer, ends=[end for end in ends if end is not None], anchored=found.causal)


def _learn(
    found: Opened,
    tokens: Tokens,
    rows: Sequence[Pair],
    labels: Sequence[str],
    config: ModelConfig,
    names: Mapping[str, Sequence[str]],
    seed: int,
) -> tuple[str, ...]:
    """Add the tokens that the data needs and give their rows a first value."""
    new = vocabulary.needed({row.written for row in rows}, labels, tokens.carries, tokens.spelt_in_bytes)
    if not new:
        return ()
    spellings = [tokens.spelling(vocabulary.meaning(token, names)) for token in new]
    tokens.learn(new)
    _make_room(found.module, found.tokenizer)
    ids = [tokens.learnt[token] for token in new]
    if ids != list(range(ids[0], ids[0] + len(ids))):
        raise IncompatibleError(
            both(
                "the tokenizer did not give new tokens numbers in a row",
                "トークナイザが新しいトークンに連続した番号を付けなかった",
            ),
            where=config.base,
            do=both(
                "Set model.new_tokens = 'none', or take another checkpoint.",
                "model.new_tokens = 'none' とするか、別のチェックポイントを使うこと。",
            ),
        )
    vocabulary.begin(found.module, ids[0], spellings, config.new_token_init, seed)
    return tuple(new)


def _make_room(module: Any, tokenizer: Any) -> None:
    wanted = max(tokenizer.get_vocab().values()) + 1
    if wanted > module.get_input_embeddings().weight.shape[0]:
        module.resize_token_embeddings(wanted, mean_resizing=False)


def _ends(module: Any, prompt: Prompt, causal: bool) -> None:
    """Plain `generate` stops where we stop, is greedy as we are, and begins as we begin."""
    settings = module.generation_config
    ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    settings.eos_token_id = list(dict.fromkeys([prompt.end, *(end for end in ends if end is not None)]))
    settings.do_sample = False
    for name in ("temperature", "top_k", "top_p", "min_p", "typical_p"):
        setattr(settings, name, None)
    if not causal and prompt.tokens.lead:
        settings.forced_bos_token_id = prompt.tokens.lead[0]


def _texts(row: Pair) -> list[str]:
    return [row.ask.source, *(turn.content for turn in row.ask.turns)]


def _unknown(lost: Sequence[Pair], count: int) -> list[Finding]:
    if not lost:
        return []
    shown = ", ".join(row.key or row.ask.source[:20] for row in lost[:3])
    return [
        Finding(
            "unknown-tokens",
            "warn",
            both(
                f"{len(lost)} of {count} sources hold characters that the tokenizer does not know",
                f"入力{count}件のうち{len(lost)}件に、トークナイザの知らない文字がある",
            ),
            shown,
            both(
                "The model cannot see them: take a base whose tokenizer falls back on bytes, or respell the sources.",
                "モデルには見えない：バイト単位でも扱えるトークナイザのモデルにするか、入力の書き方を変えること。",
            ),
            values={"rows": float(len(lost)), "share": len(lost) / count},
        )
    ]
