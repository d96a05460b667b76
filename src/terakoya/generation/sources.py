"""Where the sentences come from: our corpus, a file, or a data set. Whole sentences, in an order drawn by the seed.

The emoji log fed its teacher sentences that were cut, orphan brackets and section titles of an encyclopaedia.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import regex

from terakoya.config import Config
from terakoya.data.formats import columns, encoding_of, read_table
from terakoya.errors import DataError
from terakoya.generation.filters import orphan_bracket
from terakoya.generation.sentences import Sentence, hand_written, mixed
from terakoya.i18n import both
from terakoya.records import fingerprint
from terakoya.text import source_form

OURS = {"ours": ("hand", "phrases"), "hand": ("hand",), "phrases": ("phrases",)}
_SHORTEST, _LONGEST = 8, 160  # characters of a source sentence
_ENDS = regex.compile(r"(?<=[。！？!?])(?![。！？!?」』）)])")
_ENDED = regex.compile(r"[。！？!?」』）)…]$")
_META = regex.compile(r"^(脚注|注釈|出典|参考文献|関連項目|外部リンク|概要|目次|\[?編集\]?|Category:|==|\*|#|\|)")


def sources(config: Config, name: str, folder: Path) -> Iterator[Sentence]:
    """Sentences to ask about, each once, those that earlier data sets (`teacher.exclude`) used left out."""
    used = _used(config.teacher.exclude, folder)
    kept = mixed(config.seed, OURS[name]) if name in OURS else _from_file(config, name, folder)
    for sentence in kept:
        form = source_form(sentence.text)
        if form not in used:
            used.add(form)
            yield sentence


def content_of(name: str, folder: Path) -> str:
    """A fingerprint of the corpus as it is now, so that a resumed generation notices another one."""
    if name in OURS:
        return fingerprint(name, *(sentence.text for sentence in hand_written()))
    path = folder / name
    return fingerprint(name, path.read_text("utf-8", "surrogateescape") if path.is_file() else "")


def whole_sentences(text: str) -> list[str]:
    """The sentences of running text that can stand alone; titles, fragments and orphan brackets are left out."""
    found = []
    for line in text.splitlines():
        for piece in _ENDS.split(line):
            sentence = piece.strip()
            fits = _SHORTEST <= len(sentence) <= _LONGEST and _ENDED.search(sentence)
            if fits and not _META.match(sentence) and not orphan_bracket(sentence):
                found.append(sentence)
    return found


def _from_file(config: Config, name: str, folder: Path) -> Iterator[Sentence]:
    """A plain text is cut into sentences; a table's source column is taken cell by cell."""
    if name.endswith(".txt"):
        path = folder / name
        encoding_of(path, config.task.encoding)  # says what is wrong with the file, if anything
        text = path.read_text(encoding_of(path, config.task.encoding))
        texts = whole_sentences(text)
    else:
        column = config.task.source
        rows = columns(read_table(name, folder, encoding=config.task.encoding, wanted=[column]), [column], name)
        texts = [sentence for row in rows for sentence in whole_sentences(row.cells[column])]
    if not texts:
        raise DataError(
            both("no whole sentence was found", "完結した文が見つからない"),
            where=name,
            do=both("Bring sentences that end with 。 or ！ or ？.", "。か ！ か ？ で終わる文を用意すること。"),
        )
    texts = list(dict.fromkeys(texts))
    Random(f"sentences {config.seed}").shuffle(texts)
    for text in texts:
        yield Sentence(text, f"{Path(name).name} {fingerprint(text)}", group=fingerprint(source_form(text)))


def _used(names: Sequence[str], folder: Path) -> set[str]:
    """What earlier generations asked about: the column `original`, or `source` where there is none."""
    return {
        source_form(row.cells.get("original") or row.cells.get("source", ""))
        for name in names
        for row in read_table(name, folder)
    }
