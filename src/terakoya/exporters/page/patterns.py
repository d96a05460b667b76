"""Regular expressions of the codecs for engines without partial matching: JavaScript's, and Python's own `re`.

A text is a prefix of some match exactly where every atom may also be the end of the text: `ab` becomes
`(?:a|$)(?:b|$)`. Once the end is reached all that follows matches there too.
"""

from __future__ import annotations

import re

# Escapes, classes, openings of groups, quantifiers, and single characters.
_TOKEN = re.compile(
    r"(?P<klass>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<escape>\\.)|(?P<open>\((?:\?(?:[:=!]|<[=!]|P?<[A-Za-z_]+>))?)"
    r"|(?P<close>\))|(?P<bar>\|)|(?P<times>[*+?]\??|\{[0-9]*,?[0-9]*\})|(?P<char>.)",
    flags=re.DOTALL,
)
# What has another meaning in another engine, or none: classes by property, possessive quantifiers, flags, references.
_NOT_PORTABLE = re.compile(r"\\[A-Za-z0-9]|\(\?(?![:=!]|<[=!])|[*+?}]\+|\[\[|&&|--|\|\|")


def is_portable(pattern: str) -> bool:
    """Whether a `pattern` means the same to Python's `re`, to `regex` and to JavaScript."""
    return _NOT_PORTABLE.search(pattern) is None


def javascript_pattern(pattern: str) -> str:
    """A Python `pattern` in the spelling of JavaScript: named groups differ."""
    return pattern.replace("(?P<", "(?<")


def partial_pattern(pattern: str, end: str = "$") -> str:
    """The pattern of all texts that can be continued to a match of `pattern`.

    pattern  without back references
    end      what matches at the end of the text alone: "$" in JavaScript, r"\\Z" in Python
    """
    found: list[str] = []
    looking: list[bool] = []  # for each open group whether it looks behind: it sees what stands there already
    starts: list[int] = []  # where each open group begins in `found`
    pieces = [(one.lastgroup, one[0]) for one in _TOKEN.finditer(pattern)]
    for kind, text in pieces:
        behind = any(looking)
        if kind == "open":
            starts.append(len(found))
            looking.append(text in ("(?<=", "(?<!", "(?!"))
            found.append(text)
        elif kind == "close":
            assertion = looking.pop()
            start = starts.pop()
            group = "".join([*found[start:], ")"])
            del found[start:]
            found.append(f"(?:{group}|{end})" if assertion and not any(looking) else group)
        elif kind in ("bar", "times") or behind:
            found.append(text)
        else:
            found.append(f"(?:{text}|{end})")
    return "".join(found)
