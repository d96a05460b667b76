"""The skills as tools, called by the client of the `mcp` package."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from serving import Running

from terakoya.serving.mcp_tools import tool_names


async def checked(client: Client, tools: list[str]) -> None:
    """The tools, a prediction, and what a model that calls them wrongly is told."""
    listed = (await client.list_tools()).tools
    assert [tool.name for tool in listed] == tools
    assert listed[0].input_schema["required"] == ["text"] and listed[0].annotations.read_only_hint
    said: Any = await client.call_tool("moods", {"text": "妹が笑った"})
    assert said.content[0].text == "うれしい" == said.structured_content["prediction"] and not said.is_error
    assert 0 < said.structured_content["probability"] <= 1
    for arguments in ({"text": ""}, {}, {"text": 3}, {"text": "猫", "path": "/etc/passwd"}, {"text": "猫" * 10_001}):
        wrong = await client.call_tool("moods", arguments)
        assert wrong.is_error, arguments
    assert (await client.call_tool("other", {"text": "猫"})).is_error


def test_tools_over_http(server: Running) -> None:
    async def calls() -> None:
        async with Client(f"{server.url}/mcp") as client:
            await checked(client, ["moods", "kannume-160"])

    asyncio.run(calls())
    assert httpx.post(f"{server.url}/mcp", json={}, headers={"origin": "http://evil.example"}).status_code == 403
    assert httpx.post(f"{server.url}/mcp", json={}, headers={"host": "evil.example"}).status_code == 421


def test_tools_over_standard_input_and_output(moods: Path) -> None:
    async def calls() -> None:
        words = ["-m", "terakoya", "serve", str(moods), "--mcp"]
        async with Client(stdio_client(StdioServerParameters(command=sys.executable, args=words))) as client:
            await checked(client, ["moods"])

    asyncio.run(calls())


def test_sigterm_ends_standard_input_and_output(moods: Path) -> None:
    words = [sys.executable, "-m", "terakoya", "serve", str(moods), "--mcp"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        process.stdin.flush()
        assert b'"id":1' in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_every_skill_has_a_tool_with_a_legal_name() -> None:
    names = tool_names({"kannume": None, "かな": None, "カナ": None, "a b": None, "a_b": None, "x" * 100: None})  # type: ignore[dict-item]
    assert list(names.values()) == ["kannume", "かな", "カナ", "a b", "a_b", "x" * 100]
    assert list(names) == ["kannume", "skill", "skill_3", "a_b", "a_b_5", "x" * 60]
