"""The shipped corpus: hand-written sentences, and any number of sentences composed from phrases by a grammar.

The material is package data (tasks/corpus/). Every sentence records its origin, "hand s0001" or "phrases e017", so that
written and composed ones can be distinguished later.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from terakoya.records import fingerprint


@dataclass(frozen=True, slots=True)
class Sentence:
    """A source sentence.

    text    the sentence
    origin  where it came from
    topic   its subject, as the corpus names it
    style   "diary" or "sns"
    emoji   emoji that the authors of its phrases assigned, best first (() for hand-written ones)
    group   what must stay in one split: all sentences about one event share it
    """

    text: str
    origin: str
    topic: str = ""
    style: str = ""
    emoji: tuple[str, ...] = ()
    group: str = ""


@cache
def hand_written() -> tuple[Sentence, ...]:
    """The 714 hand-written sentences, in their order."""
    rows = _table("sentences.tsv")
    return tuple(
        Sentence(row["sentence"], f"hand {row['id']}", row["topic"], row["style"], (), fingerprint(row["sentence"]))
        for row in rows
    )


@cache
def lexicon() -> Mapping[str, tuple[str, ...]]:
    """Emoji → Japanese words that cue it."""
    return {row["emoji"]: tuple(row["words"].split(" ")) for row in _table("lexicon.tsv")}


@cache
def categories() -> Mapping[str, str]:
    """Emoji → its one category."""
    return {row["emoji"]: row["category"] for row in _table("lexicon.tsv")}


@cache
def phrases() -> Phrases:
    """The grammar of phrases.toml."""
    return Phrases(tomllib.loads(_corpus("phrases.toml")))


class Phrases:
    """Sentence fragments and the grammar that composes them (described at the head of phrases.toml).

    table  the parsed phrases.toml
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table
        self.events: tuple[Mapping[str, Any], ...] = tuple(table["event"])
        self.event_ids = {id(event): f"e{number:03d}" for number, event in enumerate(self.events, 1)}

    def sentences(self, rng: Random) -> Iterator[Sentence]:
        """An endless stream of distinct sentences drawn with `rng`; each event occurs once before any recurs."""
        seen: set[str] = set()
        while True:
            for event in rng.sample(self.events, len(self.events)):
                sentence = self.sentence_about(event, rng)
                if sentence.text not in seen:
                    seen.add(sentence.text)
                    yield sentence

    def sentence_about(self, event: Mapping[str, Any], rng: Random) -> Sentence:
        """One sentence about `event`, drawn with `rng` among the forms that it allows."""
        forms = [self._statement, self._post]
        if event["place"]:
            forms += [self._with_feeling, self._with_cause]
        if event["plan"]:
            forms.append(self._with_plan)
        text, emoji, style = rng.choice(forms)(event, rng)
        event_id = self.event_ids[id(event)]
        return Sentence(
            text,
            f"phrases {event_id}",
            event["topic"],
            style,
            tuple(dict.fromkeys(emoji)),
            fingerprint("event", event_id),
        )

    def cues(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(text, emoji) of every form of an event or mood."""
        for event in self.events:
            for form in ("text", "te", "polite", "plain"):
                yield event[form], tuple(event["emoji"])
        for mood in self.table["mood"]:
            yield mood["text"], tuple(mood["emoji"])

    def _statement(self, event: Mapping[str, Any], rng: Random) -> tuple[str, list[str], str]:
        who, when = rng.choice(self.table["who"]), rng.choice(self.table["when"])
        return f"{when}、{who['text']}が{self._where(event, rng)}{event['text']}。", list(event["emoji"]), "diary"

    def _with_feeling(self, event: Mapping[str, Any], rng: Random) -> tuple[str, list[str], str]:
        mood = self._mood(event, rng)
        who, when = self._who(mood, rng), rng.choice(self.table["when"])
        text = f"{when}、{who}は{self._where(event, rng)}{event['te']}、{mood['text']}。"
        return text, [*event["emoji"], *mood["emoji"]], "diary"

    def _with_cause(self, event: Mapping[str, Any], rng: Random) -> tuple[str, list[str], str]:
        mood = self._mood(event, rng)
        text = f"{self._where(event, rng)}{event['text']}ので、{self._who(mood, rng)}は{mood['text']}。"
        return text, [*event["emoji"], *mood["emoji"]], "diary"

    def _with_plan(self, event: Mapping[str, Any], rng: Random) -> tuple[str, list[str], str]:
        who, ahead = rng.choice(self.table["who"]), rng.choice(self.table["ahead"])
        text = f"{ahead}、{who['text']}は{self._where(event, rng)}{event['plain']}つもりだ。"
        return text, list(event["emoji"]), "diary"

    def _post(self, event: Mapping[str, Any], rng: Random) -> tuple[str, list[str], str]:
        """A short post: opening, what happened, closing; "sns" and "diary" fragments are not mixed."""
        style = rng.choice(("sns", "diary"))
        opening = rng.choice([item for item in self.table["opening"] if item["style"] in (style, "any")])
        closing = rng.choice(
            [
                item
                for item in self.table["closing"]
                if item["style"] in (style, "any") and item["tone"] in ("0", event["tone"])
            ]
        )
        form = rng.choice(("text", "polite"))
        text = f"{opening['text']}{rng.choice(self.table['when'])}、{event[form]}。{closing['text']}"
        return text, list(event["emoji"]), style

    def _mood(self, event: Mapping[str, Any], rng: Random) -> Mapping[str, Any]:
        fitting = [mood for mood in self.table["mood"] if mood["tone"] in ("0", event["tone"])]
        return rng.choice(fitting)

    def _who(self, mood: Mapping[str, Any], rng: Random) -> str:
        people = self.table["who"]
        if mood["person"] == "first":
            people = [who for who in people if who["person"] == "first"]
        return str(rng.choice(people)["text"])

    def _where(self, event: Mapping[str, Any], rng: Random) -> str:
        fitting = [where for where in self.table["where"] if where["kind"] in event["place"]]
        return f"{rng.choice(fitting)['text']}で" if fitting else ""


def corpus_sentences(seed: int, sources: Sequence[str] = ("hand", "phrases")) -> Iterator[Sentence]:
    """The corpus in an order drawn by `seed`: every hand-written sentence once, then composed ones without end.

    sources  which parts: "hand", "phrases"
    """
    rng = Random(f"sentences {seed}")
    if "hand" in sources:
        yield from rng.sample(hand_written(), len(hand_written()))
    if "phrases" in sources:
        yield from phrases().sentences(rng)


def _table(name: str) -> list[dict[str, str]]:
    header, *lines = _corpus(name).splitlines()
    names = header.split("\t")
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines if line]


def _corpus(name: str) -> str:
    return (resources.files("terakoya") / "tasks" / "corpus" / name).read_text(encoding="utf-8")
