"""Near copies of large tables: what MinHash misses is no more than it says, and a sample keeps copies together."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from terakoya.codec.text import fold_source
from terakoya.data.audit import thresholds as line
from terakoya.data.audit.minhash import candidate_pairs, hash_texts, probability_found, sampling_keys
from terakoya.data.audit.near_duplicates import NearDuplicates, likely_near_pairs, near_pairs
from terakoya.data.audit.near_sample import ComparedText, NearSample, grams
from terakoya.data.audit.single_pass import AuditRow, source_key
from terakoya.records import Example

KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"


def sentence(rng: random.Random) -> str:
    return "".join(rng.choices(KANA, k=rng.randint(16, 48)))


def copy_of(text: str, rng: random.Random) -> str:
    """One to three characters changed: similarities from .4 to .95."""
    chars = list(text)
    for _ in range(rng.choice([1, 1, 2, 3])):
        chars[rng.randrange(len(chars))] = rng.choice(KANA)
    return "".join(chars)


def planted(rng: random.Random, count: int) -> list[str]:
    """Texts of which a third have a near copy, and some an equal one."""
    texts = []
    for _ in range(count):
        text = sentence(rng)
        texts.append(text)
        if rng.random() < 0.3:
            texts.append(copy_of(text, rng))
        if rng.random() < 0.05:
            texts.append(text)
    rng.shuffle(texts)
    return texts


def similarity(one: str, two: str) -> float:
    first, second = grams(one), grams(two)
    return len(first & second) / len(first | second)


def test_no_more_pairs_are_missed_than_stated() -> None:
    """Over 4,000 pairs: at each similarity the share that is found is the stated chance, to within its noise."""
    rng = random.Random(0)
    pairs = [(text, copy_of(text, rng)) for text in (sentence(rng) for _ in range(4000))]
    pairs = [(one, two) for one, two in pairs if one != two]
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    place = {text: at for at, text in enumerate(texts)}
    found = set(candidate_pairs(texts))
    keys = sampling_keys(hash_texts(texts))
    for low in (0.7, 0.75, 0.8, 0.85, 0.9):
        some = [pair for pair in pairs if low <= similarity(*pair) < low + 0.05]
        assert len(some) > 100
        hits = np.mean([tuple(sorted((place[one], place[two]))) in found for one, two in some])
        stated = np.mean([probability_found(similarity(*pair)) for pair in some])
        assert hits >= stated - 3 * np.sqrt(max(stated * (1 - stated), 0.001) / len(some))
        together = np.mean([keys[place[one]] == keys[place[two]] for one, two in some])
        expected = np.mean([similarity(*pair) ** 2 for pair in some])
        assert abs(together - expected) < 4 * np.sqrt(expected * (1 - expected) / len(some))


def test_what_is_found_is_what_the_exact_search_finds() -> None:
    """Random tables with planted near copies: nothing that is none, and at least the stated share of the rest."""
    exact_count = found_count = 0
    for seed in range(6):
        texts = [fold_source(text) for text in planted(random.Random(seed), 400)]
        exact = {later for _, later in near_pairs(texts)}
        found = list(likely_near_pairs(texts, frozenset()))
        assert all(similarity(texts[one], texts[two]) >= line.NEAR and one < two for one, two in found)
        assert {later for _, later in found} <= exact
        exact_count, found_count = exact_count + len(exact), found_count + len(found)
    assert exact_count > 200 and found_count >= probability_found(line.NEAR) * exact_count


def test_a_template_and_other_numbers_make_no_near_copies() -> None:
    """An instruction before every source is left out, as in the exact search; 百一 and 百二 are two sources."""
    rng = random.Random(3)
    texts = [fold_source(f"次の文章を読んで絵文字を選んでください{sentence(rng)}") for _ in range(300)]
    counted = [fold_source(f"今日の気温は昨日よりも高くて{n}度だったそうです") for n in range(100)]
    common = frozenset(gram for gram in grams(texts[0]) if sum(gram in text for text in texts) > 30)
    assert not list(likely_near_pairs([*texts, *counted], common))
    assert len(set(candidate_pairs(texts))) > len(set(candidate_pairs(texts, hash_values(common))))


def hash_values(template: frozenset[str]) -> np.ndarray:
    return np.unique(hash_texts(sorted(template)).values)


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(line, "NEAR_KEPT", 400)
    monkeypatch.setattr(line, "NEAR_ROWS", 200)
    monkeypatch.setattr(line, "TEMPLATE_TEXTS", 300)
    monkeypatch.setattr(line, "NEAR_STEP", 197)
    yield


def rows_of(texts: list[str]) -> list[AuditRow]:
    return [
        AuditRow(Example(text, "x", row=at, origin="made"), "train", at, text, source_key(text), "x")
        for at, text in enumerate(texts, 2)
    ]


@pytest.mark.usefixtures("small_sample")
def test_a_sample_says_how_much_it_is_and_keeps_the_share_of_copies() -> None:
    """2,000 rows and room for 400: the share of copies is that of the table, not its square."""
    copies = sampled = 0.0
    for seed in range(4):
        texts = [fold_source(text) for text in planted(random.Random(seed), 1500)]
        check = NearDuplicates()
        for row in rows_of(texts):
            check.add(row)
        (found,) = check.findings()
        rate = found.values["sampled 1 in"]
        assert rate >= 4 and len(check.texts.forms) <= 400 and f"sample of 1 in {rate:g} sources" in found.what
        copies += len(list(near_pairs(texts))) / len(texts)
        sampled += found.values["share"]
    assert 0.45 * copies < sampled < 1.1 * copies
    assert found.values["found at 0.9"] == probability_found(0.9, sampled=True) == pytest.approx(0.81, abs=0.001)


@pytest.mark.usefixtures("small_sample")
def test_a_template_in_every_source_does_not_empty_the_sample() -> None:
    """Its trigrams are the least of most texts: by them all rows would be kept or dropped together."""
    rng = random.Random(8)
    sample = NearSample()
    for at in range(2500):
        text = fold_source(f"あなたは親切な助手です。次の文に合う絵文字をひとつだけ答えてください。{sentence(rng)}")
        sample.add(source_key(text), ComparedText(text, 2, "made", at))
    assert 100 < len(sample.kept()) <= 400


@pytest.mark.usefixtures("small_sample")
def test_a_table_that_is_compared_whole_says_how_surely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the bounds nothing is sampled, and the finding states the chance; below, nothing is left to chance."""
    monkeypatch.setattr(line, "NEAR_KEPT", 10_000)
    rows = rows_of([fold_source(text) for text in planted(random.Random(6), 300)])
    said = []
    for most in (200, 10_000):
        monkeypatch.setattr(line, "NEAR_ROWS", most)
        check = NearDuplicates()
        for row in rows:
            check.add(replace(row))
        (found,) = check.findings()
        said.append(found.what)
    assert "compared by MinHash: copies of similarity 0.8 are found with probability 98.1%" in said[0]
    assert "MinHash" not in said[1]
