"""Source sentences: the shipped corpus, a file, or a data set. Complete sentences, in an order drawn by the seed.

The emoji log sent its teacher truncated sentences, unbalanced brackets and section titles of an encyclopaedia.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import regex

from terakoya.codec.text import normalise_source
from terakoya.config import Config
from terakoya.data.formats import read_lines, read_table, require_columns
from terakoya.errors import DataError
from terakoya.generation.filters import has_unbalanced_bracket
from terakoya.generation.sentences import Sentence, corpus_sentences, hand_written
from terakoya.i18n import _
from terakoya.records import fingerprint

CORPORA = {"ours": ("hand", "phrases"), "hand": ("hand",), "phrases": ("phrases",)}
_SHORTEST, _LONGEST = 8, 160  # characters of a source sentence
_ENDS = regex.compile(r"(?<=[。！？!?])(?![。！？!?」』）)])")
_ENDED = regex.compile(r"[。！？!?」』）)…]$")
_META = regex.compile(r"^(脚注|注釈|出典|参考文献|関連項目|外部リンク|概要|目次|\[?編集\]?|Category:|==|\*|#|\|)")


def source_sentences(config: Config, name: str, folder: Path) -> Iterator[Sentence]:
    """Source sentences, each once, without those of earlier data sets (`teacher.exclude`).

    config  the whole config; seed, `teacher.exclude`, `task.source` and `task.encoding` are used
    name    "ours", "hand", "phrases", or a path
    folder  the folder that paths are relative to
    """
    used = _used(config.teacher.exclude, folder)
    candidates = corpus_sentences(config.seed, CORPORA[name]) if name in CORPORA else _from_file(config, name, folder)
    for sentence in candidates:
        form = normalise_source(sentence.text)
        if form not in used:
            used.add(form)
            yield sentence


def source_fingerprint(name: str, folder: Path) -> str:
    """Fingerprint of the content of the source `name` (relative to `folder`): resuming notices a change."""
    if name in CORPORA:
        return fingerprint(name, *(sentence.text for sentence in hand_written()))
    path = folder / name
    return fingerprint(name, path.read_text("utf-8", "surrogateescape") if path.is_file() else "")


def complete_sentences(text: str) -> list[str]:
    """The complete sentences of the running `text`, without titles, fragments and unbalanced brackets."""
    found = []
    for line in text.splitlines():
        for piece in _ENDS.split(line):
            sentence = piece.strip()
            fits = _SHORTEST <= len(sentence) <= _LONGEST and _ENDED.search(sentence)
            if fits and not _META.match(sentence) and not has_unbalanced_bracket(sentence):
                found.append(sentence)
    return found


def _from_file(config: Config, name: str, folder: Path) -> Iterator[Sentence]:
    """A plain text is split into sentences; so is each cell of a table's source column."""
    if name.endswith(".txt"):
        lines = read_lines(folder / name, encoding=config.task.encoding)
        texts = [sentence for line in lines for sentence in complete_sentences(line)]
    else:
        column = config.task.source
        rows = require_columns(read_table(name, folder, encoding=config.task.encoding, wanted=[column]), [column], name)
        texts = [sentence for row in rows for sentence in complete_sentences(row.cells[column])]
    if not texts:
        raise DataError(
            _("no complete sentence was found"),
            where=name,
            do=_("Provide sentences that end with 。 or ！ or ？."),
        )
    texts = list(dict.fromkeys(texts))
    Random(f"sentences {config.seed}").shuffle(texts)
    for text in texts:
        yield Sentence(text, f"{Path(name).name} {fingerprint(text)}", group=fingerprint(normalise_source(text)))


def _used(names: Sequence[str], folder: Path) -> set[str]:
    """Normal forms of the sentences used before: the column `original`, or `source` where there is none."""
    return {
        normalise_source(row.cells.get("original") or row.cells.get("source", ""))
        for name in names
        for row in read_table(name, folder)
    }
