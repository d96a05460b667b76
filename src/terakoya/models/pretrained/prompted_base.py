"""An untrained causal base that scores labels after one fixed prompt with a few examples, for thousands of texts.

    base = PromptedBase(model, LabelPrompt("文:{source}\n絵文字:", shots), labels)
    base.log_probs(texts)                    # (texts, labels), log p(label | text)

In-context learning (Brown et al., 2020, arXiv:2005.14165) with a prompt that names its parts. The examples are the same
for every text, so their keys and values are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from terakoya.errors import DataError
from terakoya.models.label_trie import Node, trie_levels, trie_width, walk_trie
from terakoya.models.pretrained.causal_batches import prefix_tree_is_exact
from terakoya.models.pretrained.kv_cache import CachedPrefix, CausalState
from terakoya.models.pretrained.model import PretrainedModel

NEUTRAL = ("N/A", "…", "。", "-")  # texts without content, as in Zhao et al. (2021, arXiv:2102.09690)
PLACE = "{source}"
_SEPARATOR = "\n\n"
_ROWS = 16  # texts in one forward pass
_WIDEST = 16  # rows of a text, up to which every token of a label is scored after that text
_MOST_CHARACTERS = 400  # of a text; longer ones are cut for scoring


@dataclass(frozen=True)
class LabelPrompt:
    """The prompt before every text.

    template  of one text, which stands in place of {source}; a set of labels follows it
    shots     examples: a text and its labels, separated by spaces
    """

    template: str
    shots: tuple[tuple[str, str], ...] = ()

    def __call__(self, text: str) -> str:
        """The whole prompt before the labels of `text`."""
        shown = [self.template.replace(PLACE, one) + labels + _SEPARATOR for one, labels in self.shots]
        return "".join(shown) + self.template.replace(PLACE, text)


class PromptedBase:
    """An untrained base with a prompt and a label set.

    model   a causal checkpoint, its vocabulary untrimmed
    prompt  stands before every text
    labels  L labels, in the order of the columns of scores
    """

    def __init__(self, model: PretrainedModel, prompt: LabelPrompt, labels: Sequence[str]) -> None:
        self.model, self.prompt = model, prompt
        begin = model.tokenizer.hf_tokenizer.bos_token_id
        self._begin = [] if begin is None else [int(begin)]
        written = {label: ids for label in labels if (ids := self._label_ids(label))}
        self._columns = [index for index, label in enumerate(labels) if label in written]
        self._labels, self._all = list(written.values()), len(labels)
        self._prefix: CachedPrefix | None = None

    def log_probs(self, texts: Sequence[str]) -> Tensor:
        """(texts, L) log p(label | text), all tokens of each label.

        texts  any number; of a very long one the first characters are scored
        Where many labels begin with the same token, the tokens after it are scored after neutral texts instead, so
        that one forward pass for each text is enough. A label that the base cannot write has 0 everywhere.
        """
        scores = torch.zeros(len(texts), self._all, dtype=torch.float64)
        if not texts or not self._labels:
            return scores
        if trie_width(self._labels) <= _WIDEST:
            scores[:, self._columns] = self._score(texts, self._labels)
        else:
            scores[:, self._columns] = self._score(texts, [ids[:1] for ids in self._labels]) + self._rest
        return scores

    def neutral(self) -> Tensor:
        """(L,) log p(label | text), the mean over texts without content: what the base would say anyway."""
        return self.log_probs(NEUTRAL).mean(0)

    @cached_property
    def _rest(self) -> Tensor:
        """Log-probability of the tokens after the first of each label, the mean over neutral texts."""
        first = self._score(NEUTRAL, [ids[:1] for ids in self._labels])
        return (self._score(NEUTRAL, self._labels) - first).mean(0)

    def _score(self, texts: Sequence[str], labels: Sequence[Node]) -> Tensor:
        prompts = [self._prompt_ids(text) for text in texts]
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        levels, scores = trie_levels(labels), torch.zeros(len(texts), len(labels), dtype=torch.float64)
        size = max(1, _ROWS // max(map(len, levels)))
        self.model.module.eval()
        with torch.inference_mode():  # not from prepacked weights: with batches of hundreds of tokens those are slower
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                state = self._state([prompts[row] for row in rows])
                scores[rows] = walk_trie(state, len(rows), labels, levels)
        return scores

    def _state(self, prompts: Sequence[Sequence[int]]) -> CausalState:
        model = self.model
        window = int(getattr(model.core.config, "sliding_window", None) or 0)
        if self._prefix is None and self._is_shareable:
            self._prefix = CachedPrefix(model.core, self._shared_ids(), model.device)
        prefix = self._prefix
        shared = prefix is not None and all(tuple(prompt[: len(prefix.ids)]) == prefix.ids for prompt in prompts)
        return CausalState(
            model.core, prompts, model.pad, model.device, window=window, prefix=prefix if shared else None
        )

    @cached_property
    def _is_shareable(self) -> bool:
        """Whether keys and values are all that the base keeps of a prefix; measured here, for the model's own measure
        takes a prompt without examples, which may be too short for it."""
        head = self.model.vocabulary.tables.head
        with torch.inference_mode(False):
            return prefix_tree_is_exact(self.model.core, head, self._prompt_ids(NEUTRAL[0]))

    def _shared_ids(self) -> list[int]:
        """With what the prompts of any two texts begin: all but the last few ids before the text."""
        one, other = self._prompt_ids(NEUTRAL[0]), self._prompt_ids(NEUTRAL[1])
        same = next(index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
        return one[:same]

    def _prompt_ids(self, text: str) -> list[int]:
        """Ids of the prompt of a text; a control token that a text spells out stays plain characters."""
        ids = self.model.tokenizer.encode_prompt([(self.prompt(text[:_MOST_CHARACTERS]), True)])
        return self.model.vocabulary.id_map.to_trimmed([*self._begin, *ids])

    def _label_ids(self, label: str) -> Node:
        """Ids of a label; () where the tokenizer would lose part of it."""
        try:
            return tuple(self.model.target_ids(label)[:-1])
        except DataError:  # the base cannot write it, so it can say nothing of it
            return ()
