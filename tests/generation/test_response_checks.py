"""Junk that passed every check: what stands around, beside or inside a text is rejected and counted.

The first texts are from public reports: vllm-project/vllm#57052, smg-project/smg#2203,
huggingface/text-generation-inference#1724, QwenLM/Qwen#543, QwenLM/Qwen3.8#235; the wrappers are our own.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from faulty_server import ServerPlan, running
from test_teacher_server import make

from terakoya.errors import ProviderError
from terakoya.generation.filters import first_failure
from terakoya.generation.generate import DATA, REJECTED
from terakoya.generation.recipe import RecipeStep, find_recipe
from terakoya.generation.sentences import corpus_sentences

STEP = find_recipe("emoji-v2", Path()).steps[0]
TOKENS = [
    (family, token)
    for line in (Path(__file__).parent / "control_tokens.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for family, *tokens in [line.split("\t")]
    for token in tokens
]
POST = "今日は公園で遊んで楽しかった"


@pytest.mark.parametrize(("family", "token"), TOKENS)
def test_a_control_token_is_no_text(family: str, token: str) -> None:
    """T5: control tokens at the end of an answer passed all six checks, and became data."""
    places = [f"{token}{POST}", f"今日は公園で\n{token} 遊んだ", f"{POST}\n{token}"]
    places += [f"{POST}{token}"] if not token.startswith(("ユーザー", "システム")) else []
    for text in places:
        assert first_failure(text, STEP)[0] == "control-token", text
        assert first_failure(text, RecipeStep("any", "", ()))[0] == "control-token", text


@pytest.mark.parametrize(
    ("text", "check"),
    [
        (f"<文>{POST}</文>", "prompt-mark"), (f"＜文＞{POST}", "prompt-mark"), (f"{POST}</ 文 >", "prompt-mark"),
        ("{text}で遊んだ日だった", "prompt-mark"), ("意味は変えないでください。今日は遊んだ", "prompt-mark"),
        ("その答えは使えません(一行ではない)。", "prompt-mark"), (f"〈文〉{POST}", "prompt-mark"),
        ("今日は公園で��友だちと遊んだ", "broken-text"), (f"{POST}\x1b[0m", "broken-text"),
        (f"{POST}\u200b", "broken-text"), (f"\u202e{POST}", "broken-text"), (f"{POST}\ue000", "broken-text"),
        ("今天在公园玩得很开心", "japanese"), ("今天在公園玩得很開心", "japanese"),
        ("昨天下雨所以在家休息", "japanese"), ("昨天下雨所以在家休息ね", "japanese"),
        ("今天在公园玩得很开心ね", "japanese"),
        ("今日は公園で玩得很开心だった", "japanese"), ("오늘은 공원에서 놀았다", "japanese"),
        ("今日は 안녕 楽しかったよ", "japanese"), ("今日は们と遊んで楽しかったよ", "japanese"),
        ('{"text":"今日は公園で遊んだ"}', "no-preamble"), ("{今日は公園で遊んだ}", "no-preamble"),
        ('["今日は公園で遊んだ"]', "no-preamble"), ("text: 今日は公園で遊んだ", "no-preamble"),
        (f'"{POST}"', "no-preamble"), (f"「{POST}」", "no-preamble"), (f"『{POST}』。", "no-preamble"),
        (f"“{POST}”", "no-preamble"), (f"'{POST}'", "no-preamble"), (f"（{POST}）", "no-preamble"),
        (f"《{POST}》", "no-preamble"), (f"[{POST}]", "no-preamble"), (f"`{POST}`", "no-preamble"),
        ("書き換え文: 今日は公園で遊んだ", "no-preamble"), ("SNS投稿例１：今日は公園で遊んだ", "no-preamble"),
        ("Rewritten post: 今日は公園で遊んだ", "no-preamble"), ("【投稿】今日は公園で遊んだ", "no-preamble"),
        ("［出力］今日は公園で遊んだ", "no-preamble"), ("**投稿**：今日は公園で遊んだ", "no-preamble"),
        ("今日は公園で遊んで楽しかった（50文字）", "no-preamble"), (f"{POST}（約三十字）", "no-preamble"),
        (f"{POST} (14 characters)", "no-preamble"), (f"{POST} 文字数：14", "no-preamble"),
        ("<b>今日は公園で遊んだ</b>", "no-preamble"), (f"<p class='x'>{POST}</p>", "no-preamble"),
        (f"{POST}<br/>", "no-preamble"), (f"{POST}&amp;最高", "no-preamble"), (f"{POST}&#9829;", "no-preamble"),
        (f"[{POST}](https://example.org)", "no-preamble"), (f"__{POST}__", "no-preamble"),
        (f"{POST}:smile:", "no-preamble"),
        ("今日は公園で遊んで楽しかった #公園", "no-preamble"), (f"{POST}＃公園", "no-preamble"),
        (f"#公園 {POST}", "no-preamble"), (f"1. {POST}", "no-preamble"), (f"・{POST}", "no-preamble"),
        (f"{POST}。以上です。", "no-preamble"), (f"{POST}（※意味は同じです）", "no-preamble"),
        (f"{POST}\\n", "no-preamble"),
    ],
)  # fmt: skip
def test_what_is_not_the_text_itself_is_named(text: str, check: str) -> None:
    """Our own marks, broken characters, another language, and everything that is wrapped around a text."""
    assert first_failure(text, STEP)[0] == check


@pytest.mark.parametrize(
    "text",
    [
        "「はい」と「いいえ」しか言わない日だった", "「今日は」と言った", "C#を習ったら楽しかった",
        "やったー楽しかった~~",
        "10:30に起きて散歩した", "今日の天気：晴れで最高", "髙島屋で買い物をした", "今日、彼は𠮷野家に行った",
        "鯛を𠮟る夢を見た",
        "感想文400字を書いたよ", "（笑）って書いたら（笑）って返ってきた", "AとBなら、A<Bだと思う",
        "Σ(ﾟДﾟ)ってなった一日",
    ],
)  # fmt: skip
def test_posts_with_such_signs_inside_pass(text: str) -> None:
    """Else the tests above could pass by refusing everything."""
    assert first_failure(text, STEP) == ("", "")


def test_five_thousand_sentences_of_ours_pass() -> None:
    """A check that rejects what people write costs more than it saves."""
    refused = [
        (sentence.text, why)
        for sentence in islice(corpus_sentences(0), 5000)
        if (why := first_failure(sentence.text, STEP))[0]
    ]
    assert not refused


def test_junk_is_rejected_and_counted(tmp_path: Path) -> None:
    """And the message that ends the generation shows what it looked like."""

    def script(number: int, request: dict[str, Any]) -> str:
        return f"response:{POST}<|im_end|>" if "書き換え" in request["messages"][0]["content"] else ""

    with running(ServerPlan(script=script)) as server, pytest.raises(ProviderError) as refusal:
        make(server, tmp_path, samples=60)
    assert "control-token 40" in str(refusal.value)
    assert f"'{POST}<|im_end|>'" in str(refusal.value)
    rows = [json.loads(line) for line in (tmp_path / "work" / REJECTED).read_text().splitlines()]
    assert {row["check"] for row in rows} == {"control-token"}
    assert not (tmp_path / "work" / DATA).read_text()
