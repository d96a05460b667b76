"""Keys: refused where they cannot be one, and where they do not belong, without being shown or stored."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from faulty_server import ServerPlan, running
from test_teacher_server import make

from terakoya.cli.main import main
from terakoya.config import make_config
from terakoya.errors import ConfigError
from terakoya.generation.generate import REJECTED
from terakoya.generation.teacher.ledger import JOURNAL

KEYS = [
    "sk-or-v1-0123456789abcdef0123456789abcdef", "sk-proj-AbCd_1234567890efgh-ijkl", "sk_live_abcdef123456789012",
    "gsk_AbCdEf1234567890abcdef", "AIzaSyA1234567890abcdefghijklmnopqrstuv", "hf_AbCdEfGhIjKl1234567890",
    "xai-1234567890abcdefghij", "nvapi-abcdefgh1234567890", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF",
]  # fmt: skip
UNNAMED = ["0123456789abcdef0123456789abcdef", "ABCD1234EFGH5678IJKL", "abcdEFGHijklMNOPqrstUVWX", "my key", "ひみつ"]


def refusal(**teacher: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        make_config({"teacher": teacher})
    return refused.value.words("en") + refused.value.words("ja")


@pytest.mark.parametrize("key", [*KEYS, *UNNAMED])
def test_a_key_where_the_name_of_a_variable_belongs_is_not_shown(key: str) -> None:
    """It would be stored with every result."""
    message = refusal(key_variable=key)
    assert key not in message
    assert "key_variable" in message


@pytest.mark.parametrize("name", ["OPENROUTER_API_KEY", "MY_KEY2", "TERA_STUB_KEY", "KEY_V2_20240101", "_k", ""])
def test_names_of_variables_pass(name: str) -> None:
    """Else the test above could pass by refusing everything."""
    assert make_config({"teacher": {"key_variable": name}}).teacher.key_variable == name


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_refused_wherever_else_it_may_be_pasted(key: str) -> None:
    """Into an address, a header, a field of the body, another setting; and none of them shows it."""
    for teacher in (
        {"base_url": f"https://api.example.org/v1?api_key={key}"}, {"base_url": f"https://api.example.org/{key}/v1"},
        {"base_url": f"https://{key}@api.example.org/v1"}, {"base_url": f"https://u:{key}@api.example.org/v1"},
        {"headers": {"Authorization": f"Bearer {key}"}}, {"headers": {"X-Anything": key}}, {"model": key},
        {"extra": {"provider": {"options": [key]}}}, {"licence": key}, {"extra": {"api_key": "anything"}},
        {"key_variable": [key]}, {"temperature": key},
    ):  # fmt: skip
        message = refusal(**teacher)
        assert key not in message, teacher


def test_addresses_and_models_with_fingerprints_pass() -> None:
    """An account id in an address and a commit in a path are no keys."""
    account = "https://api.cloudflare.com/client/v4/accounts/0123456789abcdef0123456789abcdef/ai/v1"
    snapshot = "/home/u/.cache/hub/snapshots/0123456789abcdef0123456789abcdef01234567"
    headers = {"api-key": "${AZURE_KEY}", "Authorization": "Bearer ${OTHER_KEY}", "X-Title": "t"}
    made = make_config({"teacher": {"base_url": account, "model": snapshot, "headers": headers}})
    assert made.teacher.headers == headers


@pytest.mark.parametrize(
    "key", ["sk-abc def", "sk-abcdef\n", " sk-abcdef", "sk-ａｂｃ", "sk-abc\u200bdef", '"sk-abc"\t']
)
def test_a_key_with_white_space_or_other_characters_is_refused_at_once(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails as a header, or as a wrong key after the first request; a line break at its end is the usual cause."""
    monkeypatch.setenv("TEACHER_KEY", key)
    with running(ServerPlan()) as server:
        with pytest.raises(ConfigError, match="TEACHER_KEY holds white space") as refused:
            make(server, tmp_path, key_variable="TEACHER_KEY")
        assert server.requests() == 0
    assert key.strip() not in refused.value.words("ja")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_url": "openrouter.ai/api/v1"}, "no address"),
        ({"base_url": "ftp://openrouter.ai/v1"}, "no address"),
        ({"base_url": "https:///v1"}, "no address"),
        ({"base_url": "https://a b/v1"}, "no address"),
        ({"base_url": "https://h/v1/chat/completions"}, 'base_url = "https://h/v1"'),
        ({"headers": {"X-Key": "${NO_SUCH_VARIABLE}"}}, "NO_SUCH_VARIABLE is not set"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_first(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Before any request, with what to write instead."""
    with running(ServerPlan()) as server, pytest.raises(ConfigError, match=message):
        make(server, tmp_path, **change)


@pytest.mark.parametrize(
    "teacher",
    [
        {"headers": {"bad name": "x"}}, {"headers": {"Host": "x"}}, {"headers": {"X": "a\nb"}},
        {"headers": {"X": "あ"}},
        {"extra": {"messages": []}}, {"extra": {"model": "x"}}, {"extra": {"max_tokens": 3}}, {"extra": {"n": 2}},
        {"extra": {"temperature": 1}}, {"extra": {"stream": True}}, {"extra": {"max_completion_tokens": 3}},
    ],
)  # fmt: skip
def test_what_cannot_be_sent_or_has_a_setting_of_its_own_is_refused(teacher: dict[str, Any]) -> None:
    """The budget is reserved for one whole answer of `max_tokens`; nothing may change that unnoticed."""
    assert next(iter(teacher)) in refusal(**teacher)


def test_the_command_line_takes_these_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """A key pasted into --set is not echoed either."""
    assert main(["generate", "generate-emoji-v1", "--set", f"teacher.key_variable={KEYS[0]}", "--lang", "en"]) == 2
    shown = capsys.readouterr()
    assert KEYS[0] not in shown.err + shown.out
    assert "may be the key itself" in shown.err
    table = "teacher.extra={chat_template_kwargs={enable_thinking=false}}"
    estimated = ["generate", "generate-emoji-v1", "--estimate", "--set", table, "--set", "teacher.temperature=unset"]
    assert main(estimated) == 0


def test_files_with_raw_traffic_are_for_their_owner(tmp_path: Path) -> None:
    """Also in a folder that others may read: prompts and responses may hold what a user would not show."""
    (tmp_path / "work").mkdir(mode=0o755)
    with running(ServerPlan()) as server:
        make(server, tmp_path, samples=3)
    for name in (JOURNAL, REJECTED, "data.jsonl", "index.sqlite"):
        assert stat.S_IMODE((tmp_path / "work" / name).stat().st_mode) == 0o600, name
