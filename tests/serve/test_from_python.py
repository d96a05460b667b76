"""`tk.serve`: beside a notebook's own work, and in a script that does nothing else."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from serving import chat

import terakoya as tk
from terakoya.errors import ConfigError


def test_a_server_in_the_background_is_ended_by_its_owner(moods: Path, numerals: Path) -> None:
    """It answers while the caller goes on; after `end()` nobody answers, and the port is free again."""
    server = tk.serve([moods, numerals], port=0, background=True)
    assert server.models == ("moods", "kannume-160") and server.token == ""
    assert chat(server.url, "妹が笑った").json()["choices"][0]["message"]["content"] == "うれしい"
    server.end()
    with pytest.raises(httpx.ConnectError):
        chat(server.url, "妹が笑った")
    again = tk.serve(moods, port=int(server.url.rpartition(":")[2]), background=True, mcp=True)
    assert again.mcp and httpx.get(f"{again.url}/health").status_code == 200
    again.end()


def test_what_is_wrong_is_raised_in_the_callers_thread(moods: Path, tmp_path: Path) -> None:
    """A missing folder and a taken port, not a thread that died unseen."""
    with pytest.raises(ConfigError, match="no such run or model folder"):
        tk.serve(tmp_path / "none", background=True)
    server = tk.serve(moods, port=0, background=True)
    with pytest.raises(ConfigError, match="cannot listen there"):
        tk.serve(moods, port=int(server.url.rpartition(":")[2]), background=True)
    server.end()


def test_in_a_notebook_it_says_how_it_is_served(moods: Path) -> None:
    """An event loop runs there already; the advice works as it is typed."""

    async def cell() -> None:
        with pytest.raises(ConfigError, match="event loop runs in this thread") as error:
            tk.serve(moods, port=0)
        assert "tk.serve(RUN, background=True)" in error.value.do
        server = tk.serve(moods, port=0, background=True)
        assert httpx.get(f"{server.url}/health").status_code == 200
        server.end()

    asyncio.run(cell())


def test_a_script_serves_until_it_is_ended(moods: Path, tmp_path: Path) -> None:
    """SIGTERM ends it gracefully, and the call returns the server that it was."""
    script = (
        "import terakoya as tk\n"
        f"server = tk.serve({str(moods)!r}, port=0, on_ready=lambda one: print(one.url, flush=True))\n"
        "print('ended', server.models)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert chat(url, "猫が泣いた").json()["choices"][0]["message"]["content"] == "かなしい"
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert process.communicate(timeout=30)[0] == "ended ('moods',)\n" and process.returncode == 0
    assert time.monotonic() - started < 10
