"""Baselines: simple, strong, quick, and never a function of the order of rows."""

from __future__ import annotations

import time
from random import Random

import pytest

from terakoya.errors import DataError
from terakoya.records import Example
from terakoya.scoring.baselines.ngrams import separates_words
from terakoya.scoring.baselines.standard import best_constant, make_baselines, name_lexicon
from terakoya.scoring.metrics import exact, jaccard

CUES = {"ねこ": "🐈", "いぬ": "🐕", "バス": "🚌", "あめ": "☔", "ほん": "📚"}
FILLER = ("きょう", "そして", "とても", "あした", "ここで", "みんな")


def cued(seed: int, rows: int, separator: str = " ") -> list[Example]:
    """Sentences in which some words are cues for a label; ✨ stands in half of the answers whatever is said."""
    rng = Random(seed)
    examples = []
    for _ in range(rows):
        words = rng.sample(sorted(CUES), rng.randint(1, 2)) + rng.choices(FILLER, k=4)
        labels = {CUES[word] for word in words if word in CUES} | ({"✨"} if rng.random() < 0.5 else set())
        rng.shuffle(words)
        examples.append(Example(separator.join(words), " ".join(sorted(labels))))
    return examples


def mean(rule, exam, metric=jaccard) -> float:  # type: ignore[no-untyped-def]
    return sum(metric.score(rule(e.source), (e.target,)) for e in exam) / len(exam)


def canonical(target: str) -> str:
    if not target.strip():
        raise DataError("empty")
    return " ".join(sorted(set(target.split())))


def test_the_best_constant_set_is_found_label_by_label() -> None:
    """The emoji log's trials were beaten by a constant set that nobody had looked for."""
    train = [Example(str(i), target) for i, target in enumerate(["a b", "a b c", "a b d", "e"])]
    assert best_constant(train, jaccard, labels=True) == "a b"
    assert best_constant([Example("1", "x"), Example("2", "y"), Example("3", "y")], exact) == "y"


@pytest.mark.parametrize("separator", [" ", ""])
def test_the_word_table_finds_cues_with_and_without_spaces(separator: str) -> None:
    """Japanese has no spaces; a baseline that needs them would be beaten by mistake."""
    train, dev, exam = cued(1, 400, separator), cued(2, 60, separator), cued(3, 200, separator)
    made = make_baselines(train, dev, metric=jaccard, canonical=canonical, labels=True)
    assert mean(made["word table"], exam) > 0.75
    assert mean(made["word table"], exam) > 2 * mean(made["constant"], exam)


def test_baselines_do_not_depend_on_the_order_of_rows() -> None:
    """Lesson 21: a figure that changes when a file is sorted is no figure."""
    train, dev = cued(1, 80), cued(2, 30)
    there = make_baselines(train, dev, metric=jaccard, canonical=canonical, labels=True, names={"🐈": ("ねこ",)})
    back = make_baselines(
        train[::-1], dev[::-1], metric=jaccard, canonical=canonical, labels=True, names={"🐈": ("ねこ",)}
    )
    sources = [example.source for example in cued(3, 50)]
    assert list(there) == list(back)
    for name in there:
        assert there[name].predict(sources) == back[name].predict(sources), name


def test_the_nearest_neighbour_answers_what_it_has_seen_and_abstains_where_nothing_is_shared() -> None:
    """Memory is what a small exam measures when the same thing stands in train."""
    made = make_baselines(
        [Example("二万三千", "23000"), Example("七百", "700"), Example("七百八", "708")], [], metric=exact
    )
    near = made["nearest neighbour"]
    assert near.predict(["二万三千", "七百八", "二万三百", "xyz", ""]) == ["23000", "708", "23000", None, None]


def test_twenty_thousand_neighbours_are_found_in_seconds() -> None:
    """A baseline that takes longer than the model is one that will be switched off."""
    rng = Random(0)
    texts = ["".join(rng.choices("一二三四五六七八九十百千万億", k=10)) for _ in range(23_000)]
    near = make_baselines([Example(t, t) for t in texts[:3000]], [], metric=exact)["nearest neighbour"]
    started = time.process_time()
    assert len(near.predict(texts[3000:])) == 20_000
    assert time.process_time() - started < 12


def test_the_lexicon_takes_the_longest_name_and_the_commoner_label() -> None:
    """猫の顔 is one emoji, not a cat and a face."""
    names = {"🐱": ("猫の顔",), "🐈": ("猫", "ねこ"), "🐾": ("猫",), "😀": ("顔",), "∅": ("",)}
    find = name_lexicon(names, [Example("x", "🐈 😀 🐱")])
    assert find("猫の顔と猫") == "🐱 🐈"
    assert find("ネコ") is None
    assert find("") is None


def test_copy_rule_and_a_tasks_own_baselines_stand_beside_the_rest() -> None:
    """What an author brings is shown under the author's name."""
    made = make_baselines(
        cued(1, 20),
        [],
        metric=jaccard,
        canonical=canonical,
        labels=True,
        rule=lambda source: "✨" if "ねこ" in source else None,
        more={"mine": lambda train: lambda source: train[0].target},
    )
    assert made["copy"]("b a a") == "a b"
    assert made["copy"](" ") is None
    assert made["rule"].predict(["ねこ", "いぬ"]) == ["✨", None]
    assert made["mine"]("x") == cued(1, 20)[0].target


def test_no_training_examples_is_a_refusal() -> None:
    """A table of baselines that is silently empty looks like a model without rivals."""
    with pytest.raises(DataError, match="training examples"):
        make_baselines([], [], metric=exact)


def test_short_texts_without_spaces_are_words_in_some_scripts_only() -> None:
    """今朝妹が笑った is seven characters and no word; taken as one, nothing is learnt from its parts."""
    assert not separates_words(["今朝妹が笑った", "庭で猫が鳴いた", "駅で泣いた"])
    assert not separates_words(["ねこ", "ソファ", "แมว"])
    assert separates_words(["cat", "dog", "a small bird"])
    assert separates_words(["ねこ が なく", "いぬ も なく"])
