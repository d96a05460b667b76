"""The OpenAPI description: what it says holds, whatever is sent."""

from __future__ import annotations

from pathlib import Path

import httpx
from serving import Running, in_thread, service_of

from benchmarks.faults.serve_fuzzing import fuzz
from terakoya.saved_model import read_skill
from terakoya.serving.limits import Limits
from terakoya.serving.openapi import description


def test_every_route_is_described(moods: Path, server: Running) -> None:
    described = httpx.get(f"{server.url}/openapi.json").json()
    assert described == description(Limits())
    for path, methods in described["paths"].items():
        for method in methods:
            status = httpx.request(method, f"{server.url}{path}").status_code
            assert str(status) in described["paths"][path][method]["responses"], (path, method, status)


def test_generated_requests_meet_no_server_error(moods: Path) -> None:
    """The short form of benchmarks/faults/serve_fuzzing.py: requests that schemathesis makes, legal and not."""
    with in_thread(service_of(read_skill(moods, predict_only=True))) as url:
        found = fuzz(url, examples=12, models=("moods",), seed=1)
    assert found.requests >= 100
    assert not found.failures, "\n".join(found.failures)


def test_counts_are_in_the_format_of_prometheus(server: Running) -> None:
    """Read by a parser of the text format, cumulative buckets and all; no label comes from a request."""
    httpx.get(f"{server.url}/no-such-path-{'x' * 50}")
    response = httpx.get(f"{server.url}/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "no-such-path" not in response.text and 'path="other",status="404"' in response.text
    typed: dict[str, str] = {}
    buckets = []
    for line in response.text.splitlines():
        if line.startswith("# TYPE"):
            _hash, _type, name, kind = line.split()
            typed[name] = kind
        elif not line.startswith("#"):
            name, _space, value = line.rpartition(" ")
            assert float(value) >= 0
            bare = name.split("{")[0]
            assert any(bare in (known, f"{known}_bucket", f"{known}_sum", f"{known}_count") for known in typed)
            if bare.endswith("_bucket"):
                buckets.append(float(value))
    assert buckets == sorted(buckets) and typed["terakoya_request_seconds"] == "histogram"
