"""Tables in a bucket, by s3fs from a server that speaks S3: read by pattern, refused with the service's own words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer

from terakoya.config import make_config
from terakoya.data.formats import remote
from terakoya.errors import DataError
from terakoya.pipeline import commands
from terakoya.pipeline.dataset import load_dataset, record_dataset
from terakoya.registry import Experiment
from terakoya.runs import Run

ROWS = [(f"文{at}番です", f"答え{at % 7}") for at in range(120)]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with two parts of a table, at an address that boto and s3fs find in the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="shop")
    for name, rows in (("b.jsonl", ROWS[60:]), ("a.jsonl", ROWS[:60])):
        lines = "".join(json.dumps({"source": source, "target": target}) + "\n" for source, target in rows)
        client.put_object(Bucket="shop", Key=f"rows/2026/{name}", Body=lines.encode())
    client.put_object(Bucket="shop", Key="bad.csv", Body=b"source,target\na,b,c\n")
    _forget()
    try:
        yield "s3://shop/rows/*/*.jsonl"
    finally:
        server.stop()
        _forget()


def _forget() -> None:
    """s3fs keeps listings and connections of one address for a whole process."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    remote.local_copy.cache_clear()


def test_a_table_in_a_bucket_is_read_by_pattern_and_recorded(bucket: str, tmp_path: Path) -> None:
    dataset = load_dataset(Experiment("x", make_config({"task": {"data": bucket, "codec": "text"}}), tmp_path))
    assert [(one.source, one.target) for one in dataset.task.examples] == ROWS
    with Run.create(tmp_path, "run") as run:
        record_dataset(run, dataset)
        files = run.manifest["data"]["files"]
    assert [one["name"] for one in files] == ["s3://shop/rows/2026/a.jsonl", "s3://shop/rows/2026/b.jsonl"]
    body = boto3.client("s3").get_object(Bucket="shop", Key="rows/2026/b.jsonl")["Body"].read()
    assert files[1]["sha256"] == hashlib.sha256(body).hexdigest() and files[1]["bytes"] == len(body)


def test_what_a_bucket_refuses_is_said_by_address(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged row, no such file, no such bucket, no service."""
    with pytest.raises(DataError, match="do not fit the header") as caught:
        commands.audit("s3://shop/bad.csv")
    assert caught.value.where == "s3://shop/bad.csv"
    with pytest.raises(DataError, match="no file matches"):
        commands.audit("s3://shop/rows/*.parquet")
    for address in ("s3://shop/rows/none.csv", "s3://nobody/rows.csv"):
        with pytest.raises(DataError, match="cannot be fetched") as caught:
            commands.audit(address)
        assert caught.value.where == address
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    _forget()
    with pytest.raises(DataError, match="cannot be fetched"):
        commands.audit(bucket)
