"""How long the local page takes for the views of a run with 10,000 exam rows.

    python -m benchmarks.speed.page_views [--items 10000] [--times 20]

A real server (`terakoya open`) in a process of its own; wall milliseconds from the request to the whole response, over
loopback. "First" is the first request of that view after the server has started: the run's page is opened, and after
one second its errors, as a person would. "Straight" goes to the errors of another run at once. Writes
benchmarks/results/page_views.md and .json.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exam_runs import finished_run
from page_server import page_server

from benchmarks.reporting import machine_summary, markdown_table, write_results

VIEWS = {
    "run": "",
    "errors": "/errors?order=doubtful&contains=5&page=3",
    "confirm": "/confirm",
}
_READING_SECONDS = 1.0  # that a person stays on the run's page before its errors


def milliseconds(send: Callable[[], Any]) -> float:
    """Wall time of one request."""
    started = time.perf_counter()
    response = send()
    took = 1000 * (time.perf_counter() - started)
    assert response.status_code == 200, response.status_code
    return took


def measure(home: Path, times: int) -> dict[str, dict[str, float]]:
    """View → milliseconds of its first request, and median and maximum of `times` further ones."""
    found: dict[str, dict[str, float]] = {}
    with page_server(home) as server:
        client = server.client()
        listed = client.get("/runs").text
        large, other = (re.findall(rf'<a href="(/runs/\w{{16}})">{name}</a>', listed)[0] for name in ("large", "other"))
        for name, behind in VIEWS.items():
            first = milliseconds(lambda behind=behind: client.get(large + behind))  # type: ignore[misc]
            again = [milliseconds(lambda behind=behind: client.get(large + behind)) for _ in range(times)]  # type: ignore[misc]
            found[name] = {"first": first, "median": statistics.median(again), "most": max(again)}
            time.sleep(_READING_SECONDS)
        found["errors, straight"] = {"first": milliseconds(lambda: client.get(f"{other}/errors"))}
    return found


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=10_000, help="exam rows")
    parser.add_argument("--times", type=int, default=20, help="further requests of each view")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="terakoya-page-") as name:
        for run in ("other", "large"):
            finished_run(Path(name) / "runs", run, items=options.items)
        found = measure(Path(name), options.times)
    rows = [
        (view, *(f"{one[key]:.0f}" if key in one else "–" for key in ("first", "median", "most")))
        for view, one in found.items()
    ]
    page = (
        f"# Views of the local page\n\n{machine_summary(('starlette', 'uvicorn'))}; load {load:.1f}; "
        f"{options.items:,} exam rows, {options.times} further requests of each view.\n\n"
        + markdown_table(("view", "first, ms", "median, ms", "most, ms"), rows)
    )
    print(write_results("page_views", page, {"load": load, "items": options.items, "views": found}).read_text("utf-8"))


if __name__ == "__main__":
    main()
