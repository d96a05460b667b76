"""A provider's batch interface on 127.0.0.1 that injects faults and counts what it sells. Runs in its own process.

A batch is executed, and charged, when it is created, whether or not the client learns of it; its results show after a
few polls. `sold` has one line for each response that is charged: custom id, hash of the body, price.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from faulty_server import PRICE, usual_response

CALLS = ("upload", "create", "list", "poll", "download")


@dataclass(frozen=True)
class BatchPlan:
    """How the provider behaves.

    fault    (call, its number) → "": as usual; "cut": done, but not answered; "half": half of the answer; or a status
    outcome  number of the batch → how it ends: "completed", "expired", "cancelled" or "failed"
    line     (number of the batch, of the request) → "", a status that is not charged, "expired", "missing", "hidden"
             (charged and not shown) or "doubled"
    polls    looks at a batch before it has ended
    """

    fault: Callable[[str, int], str] = lambda call, number: ""
    outcome: Callable[[int], str] = lambda number: "completed"
    line: Callable[[int, int], str] = lambda batch, number: ""
    response: Callable[[dict[str, Any]], str] = usual_response
    changes: Callable[[dict[str, Any]], dict[str, Any]] = lambda request: {}
    polls: int = 1
    sold: Path | None = None
    seed: int = 0


@dataclass
class _State:
    plan: BatchPlan
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    polls: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CALLS, 0))
    lock: Lock = field(default_factory=Lock)

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.batches)
        batch: dict[str, Any] = {
            "id": f"batch_{number}", "object": "batch", "status": "in_progress", "metadata": body["metadata"],
            "input_file_id": body["input_file_id"], "_ends": self.plan.outcome(number),
        }  # fmt: skip
        self.batches[batch["id"]] = batch
        if batch["_ends"] != "failed":
            self.execute(batch, number, self.files[body["input_file_id"]])
        else:
            batch["_errors"] = {"data": [{"code": "invalid", "message": "the model does not exist"}]}
        return batch

    def execute(self, batch: dict[str, Any], number: int, text: str) -> None:
        rng, outputs, errors, done = random.Random(f"{self.plan.seed} {number}"), [], [], 0
        requests = [json.loads(line) for line in text.splitlines()]
        for at, request in enumerate(requests):
            what = self.plan.line(number, at)
            if batch["_ends"] in {"expired", "cancelled"} and at >= len(requests) // 2:
                what = what if what == "missing" else "expired"
            if what == "missing" or (what == "expired" and batch["_ends"] == "cancelled"):
                continue
            if what == "hidden":
                self.sell(request)
                done += 1
                continue
            if what == "expired":
                error = {"code": "batch_expired", "message": "not executed"}
                errors.append({"custom_id": request["custom_id"], "response": None, "error": error})
                continue
            done += 1
            if what.isdigit():
                body: dict[str, Any] = {"error": {"message": f"said {what}"}}
                errors.append(_line(request["custom_id"], int(what), body))
                continue
            outputs.append(_line(request["custom_id"], 200, self.sell(request)))
            if what == "doubled":
                outputs.append(_line(request["custom_id"], 200, self.answer(request)))
        outputs.append(_line("of-somebody-else.1", 200, {"choices": []}))
        rng.shuffle(outputs)
        for name, lines in (("output", outputs), ("error", errors)):
            if lines:
                self.files[f"{name}_{number}"] = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                batch[f"_{name}"] = f"{name}_{number}"
        failed = sum(line["response"] is not None for line in errors)
        batch["_counts"] = {"total": len(requests), "completed": done - failed, "failed": failed}

    def sell(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.plan.sold is not None:
            digest = hashlib.sha256(json.dumps(request["body"], sort_keys=True).encode()).hexdigest()[:16]
            with self.plan.sold.open("a", encoding="utf-8") as sold:
                sold.write(f"{request['custom_id']}\t{digest}\t{PRICE // 2}\n")
        return self.answer(request)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        text = self.plan.response(request["body"])
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        choice |= self.plan.changes(request["body"])
        usage = {"prompt_tokens": 30, "completion_tokens": 5, "cost": PRICE / 2e9}
        return {"id": request["custom_id"], "model": request["body"]["model"], "choices": [choice], "usage": usage}

    def show(self, batch: dict[str, Any]) -> dict[str, Any]:
        looks = self.polls[batch["id"]] = self.polls.get(batch["id"], 0) + 1
        shown = {name: value for name, value in batch.items() if not name.startswith("_")}
        if looks > self.plan.polls:
            shown["status"] = batch["_ends"]
            shown["output_file_id"], shown["error_file_id"] = batch.get("_output"), batch.get("_error")
            shown["request_counts"], shown["errors"] = batch.get("_counts"), batch.get("_errors")
        return shown


def _line(name: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"r-{name}", "custom_id": name, "response": {"status_code": status, "body": body}, "error": None}


def _handler(state: _State) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/files"):
                self.answer("upload", lambda: self.upload(data))
            else:
                self.answer("create", lambda: state.create(json.loads(data)))

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path.endswith("/calls"):
                self.send(200, json.dumps(state.calls).encode())
            elif parts.path.endswith("/content"):
                self.answer("download", lambda: state.files[parts.path.split("/")[-2]])
            elif parts.path.endswith("/batches"):
                self.answer("list", lambda: self.listed(parse_qs(parts.query)))
            else:
                self.answer("poll", lambda: state.show(state.batches[parts.path.split("/")[-1]]))

        def upload(self, data: bytes) -> dict[str, str]:
            content = data.partition(b"application/jsonl\r\n\r\n")[2].partition(b"\r\n--")[0]
            name = f"file_{len(state.files)}"
            state.files[name] = content.decode()
            return {"id": name}

        def listed(self, query: dict[str, list[str]]) -> dict[str, Any]:
            every = [
                {name: value for name, value in one.items() if not name.startswith("_")}
                for one in reversed(state.batches.values())
            ]
            names = [one["id"] for one in every]
            start = names.index(query["after"][0]) + 1 if "after" in query else 0
            page = every[start : start + 3]  # short pages, so that there are several
            return {"data": page, "has_more": start + 3 < len(every)}

        def answer(self, call: str, act: Callable[[], Any]) -> None:
            with state.lock:
                number = state.calls[call]
                state.calls[call] += 1
                fault = state.plan.fault(call, number)
                if fault.isdigit():
                    return self.send(int(fault), json.dumps({"error": {"message": f"said {fault}"}}).encode())
                try:
                    made = act()
                except KeyError:
                    return self.send(404, b'{"error": {"message": "no such object"}}')
            body = (made if isinstance(made, str) else json.dumps(made)).encode()
            if fault == "cut":
                self.close_connection = True
            else:
                self.send(200, body, half=fault == "half")
            return None

        def send(self, status: int, body: bytes, *, half: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if half else body)
            self.close_connection = self.close_connection or half

    return Handler


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed says nothing worth printing."""


@dataclass(frozen=True)
class RunningBatches:
    url: str
    port: int

    def calls(self) -> dict[str, int]:
        """How often each kind of call was made."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
            link.sendall(b"GET /v1/calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            data = b""
            while piece := link.recv(4096):
                data += piece
        found: dict[str, int] = json.loads(data.partition(b"\r\n\r\n")[2])
        return found


@contextmanager
def running_batches(plan: BatchPlan) -> Iterator[RunningBatches]:
    """The provider in a forked process; ended with the block."""
    server = _Quiet(("127.0.0.1", 0), _handler(_State(plan)))
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    process.start()
    port = server.server_address[1]
    server.server_close()
    try:
        yield RunningBatches(f"http://127.0.0.1:{port}/v1", int(port))
    finally:
        process.kill()
        process.join()
