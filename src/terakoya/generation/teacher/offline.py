"""Free offline teachers: a lexicon that maps words to emoji, and pattern rules.

They implement the protocol of the paid teacher and pass the same checks. A request always gets the same response.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random

import regex

from terakoya.codec.text import all_emoji, emoji_name
from terakoya.errors import ConfigError
from terakoya.generation.recipe import Recipe, RecipeStep
from terakoya.generation.sentences import hand_written, lexicon, phrases
from terakoya.generation.teacher.protocol import RawResponse, TeacherRequest, free_response
from terakoya.i18n import _

_SECONDS = 1.0  # for one rule on one text; a pattern that runs longer is reported by name
_KANJI, _KATAKANA, _HIRAGANA = (regex.compile(rf"\p{{{name}}}") for name in ("Han", "Katakana", "Hiragana"))
_HEADS = ("", "", "", "", "聞いて、", "ちょっとした話。", "今日のメモ。", "へえ〜！", "知ってた？", "ひとりごと。")
_TAILS = ("！", "〜", "…", "。", "！！", "笑", "。うん。", "、って話。", "。すごくない？", "。メモメモ。")


class RuleTeacher:
    """Applies the (pattern, replacement) rules of a recipe's steps.

    In a step that produces labels every matching pattern adds its label; in others each match is replaced.

    recipe  every step needs rules, else ConfigError is raised
    """

    name, paid = "rules", False

    def __init__(self, recipe: Recipe) -> None:
        self._steps = {step.name: step for step in recipe.steps}
        missing = [step.name for step in recipe.steps if not step.rules]
        if missing:
            step = missing[0]
            raise ConfigError(
                _(
                    "the teacher 'rules' has no rules for the step '{step}' of the recipe '{name}'",
                    step=step,
                    name=recipe.name,
                ),
                do=_('Give the step a file: rules = "rewrite.tsv", with pattern and replacement separated by a tab.'),
            )

    async def send(self, request: TeacherRequest) -> RawResponse:
        """The rules of the step, applied to the text of `request`."""
        step = self._steps[request.step]
        return free_response(
            _matched_labels(step, request.text) if "labels" in step.checks else _replaced(step, request.text)
        )

    async def close(self) -> None:
        """Nothing to release."""


class LexiconTeacher:
    """Rewrites a sentence as a short post and labels it with emoji: those of its longest cue words, then habits.

    A habit is an overused emoji, as ✨ is with large models. Without habits a text without cue words gets no emoji and
    is rejected.

    recipe   steps, habits, counts and vocabulary
    banned   emoji never used
    allowed  the closed label set; empty: any, or the recipe's vocabulary
    """

    name, paid = "lexicon", False

    def __init__(self, recipe: Recipe, banned: Sequence[str] = (), allowed: frozenset[str] = frozenset()) -> None:
        self._recipe, self._banned, self._allowed = recipe, frozenset(banned), allowed
        if recipe.vocabulary and not allowed:
            self._allowed = frozenset(most_cued_emoji(recipe.vocabulary)) | frozenset(recipe.habits)

    async def send(self, request: TeacherRequest) -> RawResponse:
        """A response drawn with an rng that depends on `request` only."""
        rng = Random(f"{request.seed} {request.source} {request.step} {request.retry}")
        is_last = request.step == self._recipe.steps[-1].name
        return free_response(self._emoji(request.text, rng) if is_last else as_post(request.text, rng))

    async def close(self) -> None:
        """Nothing to release."""

    def _emoji(self, text: str, rng: Random) -> str:
        # In a real post an emoji beyond five is rare; how many there are is drawn as in the log.
        count = rng.choices(range(1, len(self._recipe.counts) + 1), self._recipe.counts)[0]
        habits = {label: share for label, share in self._recipe.habits.items() if self._is_allowed(label)}
        chosen = [label for label in list(habits)[:1] if rng.random() < habits[label]]
        called = [label for label in cued_emoji(text) if self._is_allowed(label) and label not in chosen]
        while len(chosen) < count and (called or len(habits) > 1):
            liked = [label for label in list(habits)[1:] if label not in chosen]
            if liked and rng.random() < (sum(habits[label] for label in liked) if called else 1 / len(chosen or "1")):
                chosen.append(rng.choices(liked, [habits[label] for label in liked])[0])
            elif called:
                chosen.append(called.pop(0))
            else:
                break
        return " ".join(dict.fromkeys(chosen))

    def _is_allowed(self, label: str) -> bool:
        return label not in self._banned and (not self._allowed or label in self._allowed)


def as_post(text: str, rng: Random) -> str:
    """The sentence `text` in the tone of a short post, drawn with `rng`."""
    body = text.rstrip()
    ends_plainly = body.endswith("。")
    tail = rng.choice(_TAILS) if ends_plainly else ""
    return f"{rng.choice(_HEADS)}{body[:-1] if ends_plainly else body}{tail}"


def cued_emoji(text: str) -> list[str]:
    """The emoji whose cue words occur in `text`, longest words first, no word inside another one."""
    taken = [False] * len(text)
    found: list[tuple[int, int, tuple[str, ...]]] = []
    for start in range(len(text)):
        for word, emoji in _cues().get(text[start], ()):
            if text.startswith(word, start) and _is_separate_word(text, start, start + len(word)):
                found.append((-len(word), start, emoji))
    called: list[str] = []
    for minus, start, emoji in sorted(found):
        if not any(taken[start : start - minus]):
            taken[start : start - minus] = [True] * -minus
            called += emoji
    return list(dict.fromkeys(called))


@cache
def most_cued_emoji(count: int) -> tuple[str, ...]:
    """The `count` emoji that the shipped sentences and phrases cue most often."""
    calls = Counter(label for sentence in hand_written() for label in cued_emoji(sentence.text))
    calls.update(label for form, labels in phrases().cues() for label in labels[:1])
    return tuple(label for label, _ in calls.most_common(count))


@cache
def _cues() -> Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """First character → (word, emoji): the lexicon, the emoji of the phrases, and the Japanese names of all emoji."""
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


def _is_separate_word(text: str, start: int, end: int) -> bool:
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


def _matched_labels(step: RecipeStep, text: str) -> str:
    hits = [(match.start(), label) for pattern, label in step.rules if (match := _search(pattern, text))]
    return " ".join(dict.fromkeys(label for _, label in sorted(hits)[: step.most]))


def _replaced(step: RecipeStep, text: str) -> str:
    for pattern, replacement in step.rules:
        try:
            text = regex.sub(pattern, replacement, text, timeout=_SECONDS)
        except (regex.error, TimeoutError) as error:
            raise _unusable(pattern, error) from error
    return text


def _search(pattern: str, text: str):  # type: ignore[no-untyped-def]
    try:
        return regex.search(pattern, text, timeout=_SECONDS)
    except (regex.error, TimeoutError) as error:
        raise _unusable(pattern, error) from error


def _unusable(pattern: str, error: Exception) -> ConfigError:
    return ConfigError(
        _("the rule '{pattern}' cannot be used: {error}", pattern=pattern, error=error),
        do=_("Correct the pattern in the recipe's rules."),
    )
