"""Standard terms only: the left column of the glossary is refused in names, docstrings, comments and messages of src/.

The house keeps eleven words of its own (docs/glossary.md). Whatever else has a standard term is called by it.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "terakoya"

# Refused everywhere → the standard term.
EVERYWHERE = {
    "filling": "padding", "filled": "padded", "beginning": "prefix", "beginnings": "prefixes",
    "lane": "branch", "lanes": "branches", "quick": "fused", "quicken": "patch_layers",
    "twin": "replica", "twins": "replicas",
    "taught": "trained", "teach": "train", "teaches": "trains", "teaching": "training",
    "lesson": "training setup", "lessons": "trainings",
    "ask": "query, prompt, request", "asks": "queries", "asked": "queried, prompted, requested", "asking": "querying",
    "answer": "prediction, output, response", "answers": "predictions, outputs, responses", "answered": "predicted",
    "answering": "predicting", "told": "returned, reported", "heed": "enforce", "noted": "recorded",
    "chance": "probability, rng", "chances": "probabilities", "gained": "token log-probability",
    "surprise": "negative log-likelihood", "surprises": "negative log-likelihoods",
    "foresee": "score", "foreseen": "scored", "foresight": "perplexity",
    "toll": "label penalty", "tolls": "label penalties", "doubt": "log-temperature bound", "doubts": "is unsure of",
    "settle": "calibrate, configure", "settles": "calibrates", "settled": "calibrated, configured",
    "agreed": "MBR", "consensus": "MBR", "best-expected": "expected-metric",
    "blend": "mixing weight", "blends": "mixing weights",
    "figure": "metric, value, chart", "figures": "metrics, values, charts",
    "parted": "split", "sides": "splits", "sitting": "resumable evaluation", "sheet": "scored predictions",
    "sheets": "scored predictions", "rival": "baseline", "rivals": "baselines", "endings": "run lifecycle",
    "world": "environment fingerprint", "scene": "non-finite evidence", "scenes": "non-finite evidence",
    "room": "headroom, module", "rooms": "headroom, modules", "tongue": "language", "foreign": "external",
    "stranger": "third party", "strangers": "third parties", "standing": "trial status", "card": "model info",
    "cards": "model info", "inert": "escaped", "planted": "injected", "torture": "crash test", "packed": "prepacked",
    "places": "positions, indices", "pages": "allocator trimming (of malloc), HTML files",
}  # fmt: skip
PHRASES = {
    "by lot": "at random",
    "handed in": "scored",
    "how sure": "temperature",
    "held to its language": "constrained",
}

# Refused in some folders only, where the word has a standard term that it hides.
IN_FOLDERS = {
    "numbers": ("token ids", ("models", "decoding")),
    "products": ("matmuls, linear projections", ("models",)),
    "turn": ("step", ("decoding",)),
    "turns": ("steps", ("decoding",)),
    "price": ("Lagrange multiplier", ("models", "decoding")),
    "prices": ("Lagrange multipliers", ("models", "decoding")),
    "recall": ("memorised subset", ("data", "tasks", "evaluation", "pipeline", "report")),
    "course": ("loss curve", ("training",)),
}

# (file, word): why it stays. Keys of files that users already have, and values that configs already hold.
ALLOWED: dict[tuple[str, str], str] = {
    ("config/renamed.py", "quick"): "the old name of model.forward's value",
    ("config/renamed.py", "answer"): "the old name of train.loss_on's value",
    ("config/renamed.py", "best-expected"): "the old name of decode.method's value",
    ("records.py", "figures"): "key of findings.jsonl of format 2",
    ("runs/environment.py", "pages"): "SC_PHYS_PAGES",
    ("runs/result.py", "told"): "the verdict 'cannot be told'",
    ("scoring/statistics/verdict.py", "told"): "'cannot be told' is a verdict, a house word, kept in scores.json",
    ("scoring/statistics/decision.py", "told"): "'cannot be told' is a verdict, a house word, kept in scores.json",
    ("evaluation/compare.py", "told"): "'cannot be told apart' is a state in the JSON of compare",
    ("evaluation/ladder.py", "told"): "'cannot be told' is a state in ladder.json, as in verdicts",
    ("cli/printing.py", "told"): "'cannot be told' is a state in ladder.json, as in verdicts",
    ("cli/main.py", "figures"): "the option --figures of report",
    ("reporting/paper.py", "figures"): "the option --figures of report",
    ("evaluation/resume.py", "sitting"): "name of the partial file in run folders: sitting.jsonl",
    ("reporting/breakdowns.py", "answers"): "manifest key of older run folders",
    ("reporting/record.py", "foreseen"): "key of older scores.json",
    ("serving/mcp_tools.py", "world"): "openWorldHint of the protocol's tools",
    ("training/parallel/launch.py", "world"): "torchrun's WORLD_SIZE",
    ("sweeps/search.py", "ask"): "optuna's Study.ask",
    ("sweeps/trial.py", "taught"): "state in trial files of older sweeps",
    ("decoding/predict.py", "turns"): "of a conversation",
    ("decoding/sampling.py", "turns"): "of a conversation",
    ("decoding/sets.py", "best-expected"): "part of the signatures of scores, which must stay comparable",
    ("models/builtin/characters.py", "answered"): "key in vocabulary.json of saved models",
    ("models/builtin/characters.py", "asked"): "key in vocabulary.json of saved models",
    ("models/builtin/network.py", "places"): "parameter name of position embeddings in saved models",
    ("exporters/hub/metadata.py", "card"): "class name in huggingface_hub",
    ("exporters/onnx/graphs.py", "places"): "parameter name of position embeddings in saved models",
    ("models/builtin/numpy_network.py", "places"): "parameter name of position embeddings in saved models",
    ("models/builtin/shape.py", "places"): "parameter name of position embeddings in saved models",
    ("models/builtin/set_model.py", "blend"): "key in config.json of saved models",
    ("models/builtin/set_description.py", "blend"): "key in config.json of saved models",
    ("models/calibration.py", "price"): "key in files of saved set models",
    ("models/calibration.py", "tolls"): "key in files of saved set models",
    ("data/audit/label_balance.py", "answer"): "ids of checks: one-answer, constant-answer",
    ("data/audit/text_lengths.py", "answers"): "id of a check: long-answers",
    ("data/audit/row_order.py", "sides"): "id of a check: sides-differ",
    ("data/audit/spreadsheet_damage.py", "answer"): "how users call a column",
    ("data/formats/layouts.py", "answer"): "how users call a column",
    ("data/formats/parquet.py", "answer"): "how users call a column",
    ("pipeline/scaffold/table_profile.py", "answer"): "how users call a column",
    ("data/statistics.py", "answers"): "keys of the manifest",
    ("tasks/emoji/__init__.py", "taught"): "older value of the option `labels`, in configs that users have",
    ("tasks/numerals/exam.py", "recall"): "part of a seed: another word would draw another exam",
    ("generation/leaks.py", "beginning"): "part of a model's control token",
    ("generation/rejections.py", "answer"): "name of a check in rejected.jsonl, and defects quoted in retry prompts",
    ("generation/teacher/content.py", "answer"): "a tag that models put around their output",
    ("generation/teacher/error_classes.py", "standing"): "a provider's words: your account is in good standing",
    ("generation/wrappers.py", "answer"): "the start of a preamble in a teacher's response",
    ("generation/recipe.py", "answer"): "default name of a step, part of the keys of requests already paid for",
    ("generation/run.py", "answer"): "name of a check in rejected.jsonl",
    ("generation/teacher/protocol.py", "ask"): "part of the keys of requests already paid for",
    (
        "generation/teacher/responses.py",
        "answer",
    ): "defects are quoted in retry prompts, which are part of paid requests",
    ("training/guards/base.py", "told"): "key of a guard's state in checkpoints of the first format",
    ("training/guards/dev_predictions.py", "answer"): "part of finding and guard ids that run folders hold",
    ("training/guards/dev_predictions.py", "answers"): "part of a finding's id that run folders hold",
    ("training/nonfinite/evidence.py", "places"): "parameter name of position embeddings in saved models",
    ("training/reproducibility.py", "world"): "key of checkpoints of the first format",
}

_WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")
_PIECE = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def _texts(source: str) -> Iterator[tuple[int, str, bool]]:
    """(line, text, whether it is a name) of every name, comment and string of a module."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NAME, tokenize.COMMENT, tokenize.STRING):
            yield token.start[0], token.string, token.type == tokenize.NAME


def _words(text: str, name: bool) -> Iterator[str]:
    for whole in _WORD.findall(text):
        yield whole.lower()
        yield from (
            piece.lower() for piece in (_PIECE.findall(whole) if name or "-" not in whole else whole.split("-"))
        )


def old_words(source: str, place: str) -> list[str]:
    """Every old word of a module as "line: word → standard term"."""
    found = []
    top = place.split("/")[0]
    for line, text, name in _texts(source):
        for word in sorted(set(_words(text, name))):
            term = EVERYWHERE.get(word)
            if word in IN_FOLDERS and top in IN_FOLDERS[word][1]:
                term = IN_FOLDERS[word][0]
            if term and (place, word) not in ALLOWED:
                found.append(f"{line}: {word} → {term}")
        if not name:
            flat = " ".join(text.lower().split())
            found += [f"{line}: {phrase} → {term}" for phrase, term in PHRASES.items() if phrase in flat]
    return found


def _files() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(SRC)))
def test_only_standard_terms(path: Path) -> None:
    """A reader who knows PyTorch, transformers and statistics understands every word at first sight."""
    found = old_words(path.read_text(encoding="utf-8"), path.relative_to(SRC).as_posix())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(SRC)))
def test_file_names_are_standard_terms(path: Path) -> None:
    """The name on the door is a word of the field too."""
    for part in path.relative_to(SRC).with_suffix("").parts:
        assert not set(part.split("_")) & set(EVERYWHERE), part


def test_an_old_word_is_found_wherever_it_hides() -> None:
    """The test itself is tried: in a name, an attribute, a comment, a docstring and a message."""
    for source in (
        "class TaughtModel: pass\n", "x.row_filling\n", "# the beginning is shared\n", '"""What was told."""\n',
        'say("by lot")\n', 'say(f"{x} answers")\n', "def settle_all(): pass\n", "decodeMethod = 'best-expected'\n",
    ):  # fmt: skip
        assert old_words(source, "x.py"), source
    assert not old_words("teacher = padding_mask  # a teacher's response\n", "x.py")
    assert old_words("numbers = 1\n", "models/x.py") and not old_words("numbers = 1\n", "tasks/x.py")


def test_exceptions_are_needed() -> None:
    """An exception whose word is gone goes too."""
    for (place, word), reason in ALLOWED.items():
        assert reason
        source = (SRC / place).read_text(encoding="utf-8")
        assert any(word in set(_words(text, name)) for _, text, name in _texts(source)), (place, word)
