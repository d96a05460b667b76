"""The proofs of a run's exports, as its record shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.runs import Run, disk

FOLDER, PROOF = "exports", "proof.json"
_TEXTS, _COUNTS = ("target", "runtime", "state", "metric", "quantisation"), ("n", "equal", "bytes")
_VALUES = ("before", "after", "before_ms", "after_ms", "largest_difference")


def read_proofs(run: Run) -> tuple[Mapping[str, Any], ...]:
    """The content of each exports/TARGET/proof.json, with the name of its folder as `folder`, in their order.

    run  the run folder
    Raises CorruptError, naming the file, where one is no proof.
    """
    found = []
    for path in sorted((run.path / FOLDER).glob(f"*/{PROOF}")):
        if path.parent.name.startswith("."):  # an export that is being written
            continue
        proof = disk.read_json(path)
        if not _is_proof(proof):
            raise CorruptError(
                _("this is no proof of an export"),
                where=str(path),
                do=_("Remove its folder, or export the skill again: terakoya export RUN --to TARGET"),
            )
        found.append({**proof, "folder": path.parent.name})
    return tuple(found)


def _is_proof(proof: Any) -> bool:
    if not isinstance(proof, Mapping):
        return False
    texts = all(isinstance(proof.get(name), str) for name in _TEXTS)
    counts = all(_is_number(proof.get(name)) for name in _COUNTS)
    values = all(proof.get(name) is None or _is_number(proof[name]) for name in _VALUES)
    words = proof.get("words", {})
    return texts and counts and values and isinstance(words, Mapping)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
