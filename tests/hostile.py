"""Three hundred strings that try to be more than text: markup, script, links, formulas, hidden and turning marks."""

from __future__ import annotations

_CORES = (
    "<script>pwned()</script>", "</script><script>pwned()</script>", "<img src=x onerror=pwned()>",
    "<svg onload=pwned()>", "<svg><script>pwned()</script></svg>", "<!--", "-->", "]]>", "<![CDATA[", "</style>",
    "</textarea><script>pwned()</script>", "<iframe src=https://evil.example/>", "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>", "<link rel=stylesheet href=//evil.example/x>",
    "<style>@import url(//evil.example/x)</style>", "<a href=javascript:pwned()>x</a>", "javascript:pwned()",
    "<object data=//evil.example>", "<embed src=//evil.example>", "<form action=//evil.example><input name=q>",
    "<details open ontoggle=pwned()>", "<body onload=pwned()>", "<math><mtext><img src=x onerror=pwned()>",
    "{{ 7*7 }}", "{% raw %}", "{{ config }}", "${7*7}", "#{7*7}", "`whoami`", "$(whoami)", "%s%n",
    "\\u003cscript\\u003e",
    "&lt;script&gt;", "&#60;script&#62;", "&amp;", "'", '"', "'\"><script>pwned()</script>",
    "![x](https://evil.example/a.png)", "[x](javascript:pwned())", "[x]: https://evil.example", "<https://evil.example>",
    "https://evil.example/a", "www.evil.example", "@everyone", "#1", ":smile:", "$E=mc^2$", "| a | b |", "a|b", "a\\|b",
    "# heading", "- item", "+ item", "1. item", "10) item", "> quote", "```\ncode\n```", "    code", "~~~", "***",
    "---", "===",
    "**bold**", "__bold__", "_it_", "*it*", "~~gone~~", "<b>bold</b>", "&copy;", "\\*", "\\", "\\\\", "line\nbreak",
    "line\r\nbreak", "tab\tbed", "=1+1", "=HYPERLINK(\"https://evil.example\")", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1",
    "=cmd|' /C calc'!A0", "\u202eevil\u202c", "\u2066x\u2069", "\u200bzero", "\ufeffbom", "\u2028line", "\u2029para",
    "\u061carabic",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x07bell", "\x00nul", "\x08back", "\x7fdel", "\x9bcsi",
    "a\u0300\u0301\u0302",
    "👨‍👩‍👧‍👦", "🏳️‍🌈", "☺️", "❤", "𝓣𝓮𝔁𝓽", "\ue000private", "ﷺ", "null", "None", "NaN", "true", "__proto__",
    "constructor",
    "../../etc/passwd", "C:\\x", "%3Cscript%3E", "data:text/html,<script>pwned()</script>",
)  # fmt: skip
_FRAMES = ("{}", "三万{}八千", "{0}{0}", "  {}")

HOSTILE = tuple(
    dict.fromkeys(frame.format(core) if core.count("{") == 0 else core for frame in _FRAMES for core in _CORES)
)
