"""Sets of labels: emoji in one normal form, a written language without repeats."""

from __future__ import annotations

from random import Random

import emoji
import pytest

from terakoya.codec.labels import emoji_label_names, labels_codec
from terakoya.codec.text import all_emoji, emoji_name, normalise_emoji, parse_emoji, split_emoji
from terakoya.errors import DataError


def test_every_emoji_has_one_normal_form() -> None:
    """Five spellings of one heart would be five labels with a fifth of the examples each."""
    for spelling in emoji.EMOJI_DATA:
        form = normalise_emoji(spelling)
        if form is not None:
            assert normalise_emoji(form) == form
            assert normalise_emoji(form.replace("\ufe0f", "")) == form
    assert [one for one in emoji.EMOJI_DATA if normalise_emoji(one) is None and len(one) > 1] == []
    assert len(all_emoji()) == len(set(all_emoji())) > 1800


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("❤", "❤️"),
        ("👍🏽", "👍"),
        ("1⃣", "1️⃣"),
        ("🇯🇵", "🇯🇵"),
        ("™", "™️"),
        ("👩🏻‍🤝‍👩🏿", "👭"),
        ("🫱🏻‍🫲🏿", "🤝"),
        ("👩🏾‍💻", "👩‍💻"),
    ],
)
def test_variation_tone_flag_and_keycap_come_to_one_form(written: str, form: str) -> None:
    """NFKC would turn ™️ into TM; the normal form of emoji is their own."""
    assert normalise_emoji(written) == form


@pytest.mark.parametrize("text", ["", "1", "a", "あ", "🏽", "✨✨", "✨a", " ", "\x00"])
def test_what_is_not_one_emoji_has_no_form(text: str) -> None:
    """A digit is in Unicode's emoji table as half of a keycap; it is no label."""
    assert normalise_emoji(text) is None


def test_emoji_are_read_by_grapheme() -> None:
    """Teachers write emoji with and without spaces; joined ones must not fall apart."""
    assert parse_emoji("👨‍👩‍👧📚 🇯🇵") == ["👨‍👩‍👧", "📚", "🇯🇵"]
    assert parse_emoji("✨ です") is None
    assert emoji_name("🐱") == "ネコの顔"


def test_order_and_repeats_carry_no_meaning() -> None:
    """😊😊😊 is one label."""
    codec = labels_codec(["✨ 📚", "🎉 ❤"])
    assert codec.canonical("📚 ✨ 📚") == codec.canonical("✨📚")
    assert codec.write("📚 ✨ 📚") == "📚 ✨"
    assert codec.read("❤ 🎉") == codec.canonical("🎉 ❤️")


@pytest.mark.parametrize("raw", ["", "填", "✨ です", "🐶", "✨ 🐶", "1"])
def test_a_prediction_with_an_illegal_label_is_unreadable(raw: str) -> None:
    """An illegal label is another fault than a wrong one."""
    assert labels_codec(["✨ 📚"]).read(raw) is None


def test_words_and_separators_make_labels_too() -> None:
    """Anybody's labels, not emoji alone."""
    codec = labels_codec(["new york, tokyo", "tokyo"], separator=",")
    assert codec.labels == ("new_york", "tokyo")
    assert codec.canonical("tokyo ,new york") == "new_york tokyo"
    with pytest.raises(DataError):
        labels_codec(["new york, new_york"], separator=",")


@pytest.mark.parametrize("counted", [False, True])
def test_the_written_language_is_exact(counted: bool) -> None:
    """Constrained to viable prefixes and complete texts, a model can write every legal set and nothing else."""
    codec = labels_codec(["a ab", "b", "abc"], most=2, counted=counted)
    alphabet = "ab c12"
    found: set[str] = set()
    stack = [""]
    while stack:
        prefix = stack.pop()
        if codec.complete(prefix):
            found.add(prefix)
        longer = [prefix + char for char in alphabet if codec.viable(prefix + char)]
        # Viable means that some legal text has this prefix: a dead end would trap the model.
        assert longer or codec.complete(prefix), prefix
        stack += longer
    labels = ("a", "ab", "abc", "b")
    sets = [[one] for one in labels] + [[one, two] for one in labels for two in labels if one != two]
    assert found == {codec.join(members) for members in sets}
    assert all(
        codec.read(written) == " ".join(sorted(members))
        for written, members in ((codec.join(members), members) for members in sets)
    )


def test_other_orders_are_the_same_set() -> None:
    """A sequence model is trained on a canonical or a shuffled order; neither may change the target."""
    codec = labels_codec(["🎉 ✨ 📚"])
    for order in ("as-given", "canonical", "shuffled"):
        assert codec.canonical(codec.reorder("🎉 ✨ 📚", order, Random(1))) == codec.canonical("✨ 📚 🎉")
    assert len({codec.reorder("🎉 ✨ 📚", "shuffled", Random(seed)) for seed in range(20)}) == 6


def test_bad_targets_are_refused_by_name() -> None:
    """Too late is when the loss is finite and the label gone."""
    codec = labels_codec(["✨ 📚"])
    for target in ("", "  ", "🐶", "絵"):
        with pytest.raises(DataError):
            codec.write(target)
    with pytest.raises(DataError):
        labels_codec(["", " "])


def test_a_label_without_training_rows_can_still_be_scored() -> None:
    """An exam may ask for a label that training never had: the item counts, as one that cannot be right."""
    assert labels_codec(["✨ 📚"]).canonical("🐶 ✨") == "✨ 🐶"


def test_emoji_name_themselves() -> None:
    """Where labels have names, a label seen three times starts near what it means."""
    assert emoji_label_names(labels_codec(["🐱 ✨"]))["🐱"] == ("ネコの顔",)
    assert emoji_label_names(labels_codec(["cat dog"])) == {}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("♡ ♪", ["♡", "♪"]),
        ("☕本", None),
        ("ok", None),
        ("", None),
        ("🐱\u200d👤", ["🐱", "👤"]),
        ("★ ✨", ["★", "✨"]),
    ],
)
def test_symbols_are_labels_and_words_are_none(text: str, parts: list[str] | None) -> None:
    """♡ and ♪ are what people write; a word among labels is a mistake in the table."""
    found = split_emoji(text)
    assert (found is None) == (parts is None)
    assert parts is None or len(found or ()) == len(parts)


def test_a_refused_set_of_labels_says_why() -> None:
    """In these words; a long target is cut where it is shown."""
    codec = labels_codec(["a b", "c"])
    for made, what, where, do in (
        (lambda: codec.write("a x y"), "'x' is none of the 3 labels of this codec", "a x y",
         "Make the codec from all targets of the training data."),
        (lambda: codec.write("a b c"), "3 labels, and a prediction has at most 2", "a b c",
         "Leave labels out, or drop the row."),
        (lambda: codec.write("z" * 50), f"'{'z' * 50}' is none of the 3 labels of this codec", "z" * 40,
         "Make the codec from all targets of the training data."),
        (lambda: codec.parse(" "), "a set of labels is empty", "", "Remove the row or fill in its target."),
        (lambda: labels_codec([" "]), "no target holds a label", "", "Fill in the targets, or take the codec 'text'."),
        (lambda: labels_codec(["✨"]).canonical("✨ 絵"), "a label is no emoji", "✨ 絵",
         "Mend the row, or leave it out."),
    ):  # fmt: skip
        with pytest.raises(DataError) as caught:
            made()
        assert (caught.value.what, caught.value.where, caught.value.do) == (what, where, do)
    with pytest.raises(DataError, match=r"the labels 'a[ _]b' and 'a[ _]b' differ by a space only") as caught:
        labels_codec(["a b,a_b"], separator=",")
    assert caught.value.do == "Rename one of them."


def test_a_counted_set_announces_its_size() -> None:
    codec = labels_codec(["a ab b", "c"], counted=True)
    assert codec.write("b a b") == "2 b a" and codec.read("2 b a") == "a b" and codec.name == "labels+count"
    assert [codec.read(raw) for raw in ("", "1", "1 b a", "3 b a", "2 b x", "2 b b", "b a")] == [None] * 7
    assert [codec.complete(raw) for raw in ("2 b a", "1 b a", "2 b b", "0", "", "3 a ab b")] == [
        True, False, False, False, False, True,
    ]  # fmt: skip
    viable = {"": True, "3": True, "4": False, "0": False, "2 ": True, "2 a": True, "2 ab ": True, "2 ab a": True,
              "2 ab ab": False, "2 b b": False, "1 b ": False, "2 x": False, "4 a": False, "2 b a ": False}  # fmt: skip
    assert {prefix: codec.viable(prefix) for prefix in viable} == viable
    assert codec.alphabet == frozenset("abc 0123456789") and labels_codec(["a b"]).alphabet == frozenset("ab ")


def test_sets_without_a_count_end_with_their_last_label() -> None:
    codec = labels_codec(["a ab", "b"])
    viable = {"": True, "a": True, "ab": True, "ab ": True, "ab a": True, "ab b": True, "ab ab": False, "a ab ": False,
              "a  ": False, "x": False, "a x": False}  # fmt: skip
    assert {prefix: codec.viable(prefix) for prefix in viable} == viable
    assert [codec.complete(raw) for raw in ("", "a", "a ab", "a a", "a ab b", "a ")] == [
        False, True, True, False, False, False,
    ]  # fmt: skip
    single = labels_codec(["a", "a"], most=3)
    assert single.most == 1 and not single.viable("a ") and labels_codec(["a b c"], most=2).most == 2


def test_nine_targets_of_ten_decide_whether_labels_are_emoji() -> None:
    assert labels_codec([*["✨"] * 9, "word"]).emoji and not labels_codec([*["✨"] * 8, "word"]).emoji
    assert not labels_codec(["♡", "♪"]).emoji and labels_codec(["✨,📚"], separator=",").emoji
    assert labels_codec([*["✨"] * 9, "word"]).canonical("word ✨") == "word ✨"


def test_an_order_is_as_given_sorted_or_drawn() -> None:
    codec = labels_codec(["c a b"])
    assert codec.reorder("c a b", "as-given", Random(1)) == "c a b"
    assert codec.reorder("c a b", "canonical", Random(1)) == "a b c"
    assert codec.reorder("c a b", "shuffled", Random(1)) == " ".join(Random(1).sample(["c", "a", "b"], 3))
    assert codec.join(["b", "a"]) == "b a" and codec.parse("b,a;c", ",") == ["b", "a;c"]
