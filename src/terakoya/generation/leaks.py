"""What leaks from a model, its chat template or our prompt into a response, and never belongs to one.

These checks are made for every step, whatever its recipe names. tests/generation/control_tokens.tsv lists the control
tokens of known models.
"""

from __future__ import annotations

import re

import regex

from terakoya.generation.recipe import RecipeStep

_WORD_TOKENS = (
    "s", "bos", "eos", "pad", "unk", "mask", "sep", "cls", "eod", "eop", "sop", "eom", "eot", "nl", "NL", "sos",
    "end_of_turn", "start_of_turn", "end_of_utterance", "end_of_text", "begin_of_text", "end_of_message", "end_turn",
    "beginning_of_sentence", "end_of_sentence", "image", "tool_call", "tool_calls", "tool_response",
    "tools", "function_calls", "function_call", "fim_prefix", "fim_middle", "fim_suffix", "fim_pad", "repo_name",
    "file_sep", "start_of_image", "end_of_image", "image_soft_token", "eos_token", "bos_token", "pad_token",
    "human", "bot", "gpt", "endoftext", "system_prompt", "user_prompt", "minimax:tool_call", "jupyter_text",
    "eoh", "eoa", "BOS_TOKEN", "EOS_TOKEN", "PAD_TOKEN", "UNK_TOKEN", "fake_token_around_image", "global-img",
    r"[a-z]{2,8}:[a-z]{1,4}os",
)  # fmt: skip
_CONTROL = regex.compile(
    r"<[|｜][^|｜<>\n]{1,60}[|｜]?>|<[A-Za-z_/][^|｜<>\n]{0,40}[|｜]>"  # <|im_end|>, <turn|>
    r"|\[[|｜][^|｜\[\]\n]{1,40}[|｜]\]|<[A-Za-z]{2,8}[|｜][A-Za-z0-9._-]{2,20}>"  # [|endofturn|], <EOD|LLM-jp>
    rf"|</?(?:{'|'.join(_WORD_TOKENS)})\s*/?>"
    r"|<(?:extra_id|unused|reserved|reserved_token|special|SPECIAL|loc|seg|sentinel|madeupword|unk)_?\d+>"
    r"|<0x[0-9A-Fa-f]{2}>|<<\s*/?SYS\s*>>|>>[A-Z_]{3,20}<<|<\[[^<>\]\n]{1,40}\]>|\][~!][a-z~!]{1,4}[\]\[]|\[e~\["
    r"|\[/?\s*(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|TOOL_CONTENT|ARGS|CALL_ID|PREFIX|SUFFIX"
    r"|MIDDLE|IMG|IMG_BREAK|IMG_END|MODEL_SETTINGS)\s*\]"
    r"|\[(?:SEP|CLS|PAD|UNK|MASK|BOS|EOS|EOT|EOD|NL|[a-z]MASK|unused\d+|control_\d+)\]"
    r"|◁[^▷\n]{1,20}▷|[▁ĠĊ]"
    r"|#{2,4}\s*(?:Instruction|Response|Input|Output|Human|Assistant|User|System|指示|応答|入力|出力|回答)\s*[:：]"
    r"|(?<![A-Za-z])(?:USER|ASSISTANT|SYSTEM|HUMAN|User|Assistant|System|Human)\s*[:：]"
    r"|(?:^|[\s。！？!?」』])(?:ユーザー|アシスタント|システム)\s*[:：]",
    regex.MULTILINE,
)
_BROKEN = regex.compile(
    r"\uFFFD|[\p{Cc}--[\n\r\t]]|\p{Cs}|\p{Co}|[\uFDD0-\uFDEF\uFFFE\uFFFF]|[\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\uFEFF]",
    regex.VERSION1,
)
_PLACEHOLDER = re.compile(r"\{+\s*(?:text|banned|avoid|fewest|most|longest)\s*\}+")
_TAG = re.compile(r"<([^<>\s/]{1,20})>")
_SHORTEST_LINE = 12  # characters of a line of the prompt that no response repeats by accident


def control_token(response: str, step: RecipeStep) -> str:
    """`response` holds no control token of a model and no role of a chat template (`step` unused)."""
    found = _CONTROL.search(response)
    return f"制御用の記号がある({found.group().strip()})" if found else ""


def prompt_mark(response: str, step: RecipeStep) -> str:
    """`response` holds no mark, placeholder or line of the prompt of `step`."""
    if found := _PLACEHOLDER.search(response):
        return f"指示文の記号がある({found.group()})"
    for name in set(_TAG.findall(step.prompt)) | {"文"}:
        marks = re.compile(rf"[<＜〈《]\s*[/／]?\s*{re.escape(name)}\s*[/／]?\s*[>＞〉》]")
        if found := marks.search(response):
            return f"指示文の記号がある({found.group()})"
    lines = (line.strip(" 　・-*") for line in step.prompt.splitlines() if not _TAG.search(line))
    echoed = next((line for line in lines if len(line) >= _SHORTEST_LINE and line in response), "")
    if echoed or "その答えは使えません" in response:
        return "指示文がくり返されている"
    return ""


def broken_text(response: str, step: RecipeStep) -> str:
    """`response` holds no replacement character, control character or invisible mark (`step` unused)."""
    found = _BROKEN.search(response)
    return f"文字が壊れている(U+{ord(found.group()):04X})" if found else ""
