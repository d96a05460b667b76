"""How a server starts and ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from serving import Running, chat, command, in_thread, service_of

from terakoya.errors import ConfigError
from terakoya.saved_model import read_skill
from terakoya.serving import Address
from terakoya.serving.limits import Limits
from terakoya.serving.server import bind, find_token


def test_sigterm_finishes_what_was_begun(moods: Path) -> None:
    """Every request whose body was sent gets its prediction, nothing new is taken, and the exit code is 0."""
    texts = ["妹が笑った" * 100] * 64
    with command(str(moods)) as running, ThreadPoolExecutor(8) as threads:
        body = {"model": "moods", "prompt": texts}
        url = f"{running.url}/v1/completions"
        begun = [threads.submit(httpx.post, url, json=body, timeout=60) for _number in range(4)]
        while "terakoya_waiting_texts 0" in httpx.get(f"{running.url}/metrics").text:
            assert not all(one.done() for one in begun), "too fast to be interrupted"
        running.process.send_signal(signal.SIGTERM)
        responses = [one.result() for one in begun]
        assert [response.status_code for response in responses] == [200] * 4
        assert all(choice["text"] == "うれしい" for one in responses for choice in one.json()["choices"])
        running.process.wait(30)
        assert running.process.returncode == 0
        with pytest.raises(httpx.ConnectError):
            chat(running.url, "猫")


def test_other_machines_need_a_token(moods: Path) -> None:
    """A new one is printed once; without it only /health is served, and the connection's openness is said."""
    with command(str(moods), "--host", "0.0.0.0", until=r"Bearer\): \S+") as running:
        token = re.search(r"Bearer\): (\S+)", running.words)
        assert token and len(token[1]) >= 43
        assert httpx.get(f"{running.url}/health").status_code == 200
        for path in ("/v1/models", "/metrics", "/openapi.json", "/mcp"):
            assert httpx.get(f"{running.url}{path}").status_code == 401
        headers = {"authorization": f"Bearer {token[1]}"}
        assert httpx.get(f"{running.url}/v1/models", headers=headers).json()["data"][0]["id"] == "moods"
        assert httpx.get(f"{running.url}/v1/models", headers={"authorization": "Bearer x"}).status_code == 401
        shown = Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
        assert token[1].encode() not in shown
        running.process.terminate()
        assert "unencrypted" in running.process.communicate()[1]


def test_the_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never from the command line, which every process of the machine can read; a bad one is refused."""
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n", encoding="utf-8")
    assert find_token(Address(token_file=file)) == ("0123456789abcdef", False)
    monkeypatch.setenv("TERAKOYA_TOKEN", "fedcba9876543210")
    assert find_token(Address()) == ("fedcba9876543210", False)
    for bad in ("short", "with a space in it, too long", ""):
        file.write_text(bad, encoding="utf-8")
        with pytest.raises(ConfigError, match="a token has 16 to 512"):
            find_token(Address(token_file=file))
    monkeypatch.delenv("TERAKOYA_TOKEN")
    assert find_token(Address()) == ("", False)
    made, new = find_token(Address(host="0.0.0.0"))
    assert new and made != find_token(Address(host="0.0.0.0"))[0]


def test_an_address_that_is_taken_is_an_error_with_advice() -> None:
    with bind("127.0.0.1", 0) as taken:
        for host, port in (("127.0.0.1", taken.getsockname()[1]), ("192.0.2.1", 0), ("no such host", 0)):
            with pytest.raises(ConfigError, match="cannot listen there") as error:
                bind(host, port)
            assert "--port" in error.value.do


def test_help_and_mistakes_need_no_server_packages(tmp_path: Path) -> None:
    """A wrong folder is said before anything heavy is imported, and a missing package by the extra that brings it."""
    script = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from terakoya.cli.main import main\n"
        f"code = main(['serve', {str(tmp_path)!r}])\n"
        "assert 'torch' not in sys.modules\n"
        "raise SystemExit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "pip install 'terakoya[serve]'" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "terakoya", "serve", str(tmp_path / "none")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "no such run or model folder" in done.stderr


def test_ctrl_c_ends_it_too(moods: Path) -> None:
    with command(str(moods)) as running:
        os.kill(running.process.pid, signal.SIGINT)
        started = time.monotonic()
        running.process.wait(30)
        assert running.process.returncode == 0 and time.monotonic() - started < 10


def test_built_in_skills_are_served_without_torch(server: Running) -> None:
    """After requests of every kind the process still has not loaded it: it would cost seconds and 300 MB."""
    assert chat(server.url, "妹が笑った", logprobs=True).status_code == 200
    assert chat(server.url, "十", model="kannume-160", logprobs=True).status_code == 200
    maps = Path(f"/proc/{server.process.pid}/maps").read_text(encoding="utf-8")
    assert "libtorch" not in maps and "numpy" in maps


def test_a_crowd_is_served_in_the_end(moods: Path) -> None:
    """Three hundred requests at once, twenty places: every one is predicted, because OpenAI's client comes again."""
    service = service_of(read_skill(moods, predict_only=True), Limits(waiting=20))
    with in_thread(service) as url, ThreadPoolExecutor(100) as threads:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=50) as client:

            def one(number: int) -> str:
                return (
                    client.completions.create(model="moods", prompt=f"{'妹猫弟'[number % 3]}が笑った").choices[0].text
                )

            assert list(threads.map(one, range(300))) == ["うれしい"] * 300
        metrics = httpx.get(f"{url}/metrics").text
    assert 'status="200"} 300' in metrics and 'status="429"' in metrics and 'status="5' not in metrics
    assert service.queue.waiting == 0
