"""Teachers that need no network and no money: a lexicon that knows which words call for which emoji, and plain rules.

They have the same face as the paid one and pass the same checks. The same request always gets the same answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random

import regex

from terakoya.errors import ConfigError
from terakoya.generation.recipe import Recipe, RecipeStep
from terakoya.generation.sentences import hand_written, lexicon, phrases
from terakoya.generation.teacher.protocol import Ask, Reply, reply_with
from terakoya.i18n import both
from terakoya.text import all_emoji, emoji_name

_SECONDS = 1.0  # for one rule on one text; a pattern that runs longer names itself
_KANJI, _KATAKANA, _HIRAGANA = (regex.compile(rf"\p{{{name}}}") for name in ("Han", "Katakana", "Hiragana"))
_HEADS = ("", "", "", "", "聞いて、", "ちょっとした話。", "今日のメモ。", "へえ〜！", "知ってた？", "ひとりごと。")
_TAILS = ("！", "〜", "…", "。", "！！", "笑", "。うん。", "、って話。", "。すごくない？", "。メモメモ。")


class RuleTeacher:
    """Answers by the (pattern, answer) rows of a recipe's steps.

    In a step that makes labels every pattern that is found adds its answer; in others each pattern is replaced.
    """

    name, paid = "rules", False

    def __init__(self, recipe: Recipe) -> None:
        self._steps = {step.name: step for step in recipe.steps}
        missing = [step.name for step in recipe.steps if not step.rules]
        if missing:
            raise ConfigError(
                both(
                    f"the teacher 'rules' has no rules for the step '{missing[0]}' of the recipe '{recipe.name}'",
                    f"教師モデル 'rules' に、レシピ '{recipe.name}' のステップ '{missing[0]}' の規則がない",
                ),
                do=both(
                    'Give the step a file: rules = "rewrite.tsv", with pattern and answer parted by a tab.',
                    'ステップにファイルを与えること：rules = "rewrite.tsv"（型と答えをタブで区切る）。',
                ),
            )

    async def send(self, ask: Ask) -> Reply:
        step = self._steps[ask.step]
        return reply_with(_found(step, ask.text) if "labels" in step.checks else _replaced(step, ask.text))

    async def close(self) -> None:
        pass


class LexiconTeacher:
    """Rewrites a sentence as a short post and puts emoji to it: the longest cue words that it finds, then its habits.

    A habit is an emoji that it likes too well, as a large model likes ✨. Without habits, a text in which no cue word
    stands gets no emoji at all, and is set aside.
    """

    name, paid = "lexicon", False

    def __init__(self, recipe: Recipe, banned: Sequence[str] = (), allowed: frozenset[str] = frozenset()) -> None:
        self._recipe, self._banned, self._allowed = recipe, frozenset(banned), allowed
        if recipe.vocabulary and not allowed:
            self._allowed = frozenset(best_known(recipe.vocabulary)) | frozenset(recipe.habits)

    async def send(self, ask: Ask) -> Reply:
        random = Random(f"{ask.seed} {ask.source} {ask.step} {ask.again}")
        is_last = ask.step == self._recipe.steps[-1].name
        return reply_with(self._emoji(ask.text, random) if is_last else as_post(ask.text, random))

    async def close(self) -> None:
        pass

    def _emoji(self, text: str, random: Random) -> str:
        # In a real post an emoji beyond five is rare; how many there are is drawn as in the log.
        count = random.choices(range(1, len(self._recipe.counts) + 1), self._recipe.counts)[0]
        habits = {label: share for label, share in self._recipe.habits.items() if self._takes(label)}
        chosen = [label for label in list(habits)[:1] if random.random() < habits[label]]
        called = [label for label in called_for(text) if self._takes(label) and label not in chosen]
        while len(chosen) < count and (called or len(habits) > 1):
            liked = [label for label in list(habits)[1:] if label not in chosen]
            if liked and random.random() < (
                sum(habits[label] for label in liked) if called else 1 / len(chosen or "1")
            ):
                chosen.append(random.choices(liked, [habits[label] for label in liked])[0])
            elif called:
                chosen.append(called.pop(0))
            else:
                break
        return " ".join(dict.fromkeys(chosen))

    def _takes(self, label: str) -> bool:
        return label not in self._banned and (not self._allowed or label in self._allowed)


def as_post(text: str, random: Random) -> str:
    """A plain sentence in the tone of a short post."""
    body = text.rstrip()
    ends_plainly = body.endswith("。")
    tail = random.choice(_TAILS) if ends_plainly else ""
    return f"{random.choice(_HEADS)}{body[:-1] if ends_plainly else body}{tail}"


def called_for(text: str) -> list[str]:
    """The emoji whose cue words stand in the text, longest words first, no word inside another one."""
    taken = [False] * len(text)
    found: list[tuple[int, int, tuple[str, ...]]] = []
    for start in range(len(text)):
        for word, emoji in _cues().get(text[start], ()):
            if text.startswith(word, start) and _stands_free(text, start, start + len(word)):
                found.append((-len(word), start, emoji))
    called: list[str] = []
    for minus, start, emoji in sorted(found):
        if not any(taken[start : start - minus]):
            taken[start : start - minus] = [True] * -minus
            called += emoji
    return list(dict.fromkeys(called))


@cache
def best_known(count: int) -> tuple[str, ...]:
    """The emoji that our own sentences and phrases call for most often."""
    calls = Counter(label for sentence in hand_written() for label in called_for(sentence.text))
    calls.update(label for form, labels in phrases().cues() for label in labels[:1])
    return tuple(label for label, _ in calls.most_common(count))


@cache
def _cues() -> Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """First character → (word, emoji): our lexicon, the emoji of our phrases, and the Japanese names of all emoji."""
    words: dict[str, list[str]] = defaultdict(list)
    for form, labels in phrases().cues():
        words[form] += labels
    for label, own in lexicon().items():
        for word in own:
            words[word].append(label)
            if len(word) > 2 and _KANJI.search(word[0]) and word[-1] in "いうくすつぬむぐぶる":
                words[word[:-1]].append(label)  # 微笑む also as 微笑んだ
    for label in all_emoji():
        name = emoji_name(label).replace(" ", "")
        if len(name) > 1 and label not in words[name]:
            words[name].append(label)
    tree: dict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for word, called in words.items():
        if word and called:
            tree[word[0]].append((word, tuple(dict.fromkeys(called))))
    return {first: tuple(sorted(items, key=lambda item: -len(item[0]))) for first, items in tree.items()}


def _stands_free(text: str, start: int, end: int) -> bool:
    """Whether a short word is a word here and not a piece of another: 月 not in 先月, たこ not in したこと."""
    word = text[start:end]
    if len(word) > 3:
        return True
    before, after = text[start - 1 : start], text[end : end + 1]
    for script, longest in ((_KANJI, 1), (_KATAKANA, 3), (_HIRAGANA, 3)):
        if len(word) <= longest and all(script.match(char) or char == "ー" for char in word):
            touches = any(char and (script.match(char) or char == "ー") for char in (before, after))
            # A particle follows a kana noun all the time (たこが): for hiragana only what stands before tells.
            return not (bool(before and script.match(before)) if script is _HIRAGANA else touches)
    return True


def _found(step: RecipeStep, text: str) -> str:
    hits = [(match.start(), answer) for pattern, answer in step.rules if (match := _search(pattern, text))]
    return " ".join(dict.fromkeys(answer for _, answer in sorted(hits)[: step.most]))


def _replaced(step: RecipeStep, text: str) -> str:
    for pattern, answer in step.rules:
        try:
            text = regex.sub(pattern, answer, text, timeout=_SECONDS)
        except (regex.error, TimeoutError) as error:
            raise _bad(pattern, error) from error
    return text


def _search(pattern: str, text: str):  # type: ignore[no-untyped-def]
    try:
        return regex.search(pattern, text, timeout=_SECONDS)
    except (regex.error, TimeoutError) as error:
        raise _bad(pattern, error) from error


def _bad(pattern: str, error: Exception) -> ConfigError:
    return ConfigError(
        both(f"the rule '{pattern}' cannot be used: {error}", f"規則 '{pattern}' は使えない：{error}"),
        do=both("Mend the pattern in the recipe's rules.", "レシピの規則の表現を直すこと。"),
    )
