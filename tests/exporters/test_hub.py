"""A folder for the Hub: its card is what the Hub reads, and its upload says what it could not reach."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import huggingface_hub
import pytest
import transformers

import terakoya as tk
from terakoya.errors import ConfigError, TerakoyaError
from terakoya.exporters.hub.metadata import base_licence, with_metadata
from terakoya.exporters.hub.upload import upload


class _Hub(BaseHTTPRequestHandler):
    """The endpoints of the Hub that an upload of small files needs."""

    received: ClassVar[dict[str, bytes]] = {}

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._answer({"id": "owner/moods", "sha": "0" * 40, "siblings": [], "private": True, "tags": []})

    def do_POST(self) -> None:
        body = self._body()
        self.received[self.path] = body
        if self.path.endswith("/preupload/main"):
            files = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for one in json.loads(body)["files"]]  # fmt: skip
            self._answer({"files": files})
        elif self.path.endswith("/repos/create"):
            self._answer({"url": f"http://{self.headers['Host']}/owner/moods", "id": "owner/moods", "name": "moods"})
        elif "/commit/" in self.path:
            host = self.headers["Host"]
            self._answer({"commitUrl": f"http://{host}/owner/moods/commit/1", "commitOid": "1", "success": True})
        else:
            self._answer({"errors": [], "warnings": []})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, values: dict[str, Any]) -> None:
        content = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A server that takes uploads; what it received, by path."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_for_the_test")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    _Hub.received.clear()
    yield _Hub.received
    server.shutdown()
    server.server_close()


def test_export_uploads_what_was_proved(set_run: Path, tmp_path: Path, hub: dict[str, bytes]) -> None:
    """The card's metadata is read by the Hub's own client; the folder is uploaded, weights and proof included."""
    (result,) = tk.export(set_run, "hub", output=tmp_path, push="owner/moods", lang="en")
    assert result.proof.state == "same"
    card = huggingface_hub.ModelCard.load(tmp_path / "hub" / "README.md")
    assert card.data.library_name == "terakoya" and card.data.pipeline_tag == "text-classification"
    assert card.data.language == "ja" and card.data.eval_results[0].metric_value == pytest.approx(result.proof.after)
    assert "Same: under terakoya" in card.content
    (commit,) = [body for path, body in hub.items() if "/commit/" in path]
    files = {json.loads(line)["value"]["path"] for line in commit.splitlines() if json.loads(line)["key"] == "file"}
    assert {"README.md", "model.safetensors", "proof.json", "record.json", "skill/terakoya.json"} <= files


def test_upload_says_what_it_could_not_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline nothing is lost, and the command that goes on is named."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (tmp_path / "README.md").write_text("x", encoding="utf-8")
    with pytest.raises(TerakoyaError, match="the Hub did not take it") as error:
        upload(tmp_path, "owner/moods")
    assert f"hf upload owner/moods {tmp_path}" in error.value.do


def test_another_form_of_name_is_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="is no name on the Hub"):
        upload(tmp_path, "../moods")


def test_licence_of_the_base_is_found(tmp_path: Path) -> None:
    """In the card of a folder, or in a GGUF file; without one the card says that it is unknown."""
    import gguf

    (tmp_path / "README.md").write_text("---\nlicense: gemma\n---\n# base\n", encoding="utf-8")
    assert base_licence(str(tmp_path)) == "gemma"
    writer = gguf.GGUFWriter(tmp_path / "base.gguf", "gemma3")
    writer.add_license("gemma")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert base_licence(str(tmp_path / "base.gguf")) == "gemma"
    assert base_licence("owner/name") == ""
    unknown = huggingface_hub.ModelCardData(license="other", license_name="unknown")
    assert "look it up before you share" in with_metadata("# x", unknown)


def test_transformers_opens_a_pretrained_folder(skills: dict[str, Any], tmp_path: Path) -> None:
    """By plain from_pretrained, with the full vocabulary in place."""
    from terakoya.exporters.exporter import ExportOptions, find_exporter

    folder = find_exporter("hub").write(skills["gemma3"], tmp_path, ExportOptions())
    module = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert module.config.vocab_size == len(transformers.AutoTokenizer.from_pretrained(folder))
