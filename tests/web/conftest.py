"""One server with one trained run, for all tests that change neither."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from page_server import MOODS, PageServer, page_server, train, upload, wait_for

from terakoya.reporting import html, read_record
from terakoya.web.workspace import opaque_id

sys.path.append(str(Path(__file__).parent.parent / "annotation"))  # its finished runs of any size
from exam_runs import finished_run


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[PageServer]:
    with page_server(home) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: PageServer) -> httpx.Client:
    return server.client()


@pytest.fixture(scope="session")
def finished(home: Path, client: httpx.Client) -> str:
    """Address of a run that is done, made without a training."""
    folder = finished_run(home / "runs", "finished", items=120)
    (folder / "report.html").write_text(html(read_record(folder)), encoding="utf-8")
    return f"{client.base_url}/runs/{opaque_id('run', str(folder.resolve()))}"


@pytest.fixture(scope="session")
def trained(client: httpx.Client) -> str:
    """Address of a run that was trained from moods.csv through the page."""
    table = upload(client, "moods.csv", MOODS.read_bytes())
    job = train(client, table.url)
    return str(wait_for(client, str(job.url), 'class="state done"').url)
