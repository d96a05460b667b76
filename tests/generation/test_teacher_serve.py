"""The teacher against a server that we did not write: `transformers serve` on a tiny checkpoint of ours."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from checkpoints import checkpoint

from terakoya.config import make_config
from terakoya.errors import BudgetError, ProviderError
from terakoya.generation.generate import REJECTED, generate
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.rate_limits import RetryPolicy
from terakoya.runs import read_lines

STARTS_WITHIN = 120.0  # seconds, on a machine with other work to do


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Base URL and checkpoint of a running server."""
    place = tmp_path_factory.mktemp("serve")
    folder = checkpoint(place / "teacher", "qwen2")
    (place / "hub").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "transformers", "serve", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(place / "hub"), "OMP_NUM_THREADS": "1"}
    with (place / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--device", "cpu"], env=environment, stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, place / "log")
            yield f"http://127.0.0.1:{port}/v1", folder
        finally:
            server.kill()
            server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def test_a_third_party_server_is_used_paid_and_trusted_no_further_than_its_responses(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    """Our own server shares our ideas of the protocol; this one has its own. Its model has learnt nothing, so every
    response must be stored, charged by the configured prices and rejected."""
    url, model = served
    config = make_config(
        {
            "teacher": {
                "kind": "api", "base_url": url, "model": str(model), "licence": "ours", "recipe": "emoji-v1",
                "samples": 3, "requests": 6, "price_in": 1.0, "price_out": 5.0, "key_variable": "", "max_tokens": 12,
                "max_concurrent": 3, "deadline": 60.0,
            }
        }
    )  # fmt: skip
    with pytest.raises(BudgetError):
        generate(config, tmp_path, tmp_path / "data.jsonl", retry_policy=RetryPolicy(base_wait=0.05))
    records = list(read_lines(tmp_path / JOURNAL))
    costs = {record["id"]: record for record in records if record["event"] == "cost"}
    replies = [record | costs[record["id"]] for record in records if record["event"] == "reply"]
    assert [reply["status"] for reply in replies] == [200] * 6
    for reply in replies:
        response = json.loads(reply["body"])
        assert response["choices"][0]["message"]["role"] == "assistant"
        assert reply["by"] == "prices"
        assert (reply["in"], reply["out"]) == (
            response["usage"]["prompt_tokens"],
            response["usage"]["completion_tokens"],
        )
        assert reply["cost"] == reply["in"] * 1000 + reply["out"] * 5000
    rejected = [json.loads(line) for line in (tmp_path / REJECTED).read_text().splitlines()]
    assert len(rejected) == 3
    assert all(len(row["raw"]) == 2 and row["step"] == "rewrite" for row in rejected)


def test_a_third_party_server_takes_our_settings_and_its_refusals_are_understood(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    """Its words for an unknown field and a wrong address are its own."""
    url, model = served
    usual = {
        "kind": "api", "base_url": url, "model": str(model), "licence": "ours", "recipe": "emoji-v1", "samples": 2,
        "requests": 2, "price_in": 1.0, "price_out": 5.0, "key_variable": "", "max_tokens": 5, "max_concurrent": 2,
    }  # fmt: skip

    def refused(name: str, **teacher: Any) -> str:
        with pytest.raises((BudgetError, ProviderError)) as refusal:
            generate(make_config({"teacher": usual | teacher}), tmp_path / name, tmp_path / f"{name}.jsonl")
        return str(refusal.value)

    settings = {"max_tokens_name": "max_completion_tokens", "temperature": "unset", "extra": {"top_p": 0.9}}
    assert "all 2 requests are used" in refused("taken", **settings)
    replies = [record for record in read_lines(tmp_path / "taken" / JOURNAL) if record["event"] == "reply"]
    assert [json.loads(reply["body"])["usage"]["completion_tokens"] for reply in replies] == [5, 5]
    assert "does not accept the parameter 'no_such_field'" in refused("field", extra={"no_such_field": 1})
    assert "does not know this model or address" in refused("address", base_url=url.removesuffix("/v1"))
