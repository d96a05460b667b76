"""A tokenizer that came with a checkpoint, tried in a child process before this process opens it.

Its files are third-party data: a pattern that never ends, a replacement that writes gigabytes, a table that brings the
native library down. The child opens it and encodes texts that provoke all of these; what it does not survive is
refused. Only a tokenizer that came through is opened here. That it did is kept in the user's cache by the contents of
its files and the version of the library: of 262,144 tokens the attempt takes seconds at every command.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from terakoya.i18n import _
from terakoya.models.pretrained.checkpoint_errors import COPY_TOKENIZER, corrupt
from terakoya.models.pretrained.limited_child import ChildFailed, run_limited
from terakoya.models.user_cache import cache_folder

_SECONDS, _BYTES = 60, 8 << 30  # the largest tokenizers in use take 2 seconds and half a gigabyte
_FILES = ("*.json", "*.model", "*.txt", "*.jinja")

_CHILD = r"""
request = json.load(sys.stdin)
if request["whole"]:
    from tokenizers import Tokenizer
    backend = Tokenizer.from_file(request["folder"] + "/tokenizer.json")
else:  # older forms, which transformers converts; it imports for seconds
    import transformers
    transformers.utils.logging.set_verbosity_error()
    opened = transformers.AutoTokenizer.from_pretrained(request["folder"], local_files_only=True,
                                                        trust_remote_code=False)
    backend = getattr(opened, "backend_tokenizer", None)

# Each character many times over, with and without another at the end: what a pattern with nested repeats never ends on.
chars = [chr(code) for code in range(32, 127)] + list("\n\té\u3000ぁア一、😀")
texts = [char * 300 + end for char in chars for end in ("", "!", "a")]
texts += ["".join(chars) * 3, "三万八千円です。\n" * 20, "a1 B2-" * 100, ""]
for text in texts if backend is not None else ():
    tokens = len(backend.encode(text, add_special_tokens=False).ids)
    if tokens > 100 * len(text) + 1000:
        sys.exit(f"it makes {tokens} tokens of {len(text)} characters")
json.dump(True, sys.stdout)
"""


def probe_tokenizer(folder: Path, name: str) -> None:
    """Refuse a tokenizer that does not survive being used; one that does is not tried again by this process.

    folder  of the checkpoint
    name    for messages
    Raises CorruptError.
    """
    files = sorted(file for pattern in _FILES for file in folder.glob(pattern))
    states = [(file.name, state.st_mtime_ns, state.st_size) for file in files for state in (file.stat(),)]
    reason = _fault(str(folder.resolve()), tuple(states))
    if reason:
        raise corrupt(_("its tokenizer cannot be used: {reason}", reason=reason), name, COPY_TOKENIZER)


@lru_cache(maxsize=64)
def _fault(folder: str, states: tuple[tuple[str, int, int], ...]) -> str:
    """Why the tokenizer cannot be used, "" where it can."""
    names = [name for name, *_state in states]
    survived = cache_folder("tokenizers") / _fingerprint(Path(folder), names)
    if survived.is_file():
        return ""
    try:
        request = {"folder": folder, "whole": "tokenizer.json" in names}
        run_limited(_CHILD, request, seconds=_SECONDS, memory=_BYTES)
    except ChildFailed as error:
        return str(error.args[0])
    with contextlib.suppress(OSError):  # a home that cannot be written: the next process tries it again
        survived.parent.mkdir(parents=True, exist_ok=True)
        survived.touch()
    return ""


def _fingerprint(folder: Path, names: Sequence[str]) -> str:
    """Of everything on which the outcome depends: the files by name and content, the attempt, and who reads them."""
    digest = hashlib.sha256(_CHILD.encode())
    for package in ("tokenizers", "transformers"):
        try:
            digest.update(f"{package} {version(package)}\n".encode())
        except PackageNotFoundError:
            digest.update(f"no {package}\n".encode())
    for name in names:
        with (folder / name).open("rb") as file:
            digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
