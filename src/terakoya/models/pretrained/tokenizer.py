"""Text ↔ token ids of a pretrained model, without loss, and with data that cannot write control tokens.

`PromptTokenizer.encode_prompt` encodes a prompt whose segments are either the template's own text or content. Control
tokens (special tokens, and every added token that the chat template writes) come from the template alone: where content
spells one out, it is encoded as the plain characters that it is. For all other content the ids are exactly those of the
tokenizer itself. `encode_target` encodes a target so that `decode` gives it back, character by character.
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
from terakoya.i18n import _

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "▁"
_MOST_KNOWN = 50_000  # targets whose ids are kept

# A segment of a prompt: its text, and whether it is content (data) rather than the template's own.
Segment = tuple[str, bool]


class PromptTokenizer:
    """The tokenizer of a checkpoint, for prompts and targets.

    tokenizer     of transformers
    end_ids       further ids that end a text (from the generation settings)
    after_prompt  whether targets follow a prompt in one sequence (causal) or begin one of their own (encoder-decoder)
    Raises IncompatibleError where the tokenizer has no tokenizer.json.

    control_tokens   id → text of tokens that only the template may write
    reserved_tokens  the same and the unknown token: what content may never spell out
    added_tokens     text → id of all other tokens that were added to the vocabulary
    """

    def __init__(self, tokenizer: Any, *, end_ids: Iterable[int] = (), after_prompt: bool = True) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise IncompatibleError(
                _("this checkpoint's tokenizer has no fast form (tokenizer.json)"),
                do=_("Save it once with the tokenizers library, or take a checkpoint that ships tokenizer.json."),
            )
        self.hf_tokenizer, self.backend, self.after_prompt = tokenizer, backend, after_prompt
        self._known_targets: dict[str, tuple[int, ...]] = {}  # vocabulary, preflight and every epoch need the same
        added = backend.get_added_tokens_decoder()
        templates = _template_sources(tokenizer)  # added tokens that they write count as control tokens too
        self.control_tokens: dict[int, str] = {
            i: token.content
            for i, token in added.items()
            if token.special or (len(token.content.strip()) > 1 and token.content in templates)
        }
        for i in (*tokenizer.all_special_ids, *end_ids):
            if i is not None and i not in self.control_tokens and backend.id_to_token(i) is not None:
                self.control_tokens[i] = backend.id_to_token(i)
        self.unknown_id: int | None = tokenizer.unk_token_id
        # The unknown token may stand for content in a prompt, so it is reserved but no control token.
        self.reserved_tokens = dict(self.control_tokens)
        if self.unknown_id is not None:
            self.control_tokens.pop(self.unknown_id, None)
        self.added_tokens: dict[str, int] = {
            token.content: i for i, token in added.items() if i not in self.reserved_tokens
        }

    @property
    def size(self) -> int:
        """Number of tokens, added ones included."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    @cached_property
    def metaspace(self) -> bool:
        """Whether a space is written ▁, as in SentencePiece; byte-level tokenizers have their own alphabet."""
        return self.backend.token_to_id(_SPACE) is not None and not self.byte_level

    @cached_property
    def byte_level(self) -> bool:
        """Whether tokens are sequences of bytes (GPT-2, Radford et al., 2019)."""
        return '"ByteLevel"' in f"{_state(self.backend.pre_tokenizer)} {_state(self.backend.decoder)}"

    @cached_property
    def target_prefix(self) -> tuple[int, ...]:
        """Ids before every target of an encoder-decoder: the ▁ that opens a text, as a token of its own.

        Were it part of the first word, the same token would mean "(" at the start and " (" further on.
        """
        space = self.backend.token_to_id(_SPACE)
        return (space,) if self.metaspace and not self.after_prompt and space is not None else ()

    def encode_prompt(self, segments: Sequence[Segment]) -> list[int]:
        """Ids of a prompt whose control tokens are those of the template and no others.

        segments  the prompt's text, in order, each with whether it is content
        Raises DataError where content would become a control token all the same.
        """
        content = [text for text, is_content in segments if is_content]
        if not any(map(self._spells_control, content)):
            ids: list[int] = self.backend.encode("".join(text for text, _ in segments), add_special_tokens=False).ids
            if [i for i in ids if i in self.control_tokens] == self._template_controls(segments):
                return ids
        return self._protected_ids(segments)

    def encode_target(self, target: str) -> list[int]:
        """Ids of a `target`, without prefix and end. Raises DataError where the tokenizer would lose part of it."""
        known = self._known_targets.get(target)
        if known is None:
            known = tuple(self._encode_new_target(target))
            if len(self._known_targets) < _MOST_KNOWN:
                self._known_targets[target] = known
        return list(known)

    def _encode_new_target(self, target: str) -> list[int]:
        for encode in (self._encode_plain, self._encode_raw):
            ids = encode(target)
            if self.decode(ids) == target and not any(i in self.reserved_tokens for i in ids):
                return ids
        decoded = self.decode([i for i in self._encode_raw(target) if i != self.unknown_id])
        before, after = target[:40], decoded[:40]
        raise DataError(
            _("the tokenizer loses part of {before!r}: it decodes to {after!r}", before=before, after=after),
            do=_("Set model.new_tokens = 'needed', so that tokens are added, or write the target otherwise."),
        )

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these `ids` of a target. Control tokens have none."""
        return b"".join(map(self._token_bytes, ids)).decode("utf-8", "replace")

    def token_text(self, token_id: int) -> str:
        """The text of `token_id`; "" for control tokens and for ids that are only part of a character."""
        try:
            return self._token_bytes(token_id).decode("utf-8")
        except UnicodeDecodeError:
            return ""

    def ids_of_character(self, char: str) -> set[int]:
        """The ids whose text is this one ASCII `char`: its own token, its byte, and added tokens."""
        byte = ord(char)
        forms = {char, f"<0x{byte:02X}>", f"<0x{byte:02x}>"}
        forms |= {_SPACE} if char == " " else set()
        forms |= {mark for mark, value in self._alphabet.items() if value == byte} if self.byte_level else set()
        found = {self.backend.token_to_id(form) for form in forms}
        return {i for i in found if i is not None and self.token_text(i) == char}

    def can_encode(self, text: str) -> bool:
        """Whether `text` survives as it is, without unknown tokens."""
        try:
            return self.unknown_id not in self.encode_target(text)
        except DataError:
            return False

    def has_unknown(self, text: str) -> bool:
        """Whether the unknown token stands for part of this `text` in a prompt."""
        ids = self.backend.encode(text, add_special_tokens=False).ids if self.unknown_id is not None else ()
        return self.unknown_id in ids

    def is_byte_encoded(self, text: str) -> bool:
        """Whether every token of `text` is a mere part of a character."""
        ids = self._encode_plain(text)
        return bool(ids) and not any(map(self.token_text, ids))

    def encode_description(self, words: str) -> list[int]:
        """Ids of the `words` that describe a new token: no control token, nothing unknown, no bare space."""
        ids = self.backend.encode(words, add_special_tokens=False).ids
        return [i for i in ids if i not in self.reserved_tokens and self.token_text(i).strip()]

    def add_tokens(self, texts: Sequence[str]) -> None:
        """Give each of these `texts` a token of its own; what was derived from the vocabulary is derived again."""
        if not texts:
            return
        tokenizers = need("tokenizers", extra="hub")
        self.hf_tokenizer.add_tokens([tokenizers.AddedToken(text, normalized=False, special=False) for text in texts])
        self.added_tokens |= {text: self.backend.token_to_id(text) for text in texts}
        self._known_targets.clear()
        for name in ("_protected", "_model", "_added_pattern"):
            self.__dict__.pop(name, None)

    def _encode_plain(self, target: str) -> list[int]:
        """As the tokenizer encodes a text that stands where targets stand."""
        if not self.after_prompt and self.metaspace:
            return self._encode_raw(target)
        if not self.after_prompt:
            return list(self.backend.encode(target, add_special_tokens=False).ids)
        # After a control token, as in a prompt: some tokenizers treat the start of a text otherwise.
        if self._boundary is not None and not self._spells_control(target):
            return list(self.backend.encode(self._boundary + target, add_special_tokens=False).ids)[1:]
        ids = self._protected.encode_after_boundary(target)
        return self._encode_raw(target) if ids is None else ids

    def _encode_raw(self, target: str) -> list[int]:
        """By the tokenizer's model alone, without what it does to spaces, widths and the start of a text."""
        ids: list[int] = []
        for number, piece in enumerate(self._added_pattern.split(target)):
            if number % 2:
                ids.append(self.added_tokens[piece])
            elif piece:
                ids += [token.id for token in self._model.tokenize(piece.replace(" ", _SPACE))]
        return ids

    @cached_property
    def _boundary(self) -> str | None:
        """A control token that leaves the text behind it alone. It spares a protected copy of the whole tokenizer,
        which for 262,144 tokens is a hundred megabytes, where no text spells a control token."""
        for token in self.backend.get_added_tokens_decoder().values():
            plain = not (token.lstrip or token.rstrip or token.normalized or token.single_word)
            if plain and token.content in self.reserved_tokens.values():
                return str(token.content)
        return None

    @cached_property
    def _model(self) -> Any:
        return self.backend.model

    @cached_property
    def _added_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.added_tokens, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")

    def _token_bytes(self, token_id: int) -> bytes:
        """What an id adds to a target, in UTF-8. Looked up one by one: a table of 262,144 texts is 50 MB."""
        token = None if token_id in self.reserved_tokens else self.backend.id_to_token(token_id)
        if token is None:
            return b""
        if token in self.added_tokens:
            return bytes(token, "utf-8")
        if self.byte_level:
            return bytes(self._alphabet[char] for char in token if char in self._alphabet)
        byte = _BYTE_TOKEN.fullmatch(token)
        return bytes([int(byte[1], 16)]) if byte else token.replace(_SPACE, " ").encode("utf-8", "replace")

    @cached_property
    def _alphabet(self) -> dict[str, int]:
        return _byte_alphabet()

    @cached_property
    def _reserved_pattern(self) -> re.Pattern[str]:
        names = sorted({name for name in self.reserved_tokens.values() if name.strip()}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names)) or "(?!)", re.IGNORECASE)

    @cached_property
    def _reserved_starts(self) -> frozenset[str] | None:
        """The characters with which names of reserved tokens begin; None where one of them has an upper and a lower
        case, so that others may stand for it."""
        starts = frozenset(name[0] for name in self.reserved_tokens.values() if name.strip())
        return None if any(char.lower() != char.upper() for char in starts) else starts

    def _spells_control(self, content: str) -> bool:
        """Whether content holds the name of a reserved token. Where none can begin in it, the pattern of all names
        is not needed: of Gemma's 6,250 it takes most of a second to compile."""
        starts, folded = self._reserved_starts, unicodedata.normalize("NFKC", content)
        if starts is not None and starts.isdisjoint(content) and starts.isdisjoint(folded):
            return False
        return bool(self._reserved_pattern.search(content) or self._reserved_pattern.search(folded))

    def _template_controls(self, segments: Sequence[Segment]) -> list[int]:
        """Control ids that the template's own segments hold, in order: the longest name at each place."""
        ids, lengths = self._control_names
        found: list[int] = []
        for text in (text for text, is_content in segments if not is_content):
            at = 0
            while at < len(text):
                names = (text[at : at + length] for length in lengths.get(text[at], ()))
                name = next((name for name in names if name in ids), "")
                if name:
                    found.append(ids[name])
                at += len(name) or 1
        return found

    @cached_property
    def _control_names(self) -> tuple[dict[str, int], dict[str, list[int]]]:
        """The id of each control token's name, and the lengths of the names that begin with a character, longest first.

        A pattern of Gemma's 6,250 names takes most of a second to compile.
        """
        ids = {name: i for i, name in self.control_tokens.items() if name}
        lengths: dict[str, set[int]] = {}
        for name in ids:
            lengths.setdefault(name[0], set()).add(len(name))
        return ids, {char: sorted(found, reverse=True) for char, found in lengths.items()}

    def _protected_ids(self, segments: Sequence[Segment]) -> list[int]:
        ids = self._protected.encode(
            "".join(text if content else self._protected.translate(text) for text, content in segments)
        )
        if [i for i in ids if i in self.control_tokens] != self._template_controls(segments):
            raise DataError(
                _("its text would become control tokens of the model"),
                do=_("Remove the control tokens from the row."),
            )
        return ids

    @cached_property
    def _protected(self) -> _ProtectedTokenizer:
        return _ProtectedTokenizer(self.backend, self.reserved_tokens)


class _ProtectedTokenizer:
    """A copy of the tokenizer in which every control token has a secret name, so that no text can spell it."""

    def __init__(self, backend: Any, reserved_tokens: dict[int, str]) -> None:
        tokenizers = need("tokenizers", extra="hub")
        secret = secrets.token_hex(8)
        self.names = {name: f"<c-{secret}-{i}>" for i, name in reserved_tokens.items()}
        data = json.loads(backend.to_str())
        for token in data["added_tokens"]:
            if token["id"] in reserved_tokens:
                token.update(content=self.names[token["content"]], normalized=False, lstrip=False, rstrip=False)
        _rename(data["model"], self.names)
        data["post_processor"] = None  # it names control tokens, and whole prompts need none of its additions
        self.backend = tokenizers.Tokenizer.from_str(json.dumps(data, ensure_ascii=False))
        self.pattern = re.compile("|".join(map(re.escape, sorted(self.names, key=len, reverse=True))) or "(?!)")
        self.boundary = next(iter(self.names.values()), "")

    def translate(self, template: str) -> str:
        """Text of a template, its control tokens under their secret names."""
        return self.pattern.sub(lambda match: self.names[match[0]], template)

    def encode(self, text: str) -> list[int]:
        """Ids of a translated text."""
        return list(self.backend.encode(text, add_special_tokens=False).ids)

    def encode_after_boundary(self, text: str) -> list[int] | None:
        """Ids of a text as they are after a control token; None where the tokenizer has none."""
        return self.encode(self.boundary + text)[1:] if self.boundary else None


def _template_sources(tokenizer: Any) -> str:
    """The source of every chat template that the tokenizer brings."""
    template = tokenizer.chat_template or ""
    return "".join(template.values()) if isinstance(template, dict) else template


def _rename(model: dict[str, Any], names: dict[str, str]) -> None:
    """Secret names in the model's own vocabulary too: Unigram holds `</s>` as an ordinary piece that text can match."""
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(token, token): i for token, i in vocabulary.items()}
    elif isinstance(vocabulary, list):
        model["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]


def _state(component: Any) -> str:
    """A component of a tokenizer as JSON, without its vocabulary."""
    return component.__getstate__().decode() if component is not None else ""


def _byte_alphabet() -> dict[str, int]:
    """The printable characters that stand for bytes in byte-level tokenizers (GPT-2, Radford et al., 2019)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + offset): byte for offset, byte in enumerate(others)}
