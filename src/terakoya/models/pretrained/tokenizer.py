"""Text ↔ tokens of a pretrained model: what is written comes back as it was, and data never speaks as the template.

`Tokens.asked` encodes a prompt whose parts are either the template's own words or content. Control tokens (special
tokens, and every added token that the chat template writes) come from the template alone: where content spells one
out, it is encoded as the plain characters that it is. For harmless content the ids are exactly those of the
tokenizer itself. `Tokens.answer` encodes an answer so that `Tokens.text` gives it back, character by character.
"""

from __future__ import annotations

import json
import re
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from terakoya.errors import DataError, IncompatibleError, need
from terakoya.i18n import both

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "▁"

# A part of a prompt: its text, and whether it is content (data) rather than the template's own.
Part = tuple[str, bool]


class Tokens:
    """The tokenizer of a checkpoint, seen through the house's eyes.

    ends       further ids that end something (from the generation settings)
    anchored   the answer follows other text (causal); else it begins a text of its own (encoder-decoder)
    """

    def __init__(self, tokenizer: Any, *, ends: Iterable[int] = (), anchored: bool = True) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise IncompatibleError(
                both(
                    "this checkpoint's tokenizer has no fast form (tokenizer.json)",
                    "このチェックポイントのトークナイザに高速版（tokenizer.json）がない",
                ),
                do=both(
                    "Save it once with the tokenizers library, or take a checkpoint that ships tokenizer.json.",
                    "一度 tokenizers ライブラリで保存するか、tokenizer.json のあるチェックポイントを使うこと。",
                ),
            )
        self.tokenizer, self.backend, self.anchored = tokenizer, backend, anchored
        added = backend.get_added_tokens_decoder()
        template = _templates(tokenizer)  # added tokens that it writes count as control tokens too
        self.controls: dict[int, str] = {
            number: token.content
            for number, token in added.items()
            if token.special or (len(token.content.strip()) > 1 and token.content in template)
        }
        for number in (*tokenizer.all_special_ids, *ends):
            if number is not None and number not in self.controls and backend.id_to_token(number) is not None:
                self.controls[number] = backend.id_to_token(number)
        self.unknown: int | None = tokenizer.unk_token_id
        # What may never be spelt out by content. The unknown token may well stand for content, so it is no control.
        self.names = dict(self.controls)
        if self.unknown is not None:
            self.controls.pop(self.unknown, None)
        self.learnt: dict[str, int] = {
            token.content: number for number, token in added.items() if number not in self.names
        }

    @property
    def size(self) -> int:
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    @cached_property
    def metaspace(self) -> bool:
        """Whether a space is written ▁, as in SentencePiece; byte-level tokenizers have their own alphabet."""
        return self.backend.token_to_id(_SPACE) is not None and not self.byte_level

    @cached_property
    def byte_level(self) -> bool:
        return '"ByteLevel"' in _small_part(self.backend)

    @cached_property
    def lead(self) -> tuple[int, ...]:
        """What the decoder of an encoder-decoder is given before every answer: the ▁ that opens a text, by itself.

        Were it part of the first word, the same token would mean "(" at the beginning and " (" further on.
        """
        space = self.backend.token_to_id(_SPACE)
        return (space,) if self.metaspace and not self.anchored and space is not None else ()

    def asked(self, parts: Sequence[Part]) -> list[int]:
        """Ids of a prompt. Its control tokens are those of the template's parts and no others."""
        content = [text for text, is_content in parts if is_content]
        if not any(map(self._speaks, content)):
            ids: list[int] = self.backend.encode("".join(text for text, _ in parts), add_special_tokens=False).ids
            if [i for i in ids if i in self.controls] == self._spoken(parts):
                return ids
        return self._sealed_ids(parts)

    def answer(self, written: str) -> list[int]:
        """Ids of an answer, without lead and end. Raises DataError where the tokenizer cannot carry the text."""
        for encode in (self._plain, self._raw):
            ids = encode(written)
            if self.text(ids) == written and not any(i in self.names for i in ids):
                return ids
        missing = self.text([i for i in self._raw(written) if i != self.unknown])
        raise DataError(
            both(
                f"the tokenizer cannot carry {written[:40]!r}: it comes back as {missing[:40]!r}",
                f"トークナイザが {written[:40]!r} を表せない：戻すと {missing[:40]!r} になる",
            ),
            do=both(
                "Let new tokens be learnt (model.new_tokens = 'needed'), or write the target otherwise.",
                "新しいトークンを学習させるか（model.new_tokens = 'needed'）、正解の書き方を変えること。",
            ),
        )

    def text(self, ids: Iterable[int]) -> str:
        """The text of answer tokens. Control tokens have none."""
        return b"".join(map(self._spelt, ids)).decode("utf-8", "replace")

    def piece(self, number: int) -> str:
        """The text of an id; "" for control tokens and for ids that are only part of a character."""
        return _text_or_nothing(self._spelt(number))

    def carries(self, text: str) -> bool:
        """Whether the text survives as it is, without unknown tokens."""
        try:
            return self.unknown not in self.answer(text)
        except DataError:
            return False

    def loses(self, text: str) -> bool:
        """Whether the unknown token stands for part of this source."""
        return self.unknown is not None and self.unknown in self.backend.encode(text, add_special_tokens=False).ids

    def spelt_in_bytes(self, text: str) -> bool:
        """Whether every token of the text is a mere part of a character."""
        ids = self._plain(text)
        return bool(ids) and not any(map(self.piece, ids))

    def spelling(self, words: str) -> list[int]:
        """Ids of the words that a new token's meaning is made of: no controls, nothing unknown, no bare space."""
        ids = self.backend.encode(words, add_special_tokens=False).ids
        return [i for i in ids if i not in self.names and self.piece(i).strip()]

    def learn(self, added: Sequence[str]) -> None:
        """Give these tokens of their own; what was derived from the vocabulary is derived again."""
        if not added:
            return
        tokenizers = need("tokenizers", extra="hub")
        self.tokenizer.add_tokens([tokenizers.AddedToken(one, normalized=False, special=False) for one in added])
        self.learnt |= {token: self.backend.token_to_id(token) for token in added}
        for name in ("_sealed", "_model", "_learnt_pattern"):
            self.__dict__.pop(name, None)

    def _plain(self, written: str) -> list[int]:
        if not self.anchored and self.metaspace:
            return self._raw(written)
        if not self.anchored:
            return list(self.backend.encode(written, add_special_tokens=False).ids)
        # After a control token, as in a prompt: some tokenizers treat the beginning of a text otherwise.
        if self._wall is not None and not self._speaks(written):
            return list(self.backend.encode(self._wall + written, add_special_tokens=False).ids)[1:]
        wall, ids = self._sealed.encode(written, wall=True)
        return ids if wall else self._raw(written)

    def _raw(self, written: str) -> list[int]:
        """By the tokenizer's model alone, without what it does to spaces, widths and beginnings."""
        ids: list[int] = []
        for number, segment in enumerate(self._learnt_pattern.split(written)):
            if number % 2:
                ids.append(self.learnt[segment])
            elif segment:
                ids += [token.id for token in self._model.tokenize(segment.replace(" ", _SPACE))]
        return ids

    @cached_property
    def _wall(self) -> str | None:
        """A control token that leaves the text behind it alone. It spares a sealed copy of the whole tokenizer, which
        for 262,144 tokens is a hundred megabytes, where no text spells a control token."""
        for token in self.backend.get_added_tokens_decoder().values():
            plain = not (token.lstrip or token.rstrip or token.normalized or token.single_word)
            if plain and token.content in self.names.values():
                return str(token.content)
        return None

    @cached_property
    def _model(self) -> Any:
        return self.backend.model

    @cached_property
    def _learnt_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.learnt, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")

    def _spelt(self, number: int) -> bytes:
        """What an id adds to an answer, in UTF-8. Asked one by one: a table of 262,144 texts is 50 MB."""
        token = None if number in self.names else self.backend.id_to_token(number)
        if token is None:
            return b""
        if token in self.learnt:
            return bytes(token, "utf-8")
        if self.byte_level:
            return bytes(self._alphabet[char] for char in token if char in self._alphabet)
        byte = _BYTE_TOKEN.fullmatch(token)
        return bytes([int(byte[1], 16)]) if byte else token.replace(_SPACE, " ").encode("utf-8", "replace")

    @cached_property
    def _alphabet(self) -> dict[str, int]:
        return _byte_alphabet()

    @cached_property
    def _control_pattern(self) -> re.Pattern[str]:
        names = sorted({name for name in self.names.values() if name.strip()}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names)) or "(?!)", re.IGNORECASE)

    def _speaks(self, content: str) -> bool:
        pattern = self._control_pattern
        return bool(pattern.search(content) or pattern.search(unicodedata.normalize("NFKC", content)))

    def _spoken(self, parts: Sequence[Part]) -> list[int]:
        """Control ids that the template's own parts hold, in order."""
        ids = {name: number for number, name in self.controls.items()}
        names = sorted(ids, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, names)) or "(?!)")
        return [ids[found] for text, is_content in parts if not is_content for found in pattern.findall(text)]

    def _sealed_ids(self, parts: Sequence[Part]) -> list[int]:
        _, ids = self._sealed.encode("".join(t if content else self._sealed.signed(t) for t, content in parts))
        if [i for i in ids if i in self.controls] != self._spoken(parts):
            raise DataError(
                both("its text would become control tokens of the model", "行の文がモデルの制御トークンになってしまう"),
                do=both("Remove the control tokens from the row.", "行から制御トークンを取り除くこと。"),
            )
        return ids

    @cached_property
    def _sealed(self) -> _Sealed:
        return _Sealed(self.backend, self.names)


class _Sealed:
    """A copy of the tokenizer in which every control token bears a secret name, so that no text can spell it."""

    def __init__(self, backend: Any, controls: dict[int, str]) -> None:
        tokenizers = need("tokenizers", extra="hub")
        secret = secrets.token_hex(8)
        self.names = {name: f"<c-{secret}-{number}>" for number, name in controls.items()}
        data = json.loads(backend.to_str())
        for token in data["added_tokens"]:
            if token["id"] in controls:
                token.update(content=self.names[token["content"]], normalized=False, lstrip=False, rstrip=False)
        _rename(data["model"], self.names)
        data["post_processor"] = None  # it names control tokens, and whole prompts need none of its additions
        self.backend = tokenizers.Tokenizer.from_str(json.dumps(data, ensure_ascii=False))
        self.pattern = re.compile("|".join(map(re.escape, sorted(self.names, key=len, reverse=True))) or "(?!)")
        self.wall = next(iter(self.names.values()), "")

    def signed(self, template: str) -> str:
        return self.pattern.sub(lambda found: self.names[found[0]], template)

    def encode(self, text: str, *, wall: bool = False) -> tuple[bool, list[int]]:
        """Ids of a signed text; with `wall`, as they are after a control token, which is then left out."""
        if not wall or not self.wall:
            return False, list(self.backend.encode(text, add_special_tokens=False).ids)
        return True, list(self.backend.encode(self.wall + text, add_special_tokens=False).ids)[1:]


def _templates(tokenizer: Any) -> str:
    """The source of every chat template that the tokenizer brings."""
    template = tokenizer.chat_template or ""
    return "".join(template.values()) if isinstance(template, dict) else template


def _rename(model: dict[str, Any], names: dict[str, str]) -> None:
    """Secret names in the model's own vocabulary too: Unigram holds `</s>` as an ordinary piece that text can match."""
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(token, token): number for token, number in vocabulary.items()}
    elif isinstance(vocabulary, list):
        model["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]


def _small_part(backend: Any) -> str:
    """How the tokenizer treats text, as JSON, without its vocabulary."""
    return f"{_state(backend.pre_tokenizer)} {_state(backend.decoder)}"


def _state(part: Any) -> str:
    return part.__getstate__().decode() if part is not None else ""


def _byte_alphabet() -> dict[str, int]:
    """The printable characters that stand for bytes in byte-level tokenizers (GPT-2, Radford et al., 2019)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _text_or_nothing(piece: bytes) -> str:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return ""
