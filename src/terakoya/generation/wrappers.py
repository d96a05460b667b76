"""What models put around a text instead of giving it alone: labels, counts, quotation marks, markup, hash tags."""

from __future__ import annotations

import regex

_PREAMBLE = regex.compile(
    r"^(はい[、。!！]|承知|了解|かしこまり|もちろん|以下|こちらが|変換後|書き換え(後|た文)|投稿文?[:：]|SNS風?[:：]|出力[:：]"
    r"|回答[:：]|答え[:：]|(?i:sure|here(\s+is|'s)|output|answer))|```|^\s*[#*\-]\s|\*\*"
)
_POSTSCRIPT = regex.compile(
    r"[。！？!?\s　](?:以上(?:です|になります)|いかがでしょうか|ご確認ください|お役に立て.{0,8}"
    r"|必要(?:であれば|に応じて).{0,20}|他の(?:案|表現).{0,20})[。.!！？?]*\s*$|[(（]\s*(?:※|注[:：]|補足|(?i:note\b))"
)
# What a label in front of the text consists of: "書き換え文:", "SNS投稿例２：", "Rewritten post:".
_LABEL_WORD = (
    r"(?:書き?換え|書き?直し|リライト|言い換え|変換|修正|改善|完成|最終|生成|投稿|SNS|Twitter|X|ツイート|ポスト|つぶやき"
    r"|回答|解答|答え|返答|応答|返信|出力|結果|文章?|本文|例文?|短文|一文|テキスト|日本語|翻訳|訳文?|要約|タイトル|題名?"
    r"|見出し|件名|キャプション|案|候補|風"
    r"|text|output|answer|result|post|posting|tweet|sns|rewrit(?:e|ten)|rephrased|response|reply|caption|title|final"
    r"|version|japanese|sentence|translation|summary|content|message|assistant|note|short)"
)
_LABEL = regex.compile(
    rf"^\s*[\p{{Ps}}\p{{Pi}}<＜*_\"'「『]*{_LABEL_WORD}(?:{_LABEL_WORD}|[\s_の後前版用的]|た|し|です|は|その)*\s*\d*"
    r"[\p{Pe}\p{Pf}>＞*_\"'」』]*\s*(?:[:：=＝]|→|⇒|->|\n)",
    regex.IGNORECASE,
)
_HEADED = regex.compile(r"^\s*[【［\[〔〖][^】］\]〕〗]{1,20}[】］\]〕〗]")
_COUNT = regex.compile(
    r"[(（\[［【〔]\s*(?:約|計|全|合計|文字数|字数)?\s*[:：]?\s*[\d一二三四五六七八九十百]+\s*"
    r"(?:文字|字|characters?|chars?|words?|tokens?|トークン|語)[^)）\]］】〕]{0,8}[)）\]］】〕]"
    r"|(?:文字数|字数|character count|length)\s*[:：=＝]\s*\d+"
    r"|[。！？!?」\s]\d+\s*(?:文字|字)[。.]?\s*$",
    regex.IGNORECASE,
)
_MARKUP = regex.compile(
    r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>|<!--|&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,6});"
    r"|!?\[[^\]]*\]\([^)]*\)|__[^_]+__|~~[^~]+~~|`[^`]+`|(?<![A-Za-z0-9]):[a-z][a-z0-9_+-]{2,24}:(?![A-Za-z0-9])|\\[A-Za-z]+\{|\\[nrtu\"]"
    r"|^\s*>\s|^\s*\d{1,2}[.)．）]\s|^\s*[①-⑳]|^\s*[・•◦‣–—]"
)
_JSON = regex.compile(r"^\s*[{\[]\s*[\"'{\[]|[\"']\s*:\s*[\"'\[{\d]|^\s*\{.*\}\s*$|^\s*\w+\s*=\s*[\"']", regex.DOTALL)
_HASH_TAG = regex.compile(r"(?<![A-Za-z0-9&])[#＃♯][\p{L}\p{N}_]*\p{L}")  # C# and F# are none
_MARKS = (_PREAMBLE, _POSTSCRIPT, _LABEL, _HEADED, _COUNT, _MARKUP, _JSON, _HASH_TAG)
_OPEN = "「『（(【［〈《{｛[<＜〔〖⟨“‘„«〝\"'＂＇`*|"
_CLOSE = "」』）)】］〉》}｝]>＞〕〗⟩”’“»〟\"'＂＇`*|"
_CLOSING = dict(zip(_OPEN, _CLOSE, strict=True))


def has_wrapping(text: str) -> bool:
    """Whether `text` has anything around or beside the text itself: it is one line, and the line is the text."""
    return any(mark.search(text) for mark in _MARKS) or is_enclosed(text)


def is_enclosed(text: str) -> bool:
    """Whether one pair of quotation marks or brackets stands around the whole of `text`."""
    body = text.strip().rstrip("。.!！")
    close = _CLOSING.get(body[:1])
    if close is None or len(body) < 2 or body[-1] != close:
        return False
    if close == body[0]:
        return body.count(close) == 2
    depth = 0
    for place, char in enumerate(body):
        depth += (char == body[0]) - (char == close)
        if depth == 0:
            return place == len(body) - 1
    return False
