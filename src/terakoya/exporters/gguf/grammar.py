"""The grammar of a codec as GBNF, which llama.cpp's server takes with a request.

Regular expressions of the number notations are translated piece by piece; label sets are written out. GBNF knows no
rule that compares parts of a text (falling positions, a label twice): such an output is then unreadable to the codec.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from terakoya.codec import Codec
from terakoya.codec.labels import LabelsCodec
from terakoya.codec.number import NumberCodec, notation_pattern

# What the standard library itself parses patterns with; it has no public name any more.
parser: Any = import_module("re._parser")
tokens: Any = import_module("re._constants")

_LARGEST = 500_000  # characters; a grammar that is read for every request


def codec_grammar(codec: Codec) -> str:
    """The grammar of a `codec`; "" where it has none that GBNF can express."""
    if isinstance(codec, NumberCodec):
        return f"root ::= {_pattern(notation_pattern(codec.notation))}\n"
    if isinstance(codec, LabelsCodec):
        grammar = _sets(codec)
        return grammar if len(grammar) <= _LARGEST else ""
    return ""


def _sets(codec: LabelsCodec) -> str:
    most = min(codec.most, len(codec.labels))
    labels = "label ::= " + " | ".join(map(_quoted, codec.labels)) + "\n"
    if not codec.counted:
        return f'root ::= label (" " label){{0,{most - 1}}}\n{labels}'
    sizes = (f"{_quoted(str(size))}" + ' " " label' * size for size in range(1, most + 1))
    return f"root ::= {' | '.join(sizes)}\n{labels}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _pattern(pattern: str) -> str:
    return _sequence(parser.parse(pattern))


def _sequence(parts: Any) -> str:
    return " ".join(_part(kind, value) for kind, value in parts) or '""'


def _part(kind: Any, value: Any) -> str:
    if kind is tokens.LITERAL:
        return _quoted(chr(value))
    if kind is tokens.IN:
        return f"[{''.join(_in_class(*one) for one in value)}]"
    if kind is tokens.BRANCH:
        return f"({' | '.join(map(_sequence, value[1]))})"
    if kind is tokens.SUBPATTERN:
        return f"({_sequence(value[3])})"
    if kind is tokens.MAX_REPEAT:
        least, most, inner = value
        return f"({_sequence(inner)}){_times(least, most)}"
    raise ValueError(f"no GBNF for {kind}")


def _times(least: int, most: int) -> str:
    if most is tokens.MAXREPEAT:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    return "?" if (least, most) == (0, 1) else f"{{{least},{most}}}"


def _in_class(kind: Any, value: Any) -> str:
    if kind is tokens.RANGE:
        return f"{_escaped(value[0])}-{_escaped(value[1])}"
    if kind is tokens.LITERAL:
        return _escaped(value)
    raise ValueError(f"no GBNF for {kind}")


def _escaped(code: int) -> str:
    char = chr(code)
    return f"\\{char}" if char in "\\]^-" else char
