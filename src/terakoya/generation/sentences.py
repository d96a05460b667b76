"""Sentences of our own, to any number: the hand-written corpus, and phrases joined by the rules they were written with.

The material ships as data of the package (tasks/corpus/). Every sentence says where it came from, so that written and
joined ones can be told apart later: origin "hand s0001" or "phrases e017".
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

    emoji  what the writers of its phrases would put there, best first (() for the hand-written ones)
    group  what must stay on one side of a split: all sentences about one event share it
    """

    text: str
    origin: str
    topic: str = ""
    style: str = ""
    emoji: tuple[str, ...] = ()
    group: str = ""


@cache
def hand_written() -> tuple[Sentence, ...]:
    """The 714 sentences that were written one by one, in their order."""
    rows = _table("sentences.tsv")
    return tuple(
        Sentence(row["sentence"], f"hand {row['id']}", row["topic"], row["style"], (), fingerprint(row["sentence"]))
        for row in rows
    )


@cache
def lexicon() -> Mapping[str, tuple[str, ...]]:
    """Emoji → Japanese words that call for it."""
    return {row["emoji"]: tuple(row["words"].split(" ")) for row in _table("lexicon.tsv")}


@cache
def categories() -> Mapping[str, str]:
    """Emoji → its one category."""
    return {row["emoji"]: row["category"] for row in _table("lexicon.tsv")}


@cache
def phrases() -> Phrases:
    return Phrases(tomllib.loads(_corpus("phrases.toml")))


class Phrases:
    """Fragments, and the rules by which they join (they stand at the head of phrases.toml)."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table
        self.events: tuple[Mapping[str, Any], ...] = tuple(table["event"])
        self.marks = {id(event): f"e{number:03d}" for number, event in enumerate(self.events, 1)}

    def sentences(self, random: Random) -> Iterator[Sentence]:
        """Sentences without end and without a repeated text; every event comes once before one comes again."""
        seen: set[str] = set()
        while True:
            for event in random.sample(self.events, len(self.events)):
                sentence = self.about(event, random)
                if sentence.text not in seen:
                    seen.add(sentence.text)
                    yield sentence

    def about(self, event: Mapping[str, Any], random: Random) -> Sentence:
        """One sentence about an event, in one of the forms that it allows."""
        forms = [self._told, self._posted]
        if event["place"]:
            forms += [self._felt, self._caused]
        if event["plan"]:
            forms.append(self._planned)
        text, emoji, style = random.choice(forms)(event, random)
        mark = self.marks[id(event)]
        return Sentence(
            text, f"phrases {mark}", event["topic"], style, tuple(dict.fromkeys(emoji)), fingerprint("event", mark)
        )

    def cues(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every written form of an event or mood, with its emoji."""
        for event in self.events:
            for form in ("text", "te", "polite", "plain"):
                yield event[form], tuple(event["emoji"])
        for mood in self.table["mood"]:
            yield mood["text"], tuple(mood["emoji"])

    def _told(self, event: Mapping[str, Any], random: Random) -> tuple[str, list[str], str]:
        who, when = random.choice(self.table["who"]), random.choice(self.table["when"])
        return f"{when}、{who['text']}が{self._where(event, random)}{event['text']}。", list(event["emoji"]), "diary"

    def _felt(self, event: Mapping[str, Any], random: Random) -> tuple[str, list[str], str]:
        mood = self._mood(event, random)
        who, when = self._who(mood, random), random.choice(self.table["when"])
        text = f"{when}、{who}は{self._where(event, random)}{event['te']}、{mood['text']}。"
        return text, [*event["emoji"], *mood["emoji"]], "diary"

    def _caused(self, event: Mapping[str, Any], random: Random) -> tuple[str, list[str], str]:
        mood = self._mood(event, random)
        text = f"{self._where(event, random)}{event['text']}ので、{self._who(mood, random)}は{mood['text']}。"
        return text, [*event["emoji"], *mood["emoji"]], "diary"

    def _planned(self, event: Mapping[str, Any], random: Random) -> tuple[str, list[str], str]:
        who, ahead = random.choice(self.table["who"]), random.choice(self.table["ahead"])
        text = f"{ahead}、{who['text']}は{self._where(event, random)}{event['plain']}つもりだ。"
        return text, list(event["emoji"]), "diary"

    def _posted(self, event: Mapping[str, Any], random: Random) -> tuple[str, list[str], str]:
        """A short post: opening, what happened, closing; "sns" and "diary" fragments are not mixed."""
        style = random.choice(("sns", "diary"))
        opening = random.choice([item for item in self.table["opening"] if item["style"] in (style, "any")])
        closing = random.choice(
            [
                item
                for item in self.table["closing"]
                if item["style"] in (style, "any") and item["tone"] in ("0", event["tone"])
            ]
        )
        form = random.choice(("text", "polite"))
        text = f"{opening['text']}{random.choice(self.table['when'])}、{event[form]}。{closing['text']}"
        return text, list(event["emoji"]), style

    def _mood(self, event: Mapping[str, Any], random: Random) -> Mapping[str, Any]:
        fitting = [mood for mood in self.table["mood"] if mood["tone"] in ("0", event["tone"])]
        return random.choice(fitting)

    def _who(self, mood: Mapping[str, Any], random: Random) -> str:
        people = self.table["who"]
        if mood["person"] == "first":
            people = [who for who in people if who["person"] == "first"]
        return str(random.choice(people)["text"])

    def _where(self, event: Mapping[str, Any], random: Random) -> str:
        fitting = [where for where in self.table["where"] if where["kind"] in event["place"]]
        return f"{random.choice(fitting)['text']}で" if fitting else ""


def mixed(seed: int, sources: Sequence[str] = ("hand", "phrases")) -> Iterator[Sentence]:
    """Our corpus in an order drawn by `seed`: every written sentence once, then joined ones without end."""
    random = Random(f"sentences {seed}")
    if "hand" in sources:
        yield from random.sample(hand_written(), len(hand_written()))
    if "phrases" in sources:
        yield from phrases().sentences(random)


def _table(name: str) -> list[dict[str, str]]:
    header, *lines = _corpus(name).splitlines()
    names = header.split("\t")
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines if line]


def _corpus(name: str) -> str:
    return (resources.files("terakoya") / "tasks" / "corpus" / name).read_text(encoding="utf-8")
