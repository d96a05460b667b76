"""What the numerals log wished for and what it stumbled over: quantities doubled, rows in order, decimals."""

from __future__ import annotations

from random import Random

from terakoya.pipeline import dataset
from terakoya.records import Prediction
from terakoya.registry import find_experiment
from terakoya.scoring.score_predictions import score_predictions
from terakoya.tasks.janum import task as janum
from terakoya.tasks.quantities import task as quantities
from terakoya.tasks.quantities.scale import scale_query


def test_recipe_quantities_are_multiplied_with_exact_fractions() -> None:
    """The log's wish: 大さじ 1/2 x3 → 3/2 (docs/lessons.md, no. 36)."""
    assert scale_query("しょうゆ 大さじ1/2 を3倍") == "しょうゆ 大さじ3/2"
    codec = quantities(items=1).codec
    assert codec.canonical("しょうゆ 大さじ1と1/2") == codec.canonical("しょうゆ 大さじ<1/2*3>") == "しょうゆ 大さじ3/2"


def test_the_model_points_and_the_codec_computes() -> None:
    """Direct targets .12, with products .94: no training target holds a computed number."""
    built = quantities(items=1)
    assert built.draw is not None
    random = Random(2)
    for item in (built.draw(random, 1.0) for _ in range(300)):
        written = built.codec.write(item.target)
        assert written == item.target and built.codec.read(written) == built.codec.canonical(
            str(scale_query(item.source))
        )
        assert written.count("<") == int(item.tag("quantities"))


def test_half_of_the_training_names_are_random_strings() -> None:
    """Only so are unseen names copied; and each random name is new."""
    from terakoya.tasks.quantities.words import nonsense, words

    random = Random(4)
    made = [nonsense(random) for _ in range(1000)]
    assert len(set(made)) > 850 and not set(made) & set(words()["names"])


def test_the_tail_split_of_the_log_is_objected_to() -> None:
    """.3 and .7 were two exams, not two models: the order of the rows decided them (docs/lessons.md, no. 21)."""
    findings = dataset.audit_dataset(dataset.load_dataset(find_experiment("janum-unshuffled")))
    order = [finding for finding in findings if finding.check == "order"]
    assert [finding.level for finding in order] == ["stop"] and "order of the rows decides" in order[0].what
    shuffled = dataset.load_dataset(find_experiment("janum-unshuffled", ('split.method="hash"',)))
    assert not [
        finding for finding in dataset.audit_dataset(shuffled) if finding.check == "order" and finding.level != "note"
    ]


def test_rule_and_model_cover_together_what_neither_does_alone() -> None:
    """janum's idioms no rule reads, and no model needs to guess what rules are sure of."""
    built = janum(items=30)
    assert built.split is not None and built.rule is not None
    scored = score_predictions(
        "rule",
        built.split.exam,
        [Prediction(item.source, "", built.rule(item.source)) for item in built.split.exam],
        built.codec,
        built.metrics,
    )
    shares = {
        name: sum(values) / len(values)
        for name in scored.subsets()
        if (values := scored.subset(name).item_scores("exact"))
    }
    assert shares[""] == 1.0 and 0.2 < shares["idioms"] < 0.6 and shares["unseen idioms"] == 0.0
