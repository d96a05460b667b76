"""A checkpoint's tokenizer, for whoever looks at data before any weight is opened.

    reader = hub.reader(config.model, written, labels, instruction=task.instruction)
    audit(task, split, reader)

New tokens that the data would get count as known: what training adds is no loss.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from terakoya.config import ModelConfig
from terakoya.errors import DataError, need
from terakoya.models.pretrained import vocabulary
from terakoya.models.pretrained.checkpoint_files import find_checkpoint, read_json
from terakoya.models.pretrained.loading import heard, open_tokenizer
from terakoya.models.pretrained.prompt import prompt_for
from terakoya.models.pretrained.tokenizer import Tokens
from terakoya.models.protocol import Query

_PROBE = "一"  # what a prompt adds is counted around it


class Reader:
    """What the audit asks of a tokenizer (data/audit/tokens.py): ids, their text, and what fits."""

    def __init__(self, tokens: Tokens, max_source: int, max_target: int) -> None:
        self.tokens, self.max_source, self.max_target = tokens, max_source, max_target
        self.unknown = tokens.unknown

    def encode(self, text: str) -> Sequence[int]:
        """As an answer is encoded where that loses nothing, else as the tokenizer itself would."""
        try:
            return self.tokens.answer(text)
        except DataError:
            found: list[int] = self.tokens.backend.encode(text, add_special_tokens=False).ids
            return found

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokens.text(ids)


def reader(config: ModelConfig, written: Collection[str], labels: Sequence[str] = (), instruction: str = "") -> Reader:
    """The tokenizer of `config.base` with the tokens that these written targets would be given. Opens no weights."""
    transformers = need("transformers", extra="hub")
    checkpoint = find_checkpoint(config.base, config.revision)
    with heard():
        tokenizer = open_tokenizer(transformers, checkpoint)
    causal = not checkpoint.config.get("is_encoder_decoder", False)
    tokens = Tokens(tokenizer, ends=_ends(checkpoint.folder), anchored=causal)
    if config.new_tokens == "needed":
        tokens.learn(vocabulary.needed(set(written), labels, tokens.carries, tokens.spelt_in_bytes))
    prompt = prompt_for(tokens, causal=causal, kind=config.template, instruction=config.instruction or instruction)
    around = len(prompt.question(Query(_PROBE))) - len(tokens.asked([(_PROBE, True)]))
    positions = int(checkpoint.config.get("max_position_embeddings") or 0)
    most = config.max_source or (positions - 1 if positions else 0)
    return Reader(tokens, max(1, most - around) if most else 0, max(0, config.max_target - 1))


def _ends(folder: Path) -> list[int]:
    """Ids that end a text, by the generation settings beside the weights."""
    if not (folder / "generation_config.json").is_file():
        return []
    ends = read_json(folder / "generation_config.json", str(folder)).get("eos_token_id")
    return [end for end in (ends if isinstance(ends, list) else [ends]) if isinstance(end, int)]
