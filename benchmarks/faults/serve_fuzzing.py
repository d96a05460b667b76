"""Requests generated from the OpenAPI description of `terakoya serve`, legal and not: no response may be a 5xx.

    python -m benchmarks.faults.serve_fuzzing RUN [RUN …] [--requests 10000] [--seed 0]

Schemathesis (Hatfield-Dodds and Dygalo, 2022, arXiv:2112.10328) makes them for each operation, half of them against its
schema. Each body is sent as it is, and again with the name of each skill, so that the rest of it matters. Each response
must have a documented status, the documented content type, and a body that its schema describes. Writes
benchmarks/results/serve_fuzzing.json and .md.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from benchmarks.reporting import machine_summary, markdown_table, write_results
from benchmarks.speed.serving import served

_MOST_FAILURES = 20


@dataclass
class Fuzzed:
    """What came of it.

    requests  number sent
    statuses  operation → status → number
    failures  what was wrong, at most twenty
    """

    requests: int = 0
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def fuzz(url: str, *, examples: int, models: Sequence[str], seed: int) -> Fuzzed:
    """Send requests of every operation.

    url       of the server
    examples  for each operation and each kind, legal and not
    models    names that are served
    seed      of the generation
    """
    import requests
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as hypothesis_seed
    from hypothesis.errors import Unsatisfiable
    from schemathesis.checks import not_a_server_error
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    found, session = Fuzzed(), requests.Session()

    def sender(name: str) -> Callable[[Any], None]:
        statuses = found.statuses.setdefault(name, Counter())

        def send(case: Any) -> None:
            for body in variants(case.body, models):
                case.body = body
                found.requests += 1
                response = case.call(base_url=url, session=session, timeout=60)
                statuses[response.status_code] += 1
                try:
                    case.validate_response(response, checks=checks)
                except Exception as error:  # every kind of fault is one line of the result
                    if len(found.failures) < _MOST_FAILURES:
                        found.failures.append(f"{name}: {response.status_code}: {error!r}")

        return send

    settled: Any = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for result in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        operation: Any = cast(Any, result).ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            strategy = operation.as_strategy(generation_mode=mode)
            send = sender(f"{operation.method.upper()} {operation.path}")
            with suppress(Unsatisfiable):  # an operation without parameters has no illegal request
                seeded: Any = hypothesis_seed(seed)
                with_cases: Any = given(strategy)
                settled(seeded(with_cases(send)))()
    return found


def variants(body: Any, models: Sequence[str]) -> Iterator[Any]:
    """The `body` as generated; then for each of the served `models`, and with the last message as the user's."""
    yield body
    if not isinstance(body, dict) or "model" not in body:
        return
    for model in models:
        yield {**body, "model": model}
    messages = body.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        yield {**body, "model": models[0], "messages": [*messages[:-1], {**messages[-1], "role": "user"}]}


def main() -> None:
    """Starts a server, sends the requests, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with served(args.runs) as (url, models):
        started = time.monotonic()
        rounds, total = 0, Fuzzed()
        while total.requests < args.requests:
            found = fuzz(url, examples=max(20, args.requests // 14), models=models, seed=args.seed + rounds)
            rounds += 1
            total.requests += found.requests
            total.failures += found.failures
            for name, statuses in found.statuses.items():
                total.statuses.setdefault(name, Counter()).update(statuses)
        seconds = time.monotonic() - started
    write_page(total, seconds, args.seed)
    raise SystemExit(1 if total.failures else 0)


def write_page(total: Fuzzed, seconds: float, seed: int) -> None:
    """Write the results.

    total    all requests
    seconds  that they took
    seed     of the first round
    """
    rows = [
        [name, sum(counts.values()), ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))]
        for name, counts in total.statuses.items()
    ]
    errors = sum(count for counts in total.statuses.values() for status, count in counts.items() if status >= 500)
    page = (
        "# Generated requests to `terakoya serve`\n\n"
        f"{total.requests:,} requests from the OpenAPI description (seed {seed}), {seconds:.0f} s. "
        f"5xx: {errors}. Responses against their description: {len(total.failures)}.\n\n"
        + markdown_table(["operation", "requests", "status: number"], rows)
        + f"\n{machine_summary(('schemathesis', 'starlette', 'uvicorn'))}\n"
    )
    statuses = {name: dict(counts) for name, counts in total.statuses.items()}
    values = {"requests": total.requests, "errors": errors, "failures": total.failures, "statuses": statuses}
    print(write_results("serve_fuzzing", page, {**values, "seed": seed, "seconds": seconds}))


if __name__ == "__main__":
    main()
