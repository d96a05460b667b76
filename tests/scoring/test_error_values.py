"""What an error analysis says, to the word and to the count: fields, edits, relations, properties and labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from scipy.stats import binom, fisher_exact

from terakoya.scoring.error_analysis import explain as explaining
from terakoya.scoring.error_analysis import properties, substitutions
from terakoya.scoring.error_analysis.alignment import (
    MOST_CELLS,
    Segment,
    alignment,
    differences,
    edit_distance,
    marked,
    single_edits,
)
from terakoya.scoring.error_analysis.exact_tests import (
    Counts,
    binomial_tail,
    correction_factor,
    fisher_greater,
    least_p,
)
from terakoya.scoring.error_analysis.explain import explain_errors
from terakoya.scoring.error_analysis.items import ErrorItem, NamedError, read_items
from terakoya.scoring.error_analysis.labels import LabelErrors, errors_by_label, named_labels
from terakoya.scoring.error_analysis.properties import Property, find_properties, named_properties
from terakoya.scoring.error_analysis.substitutions import (
    count_edits,
    named_relations,
    named_substitutions,
    relation,
    relation_title,
)
from terakoya.scoring.error_analysis.target_fields import (
    FieldErrors,
    TargetForm,
    errors_by_field,
    fields_of,
    named_fields,
)


def _item(source: str, target: str, prediction: str | None, **more: Any) -> ErrorItem:
    return ErrorItem(source, target, prediction, target != prediction, **more)


def _more(hits: int, n: int, share: float) -> float:
    return float(binom.sf(hits - 1, n, share))


def _times(hours: range, wrong: int) -> list[ErrorItem]:
    """Times of day; the first `wrong` predictions have minutes that are not theirs."""
    return [
        _item(f"time {at}", f"{at:02}:{at * 7 % 60:02}", f"{at:02}:{(at * 7 + (at < hours.start + wrong)) % 60:02}")
        for at in hours
    ]


@pytest.mark.parametrize(
    ("form", "titles"),
    [
        (TargetForm(("/", ":")), ["field 1 (before '/')", "field 2 (between '/' and ':')", "field 3 (after ':')"]),
        (TargetForm((":",)), ["field 1 (before ':')", "field 2 (after ':')"]),
        (TargetForm(length=3), ["character 1 of 3", "character 2 of 3", "character 3 of 3"]),
    ],
)  # fmt: skip
def test_a_field_is_named_by_its_number_and_what_stands_around_it(form: TargetForm, titles: list[str]) -> None:
    assert [form.title(field) for field in range(len(titles))] == titles


def test_a_text_has_the_form_or_none() -> None:
    form = TargetForm(("-", "/"))
    assert form.values("a-b/c") == ("a", "b", "c") and form.values("-/") == ("", "", "")
    for text in ("a-b", "a/b-c", "a-b/c-d", "a-b/c/d", ""):
        assert form.values(text) is None
    assert form.values("a-b-c/d") == ("a", "b-c", "d")
    assert TargetForm(length=2).values("xy") == ("x", "y")
    assert TargetForm(length=2).values("xyz") is None and TargetForm(length=2).values("x") is None


def test_five_different_targets_show_a_form() -> None:
    targets = ["1:2", "3:4", "5:6", "7:8", "9:0"]
    assert fields_of(targets) == TargetForm((":",), 0)
    assert fields_of([*targets[:4], *targets[:4]]) is None
    assert fields_of([]) is None


def test_separators_that_always_touch_are_one() -> None:
    assert fields_of([f"{at}), ({at + 1}" for at in range(5)]) == TargetForm(("), (",))
    assert fields_of(["1年x月", "2年y月", "3年zz月", "4年v月", "5年月"]) == TargetForm(("年", "月"))
    assert fields_of(["a->b", "c->d", "e->f", "g->h", "i-x>j"]) == TargetForm(("-", ">"))


def test_what_has_one_field_or_too_many_has_no_form() -> None:
    """A unit behind every number separates nothing; digits in common are an accident; order must be shared."""
    assert fields_of([f"{at}円" for at in (1, 22, 333, 4444, 55555)]) is None
    assert fields_of(["0a", "b0", "0cc", "dd0", "0"]) is None
    assert fields_of(["a-b/c", "d/e-ff", "g-h/i", "j-k/l", "m-n/o"]) is None
    assert fields_of(["x" * 24 + letter for letter in "abcde"]) is None
    assert fields_of([letter * 24 for letter in "abcde"]) == TargetForm(length=24)
    assert fields_of([letter * 25 for letter in "abcde"]) is None
    assert fields_of(list("abcde")) is None and fields_of(["ab", "cd", "ef", "gh", "ij"]) == TargetForm(length=2)


def test_errors_of_a_field_keep_the_numbers_of_their_items() -> None:
    """What has no form, and what could not be read, is counted in no field."""
    items = [
        _item("s", "1:2", "1:2"), _item("s", "3:4", "3:5"), _item("s", "5:6", "none"), _item("s", "7:8", None),
        _item("s", "9:0", "1:1"), _item("s", "odd", "1:1"),
    ]  # fmt: skip
    assert errors_by_field(items, TargetForm((":",))) == [
        FieldErrors("field 1 (before ':')", 1, 3, (4,)), FieldErrors("field 2 (after ':')", 2, 3, (1, 4)),
    ]  # fmt: skip
    assert [one.n for one in errors_by_field([_item("s", "ab", "ac")], TargetForm(length=2))] == [1, 1]


def test_a_field_in_which_errors_gather_is_named_with_everything() -> None:
    """Ten of ten wrong fields are minutes; each of two fields is expected to have half, or its share of kinds."""
    items = _times(range(20), 10)
    items = [items[-1], *items[:-1]]
    (found,) = named_fields(items, 3)
    columns = list(zip(*(item.target.split(":") for item in items), strict=True))
    differ = [1 - sum((column.count(value) / 20) ** 2 for value in set(column)) for column in columns]
    share = max(0.5, differ[1] / sum(differ))
    assert found == NamedError(
        "field", ("field", "2"), "field 2 (after ':'): 10 of the 10 wrong fields",
        pytest.approx(_more(10, 10, share) * 2 * 3), 10, 10, 0, 10, tuple(range(1, 11)),
    )  # fmt: skip


def test_errors_spread_over_fields_name_none() -> None:
    """Evenly spread, without an error, without a form, and where only one field is used."""
    spread = [_item("s", f"{at}:{at}", f"{at + at % 2}:{at + 1 - at % 2}") for at in range(10, 30)]
    assert named_fields(spread) == []
    assert named_fields([_item("s", f"{at}:{at}", f"{at}:{at}") for at in range(9)]) == []
    assert named_fields([_item("s", "a" * at, "b") for at in range(1, 9)]) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unreadable", "the output cannot be read"), ("empty", "the prediction is empty"),
        ("width", "only full width and half width differ"), ("case", "only capitals differ"),
        ("marks", "only spaces or punctuation differ"), ("scale", "the number is right, its zeros are not"),
        ("nearest", "the prediction is the target of the most similar training row"),
        ("copy", "the prediction is a copy of the source"), ("cut", "the end of the target is missing"),
        ("longer", "the target is followed by something more"), ("start", "the start of the target is missing"),
        ("order", "the characters are right, their order is not"),
    ],
)  # fmt: skip
def test_a_relation_is_said_in_these_words(name: str, words: str) -> None:
    assert str(relation_title(name)) == words


@pytest.mark.parametrize(
    ("source", "target", "prediction", "name"),
    [
        ("x", "a", "", "empty"), ("x", "a", " ", "empty"), ("x", "。", "、", ""), ("x", "120", "12", "scale"),
        ("x", "12", "1200", "scale"), ("x", "0", "00", "longer"), ("x", "100", "0", "start"), ("x", "12", "13", ""),
        ("x", "bcd", "cd", "start"), ("x", "1.5", "15", "marks"), ("x", "5", "5個", "longer"),
        ("x", "1a", "1A", "case"), ("x", "10", "1x", ""),
    ],
)  # fmt: skip
def test_relations_in_the_order_in_which_they_count(source: str, target: str, prediction: str, name: str) -> None:
    assert relation(_item(source, target, prediction)) == name


def test_the_target_of_the_nearest_row_is_a_relation() -> None:
    assert relation(_item("x", "abc", "xyz", nearest=("xyz", 0.5))) == "nearest"
    assert relation(_item("x", "abc", "xyz", nearest=("xy", 0.5))) == ""
    assert relation(_item("xyz", "abc", "xyz", nearest=("xyz", 0.5))) == "nearest"


def test_a_relation_that_many_errors_have_is_named_with_everything() -> None:
    """Six of eight errors copy their source; one of twelve relations has 15% by accident."""
    items = [_item(f"s{at}", f"t{at}x", f"s{at}") for at in range(6)]
    items = [_item("q", "t", "t"), *items, _item("q", "1", "9"), _item("q", "2", "9"), _item("q", "t", "t")]
    (found,) = named_relations(items, 2)
    assert found == NamedError(
        "relation", ("relation", "copy"), "the prediction is a copy of the source: 6 of 8 errors",
        pytest.approx(_more(6, 8, 0.15) * 12 * 2), 6, 8, 2, 8, tuple(range(1, 7)),
    )  # fmt: skip
    assert named_relations(items[:3]) == [] and named_relations(items, 10_000) == []
    unread = named_relations([_item("q", "t", None)] * 8)
    assert [one.message for one in unread] == ["the output cannot be read: 8 of 8 errors"]


def test_relations_are_named_by_their_p() -> None:
    items = [_item(f"s{at}", f"t{at}x", f"s{at}") for at in range(9)] + [_item("q", "abc", "ABC")] * 12
    assert [one.key[1] for one in named_relations(items)] == ["case", "copy"]


def test_edits_of_another_text_are_not_counted() -> None:
    """At most two edits, or a third of the target's characters; right items and unreadable ones have none."""
    items = [
        _item("s", "abcd", "abxy"), _item("s", "abcd", "axyz"), _item("s", "abcdefghi", "abcdefxyz"),
        _item("s", "abcdefgh", "abcdexyz"), _item("s", "ab", None), _item("s", "ab", "ab"), _item("s", "aa", "bb"),
    ]  # fmt: skip
    assert count_edits(items) == {
        ("c", "x"): 1, ("d", "y"): 1, ("g", "x"): 1, ("h", "y"): 1, ("i", "z"): 1, ("a", "b"): 1,
    }  # fmt: skip


def test_an_edit_that_occurs_too_often_is_named_with_everything() -> None:
    """4 is written as 9 five times; four characters stand in the targets, a quarter of them 4, none 9."""
    items = [_item("s", "4123", "9123")] * 5 + [_item("s", "1234", "1234")] * 5 + [_item("s", "1234", "1224")]
    (found,) = named_substitutions(items, 2)
    share = 0.25 * (1 / 3)
    assert found == NamedError(
        "substitution", ("substitution", "4→9"), "'9' in place of '4': 5 of the 6 differences",
        pytest.approx(_more(5, 6, share) * 4 * 5 * 2), 5, 6, 1, 6, (0, 1, 2, 3, 4),
    )  # fmt: skip
    assert named_substitutions(items[5:10]) == [] and named_substitutions([]) == []


def test_edits_are_expected_by_what_stands_in_the_targets() -> None:
    frequency = {"a": 0.5, "b": 0.3, "c": 0.2}
    expected = substitutions._expected
    assert expected("a", "", frequency) == 0.5 and expected("x", "", frequency) == 0.0
    assert expected("", "b", frequency) == 0.5 and expected("", "x", frequency) == 0.5
    assert expected("", "x", {"a": 0.9, "b": 0.05, "c": 0.03, "d": 0.02}) == pytest.approx(1 / 3)
    assert expected("", "a", {"a": 0.9, "b": 0.05, "c": 0.03, "d": 0.02}) == 0.9
    assert expected("c", "a", frequency) == pytest.approx(0.2 * 0.5 / 0.8)
    assert expected("a", "c", frequency) == pytest.approx(0.5 * 0.5) and expected("x", "a", frequency) == 0.0
    assert expected("a", "x", {"a": 1.0}) == 1.0 and expected("a", "a", {}) == 0.0


@pytest.mark.parametrize(
    ("target", "prediction", "key", "words", "share"),
    [
        ("ab,cd", "abcd", ",→", "',' left out", 0.2), ("abcd", "ab,cd", "→,", "',' added", 1 / 3),
    ],
)  # fmt: skip
def test_omissions_and_additions_are_named(target: str, prediction: str, key: str, words: str, share: float) -> None:
    items = [_item("s", target, prediction)] * 8
    (found,) = named_substitutions(items)
    kinds = len(set(target))
    assert found.key == ("substitution", key) and found.message == f"{words}: 8 of the 8 differences"
    assert found.p == pytest.approx(min(1.0, share**8 * kinds * (kinds + 1)))
    assert found.rows == tuple(range(8))


def test_two_edits_of_one_kind_are_too_few() -> None:
    """However unlikely: with fifty characters two equal edits would be significant."""
    alphabet = "".join(chr(ord("ぁ") + at) for at in range(80))
    items = [_item("s", alphabet, "x" + alphabet[1:])] * 2
    assert named_substitutions(items) == []
    assert [one.wrong for one in named_substitutions([*items, items[0]])] == [3]


def test_the_order_of_named_edits_is_that_of_their_p() -> None:
    items = [_item("s", "4123", "9123")] * 6 + [_item("s", "4123", "4128")] * 8
    found = named_substitutions(items)
    assert [one.key[1] for one in found] == ["3→8", "4→9"] and found[0].p < found[1].p


def test_edges_of_the_exact_tests() -> None:
    assert correction_factor([]) == 1 and correction_factor([0.9]) == 1 and correction_factor([0.01, 0.02]) == 2
    assert correction_factor([0.05, 0.05]) == 2 and correction_factor([0.05, 0.9]) == 1
    assert correction_factor([0.02, 0.02, 0.9], 0.05) == 2 and correction_factor([0.02, 0.02, 0.9], 0.01) == 1
    assert [binomial_tail(*one) for one in ((0, 5, 0.3), (-1, 5, 0.3), (1, 5, 0.0), (5, 5, 1.0), (2, 5, 1.5))] == [
        1.0, 1.0, 0.0, 1.0, 1.0,
    ]  # fmt: skip
    assert binomial_tail(1, 1, 0.25) == pytest.approx(0.25) and binomial_tail(6, 5, 0.3) == 0.0
    assert binomial_tail(3, 9, 1e-3) == pytest.approx(_more(3, 9, 1e-3))


@pytest.mark.parametrize("counts", [Counts(1, 4, 2, 5), Counts(2, 2, 6, 7), Counts(4, 9, 0, 3), Counts(0, 3, 0, 3)])
def test_the_smallest_p_is_that_of_the_most_extreme_table(counts: Counts) -> None:
    wrong = counts.wrong + counts.wrong_elsewhere
    most = min(counts.n, wrong)
    table = [[most, counts.n - most], [wrong - most, counts.n_elsewhere - wrong + most]]
    assert least_p(counts) == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
    seen = [
        [counts.wrong, counts.n - counts.wrong], [counts.wrong_elsewhere, counts.n_elsewhere - counts.wrong_elsewhere],
    ]  # fmt: skip
    assert fisher_greater(counts) == pytest.approx(fisher_exact(seen, alternative="greater").pvalue)


def _properties(items: list[ErrorItem]) -> dict[tuple[str, str], tuple[int, ...]]:
    return {one.key: one.rows for one in find_properties(items)}


def test_kinds_of_characters_are_properties() -> None:
    """Each kind with the characters at its ends, in three of six sources whose rest is alike."""
    kinds = {
        "full-width digits": "０９", "half-width digits": "09", "full-width letters": "Ａｚ", "Latin capitals": "AZ",
        "Latin small letters": "az", "numerals in kanji": "〇兆", "numerals in formal kanji (daiji)": "零參",
        "kanji": "一々", "hiragana": "ぁゖ", "katakana": "ァー", "half-width katakana": "ｦﾟ", "spaces": " 　",
        "brackets": "(】", "commas": ",、", "signs": "-＋",
    }  # fmt: skip
    assert list(properties.KINDS_OF_CHARACTER) == list(kinds) == list(properties._KIND_NAMES)
    for name, characters in kinds.items():
        items = [_item(one, "t", "t") for one in (*characters, characters[0], "%", "%", "%")]
        found = {one.key: one.rows for one in properties._kinds_of_character(items)}
        assert found["characters", name] == (0, 1, 2)
        assert str(properties._KIND_NAMES[name]) == name


def test_lengths_are_cut_at_quantiles() -> None:
    """Of the lengths 1 to 8 at positions 2, 4, 6 and 7: 3, 5, 7 and 8."""
    items = [_item("x" * at, "y" * (9 - at), "z") for at in range(1, 9)]
    found = list(properties._lengths(items))
    assert [one.key for one in found] == [
        (f"{side} length", f"{sign} {cut}") for side in ("source", "target") for cut in (3, 5, 7, 8) for sign in "≥<"
    ]
    rows = {one.key: one.rows for one in found}
    assert rows["source length", "≥ 5"] == (4, 5, 6, 7) and rows["source length", "< 5"] == (0, 1, 2, 3)
    assert rows["target length", "≥ 5"] == (0, 1, 2, 3) and rows["target length", "< 8"] == (1, 2, 3, 4, 5, 6, 7)


def test_sources_unlike_any_training_row_are_a_property() -> None:
    """Below the similarity at a tenth, a quarter and a half of the items; not where one is unknown."""
    items = [_item("s", "t", "t", nearest=("t", at / 20)) for at in range(20)]
    assert list(properties._distances(items)) == [
        Property(("nearest", "0.10"), (0, 1)), Property(("nearest", "0.25"), tuple(range(5))),
        Property(("nearest", "0.50"), tuple(range(10))),
    ]  # fmt: skip
    assert list(properties._distances([*items, _item("s", "t", "t")])) == []


def test_tags_are_properties_by_name_and_value() -> None:
    items = [_item("s", "t", "t", tags={"form": "a" if at % 2 else "b", "size": "1"}) for at in range(6)]
    assert list(properties._tags([*items, _item("s", "t", "t")])) == [
        Property(("tag form", "a"), (1, 3, 5)), Property(("tag form", "b"), (0, 2, 4)),
        Property(("tag size", "1"), tuple(range(6))),
    ]  # fmt: skip


def _words(sources: list[str]) -> dict[str, tuple[int, ...]]:
    return {one.key[1]: one.rows for one in properties._substrings([_item(source, "t", "t") for source in sources])}


def test_substrings_of_the_same_sources_are_one_property() -> None:
    """The word, else the longest that can be read; three sources at least; none that begins or ends in a space."""
    assert _words(["ab1", "ab2", "ab3"]) == {"ab": (0, 1, 2)}
    assert _words(["ab1", "ab2"]) == {}
    assert _words(["1 -2", "3 -4", "5 -6"]) == {"-": (0, 1, 2)}
    assert _words(["the cat.", "the cow!", "the dog."]) == {"the": (0, 1, 2)}
    assert _words(["a (b", "c (d", "e (f", "xyz", "xyw", "xyv"]) == {"(": (0, 1, 2), "xy": (3, 4, 5)}
    assert _words(["x cat, y", "z cat! w", "cat v"])["cat"] == (0, 1, 2)
    assert set(_words(["123456789a", "123456789b", "123456789c"])) == {"23456789"}
    assert _words([f"{'x' * 400}ab{at}" for at in range(3)]) == {"x" * 8: (0, 1, 2)}


def test_long_sources_are_searched_for_short_substrings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "_MOST_PAIRS", 45)
    assert set(_words(["abcde", "abcdf", "abcdg"])) == {"bcd"}
    monkeypatch.setattr(properties, "_MOST_PAIRS", 1)
    assert set(_words(["abcde", "abcdf", "abcdg"])) == {"cd"}


def test_a_property_needs_three_items_with_it_and_three_without() -> None:
    """What two properties say of the same items is said once, by the more general name."""
    items = [_item(source, "t", "t") for source in ("A", "A", "A", "%", "%", "%")]
    assert _properties(items) == {("characters", "Latin capitals"): (0, 1, 2), ("word", "%"): (3, 4, 5)}
    assert _properties(items[:5]) == {} and _properties(items[1:]) == {}


def test_a_property_is_named_with_the_p_of_fisher() -> None:
    """Eight of ten wrong against one of twenty, corrected for the properties that could be significant."""
    items = [_item("A", "t", "t" if at < 2 else "x") for at in range(10)]
    items += [_item("%", "t", "x" if at == 0 else "t") for at in range(20)]
    (found,) = named_properties(items)
    p = fisher_exact([[8, 2], [1, 19]], alternative="greater").pvalue
    assert (found.family, found.key) == ("property", ("characters", "Latin capitals"))
    assert found.message == "sources with Latin capitals: 8 of 10 wrong, elsewhere 1 of 20"
    assert (found.wrong, found.n, found.wrong_elsewhere, found.n_elsewhere) == (8, 10, 1, 20)
    assert found.rows == tuple(range(2, 10)) and found.p == pytest.approx(2 * p)
    (fourth,) = named_properties(items, 4)
    assert fourth.p == pytest.approx(8 * p)
    assert named_properties([]) == [] and list(find_properties([])) == []
    assert named_properties([_item("A", "t", "t")] * 9) == [] and named_properties([_item("A", "t", "x")]) == []


def test_a_second_property_is_judged_without_the_items_of_the_first() -> None:
    """Sources with ( are wrong; those with A are wrong as well, and half of them have a ( too."""
    items = [_item(source, "t", "x" if "(" in source or "A" in source else "t") for source in (
        *["A("] * 6, *["b("] * 6, *["Ac"] * 9, *["%c"] * 25, *["%b"] * 6)]  # fmt: skip
    found = named_properties(items)
    assert [(one.key, one.wrong, one.n, one.n_elsewhere) for one in found] == [
        (("characters", "Latin capitals"), 15, 15, 37), (("characters", "brackets"), 6, 6, 31),
    ]  # fmt: skip
    assert all(one.wrong == len(one.rows) or one.key[1] == "brackets" for one in found)


def test_items_of_groups_count_by_the_majority_of_their_group() -> None:
    """Groups of three: wrong is a group with two wrong items, with the property and without it."""
    names = [f"g{at // 3}" for at in range(12)]
    wrong = [1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    items = [
        ErrorItem("s", "t", "p", bool(bad), group=name) for bad, name in zip(wrong, names, strict=True)
    ]  # fmt: skip
    count = properties._counter(items, range(12))
    assert count((0, 1, 2, 3, 4, 5, 6, 7, 8)) == Counts(2, 3, 0, 1)
    assert count((2, 5, 6, 9)) == Counts(2, 4, 2, 4)
    assert count((0, 3)) is None and count(tuple(range(12))) is None
    left = properties._counter(items, range(3, 12))
    assert left((0, 1, 2, 5, 8, 9)) == Counts(2, 3, 1, 3)


def test_items_alone_are_counted_one_by_one() -> None:
    items = [ErrorItem("s", "t", "p", at % 2 == 0) for at in range(8)]
    count = properties._counter(items, range(1, 8))
    assert count((0, 1, 2, 4)) == Counts(2, 3, 1, 4)
    assert count((1, 2)) is None and count(tuple(range(8))) is None


def test_errors_of_labels_by_hand() -> None:
    items = [_item("s", "a b", "a c"), _item("s", "b", None), _item("s", "c", "a"), _item("s", "a", "a a")]
    assert errors_by_label(items) == [
        LabelErrors("b", 2, (0, 1), 0, ()), LabelErrors("c", 1, (2,), 1, (0,)), LabelErrors("a", 2, (), 3, (2,)),
    ]  # fmt: skip


def test_labels_in_which_errors_gather_are_named_with_everything() -> None:
    """b is missed in 9 of 10 items, and c predicted instead; a is always right."""
    items = [_item("s", "a b", "a c" if at else "a b") for at in range(10)] + [_item("s", "a", "a")] * 10
    wrong, missed = named_labels(items, 2)
    # Two of the five tests could reach .025 / 3, so that three are corrected for, in each of two families.
    by_missed = fisher_exact([[9, 1], [0, 20]], alternative="greater").pvalue * 3 * 2
    by_wrong = fisher_exact([[9, 0], [0, 21]], alternative="greater").pvalue * 3 * 2
    assert missed == NamedError(
        "label", ("missed label", "b"), "the label b is missed in 9 of 10 items, other labels in 0 of 20",
        pytest.approx(by_missed), 9, 10, 0, 20, tuple(range(1, 10)),
    )  # fmt: skip
    assert wrong == NamedError(
        "label", ("wrong label", "c"), "the label c is wrong in 9 of 9 predictions, other labels in 0 of 21",
        pytest.approx(by_wrong), 9, 9, 0, 21, tuple(range(1, 10)),
    )  # fmt: skip
    assert named_labels([_item("s", "a", "a")] * 9) == [] and named_labels([]) == []


def _line(target: str, prediction: str | None, verdict: float, **more: object) -> Mapping[str, Any]:
    return {"source": "s", "target": target, "prediction": prediction, "verdict": verdict, **more}


def test_a_line_of_predictions_becomes_an_item() -> None:
    line = _line(
        "1.0", "2", 0.0, canonical="1", accepted=["one"], group="g", tags={"form": 3},
        nearest={"source": "q", "target": "7", "similarity": 0.5},
    )  # fmt: skip
    (item,), halves = read_items([line])
    assert item == ErrorItem("s", "1", "2", True, "g", {"form": "3"}, ("7", 0.5)) and not halves
    (plain,), _ = read_items([_line("a", "a", 1.0)])
    assert plain == ErrorItem("s", "a", "a", False, "", {}, None)
    (bare,), _ = read_items([{}])
    assert bare == ErrorItem("", "", None, True, "", {}, None)
    (withheld,), _ = read_items([_line("a", "b", 0.0, withheld="novelty")])
    assert withheld.prediction is None and withheld.wrong


def test_the_nearest_target_counts_for_wrong_texts_only() -> None:
    """Right predictions and sets of labels keep the first target."""
    wrong = _line("abcd", "xyw", 0.0, accepted=["xyz"])
    assert read_items([wrong])[0][0].target == "xyz"
    assert read_items([wrong], labels=True)[0][0].target == "abcd"
    assert read_items([{**wrong, "verdict": 1.0}])[0][0].target == "abcd"
    assert read_items([{**wrong, "prediction": None}])[0][0].target == "abcd"


def test_the_main_subset_is_analysed_where_there_is_one() -> None:
    lines = [_line("a", "b", 0.0, subset="memorised"), _line("c", "d", 0.0)]
    assert [item.target for item in read_items(lines)[0]] == ["c"]
    assert [item.target for item in read_items(lines[:1])[0]] == ["a"]


def test_the_worse_half_counts_where_hardly_any_item_is_fully_right() -> None:
    """More than four in five graded scores below 1: the median divides; else everything below 1 is wrong."""
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    items, halves = read_items([_line("a", "b", value) for value in values])
    assert halves and [item.wrong for item in items] == [True] * 5 + [False] * 5
    items, halves = read_items([_line("a", "b", value) for value in [*values[1:9], 1.0, 1.0]])
    assert not halves and sum(item.wrong for item in items) == 8
    items, halves = read_items([_line("a", "b", 0.0)] * 10)
    assert not halves and all(item.wrong for item in items)


def test_families_share_the_error_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four families for texts, two for labels, and the most significant comes first."""
    asked: list[tuple[str, int]] = []

    def family(name: str, p: float) -> Any:
        def named(items: list[ErrorItem], families: int) -> list[NamedError]:
            asked.append((name, families))
            return [NamedError("relation", ("relation", name), name, p, 1, 1, 0, 1)]

        return named

    for name, p in (
        ("properties", 0.04),
        ("fields", 0.01),
        ("substitutions", 0.03),
        ("relations", 0.02),
        ("labels", 0.05),
    ):
        monkeypatch.setattr(explaining, f"named_{name}", family(name, p))
    found = explain_errors([_line("a", "b", 0.0), _line("c", "c", 1.0)])
    assert [one.message for one in found.named] == ["fields", "relations", "substitutions", "properties"]
    assert {number for _name, number in asked} == {4} and (found.form, found.labels, found.halves) == (
        None,
        False,
        False,
    )
    assert [item.target for item in found.wrong] == ["a"] and len(found.items) == 2
    asked.clear()
    assert [one.message for one in explain_errors([_line("a", "b", 0.0)], labels=True).named] == [
        "properties",
        "labels",
    ]
    assert asked == [("labels", 2), ("properties", 2)]
    asked.clear()
    assert explain_errors([_line("a", "a", 1.0)]).named == () and not asked


def test_a_long_exam_is_looked_at_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "MOST_ITEMS", 4)
    lines = [_line(str(at), str(at), 1.0) for at in range(10)]
    assert [item.target for item in explain_errors(lines).items] == ["0", "2", "5", "7"]
    assert len(explain_errors(lines[:4]).items) == 4
    dates = [_line(f"{at}:{at}", f"{at}:{at}", 1.0) for at in range(4)]
    assert explain_errors(dates).form is None
    monkeypatch.setattr(explaining, "MOST_ITEMS", 9)
    more = [_line(f"{at}:{at}", f"{at}:{at}", 1.0) for at in range(9)]
    assert explain_errors(more).form == TargetForm((":",)) and explain_errors(more, labels=True).form is None


def test_stretches_of_an_alignment_by_hand() -> None:
    assert alignment("1月5日", "1月15日") == (
        Segment("1月", "1月", 0), Segment("1", "", 2), Segment("5日", "5日", 3),
    )  # fmt: skip
    assert alignment("", "") == () and differences("abc", "abc") == ()
    assert differences("xaby", "ab") == (Segment("", "x", 0), Segment("", "y", 2))
    assert differences("axcye", "abcde") == (Segment("b", "x", 1), Segment("d", "y", 3))
    assert single_edits("axyd", "abcd") == (Segment("b", "x", 1), Segment("c", "y", 2))
    assert single_edits("ad", "abcd") == (Segment("b", "", 1), Segment("c", "", 2))
    assert [one.equal for one in alignment("ab", "ac")] == [True, False]
    assert marked("axyd", "abd") == ("a[xy]d", "a[b]d") and edit_distance("axyd", "abd") == 2
    assert marked("aa", "a") == ("a[a]", "a")


def test_long_texts_are_aligned_by_their_common_blocks() -> None:
    """Beyond a size the dynamic program would take too long: what is equal stays equal."""
    size = math.isqrt(MOST_CELLS) + 1
    middle = "".join(chr(0x4E00 + at) for at in range(size))
    first, second = f"x{middle}q", f"y{middle[:100]}--{middle[100:]}r"
    parts = alignment(first, second)
    assert "".join(part.prediction for part in parts) == first and "".join(part.target for part in parts) == second
    assert [(part.prediction, part.target) for part in parts if not part.equal] == [("x", "y"), ("", "--"), ("q", "r")]
    assert [part.position for part in parts] == [0, 1, 101, 103, size + 3]
    longer = alignment("x" * 500 + "abc", "y" * 400 + "abc")
    assert longer == (Segment("y" * 400, "x" * 500, 0), Segment("abc", "abc", 400))
    shorter = alignment("x" * 400 + "abc", "y" * 500 + "abc")
    assert shorter == (Segment("y" * 500, "x" * 400, 0), Segment("abc", "abc", 500))
