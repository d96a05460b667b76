"""The OpenAPI description of the HTTP interface."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from terakoya.runs.environment import package_version
from terakoya.serving.limits import Limits
from terakoya.serving.requests import ChatRequest, CompletionRequest

_NUMBER, _TEXT, _INTEGER = {"type": "number"}, {"type": "string"}, {"type": "integer"}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_ERROR = _object(error=_object(message=_TEXT, type=_TEXT, param=_nullable(_TEXT), code=_TEXT))
_DETAILS = {
    **_object(prediction=_nullable(_TEXT), probability=_nullable(_NUMBER), raw=_TEXT, reason=_nullable(_TEXT)),
    "description": "What the skill predicts: text (null where it is withheld or unreadable), probability of the whole "
    "output, output as generated, and why there is no text.",
}
_USAGE = _object(prompt_tokens=_INTEGER, completion_tokens=_INTEGER, total_tokens=_INTEGER)
_FINISH = {"type": "string", "enum": ["stop", "length", "content_filter"]}
_LOGPROBS = _nullable({"type": "object"})
_MODEL = _object(id=_TEXT, object={"const": "model"}, created=_INTEGER, owned_by=_TEXT)


def _completion(kind: str, **choice: Any) -> dict[str, Any]:
    parts = _object(index=_INTEGER, finish_reason=_FINISH, terakoya=_DETAILS, logprobs=_LOGPROBS, **choice)
    extra = _object(ignored=_array(_TEXT))
    return _object(
        id=_TEXT, object={"const": kind}, created=_INTEGER, model=_TEXT, choices=_array(parts), usage=_USAGE,
        terakoya=extra,
    )  # fmt: skip


_CHAT = _completion(
    "chat.completion",
    message=_object(role={"const": "assistant"}, content=_nullable(_TEXT), refusal=_nullable(_TEXT)),
)
_COMPLETION = _completion("text_completion", text=_TEXT)
_REFUSALS = {
    400: "not JSON, or a wrong Host",
    401: "without the token",
    403: "sent by a page of another site",
    404: "no such model",
    408: "the body came too slowly",
    413: "the body is too large",
    414: "the address is too long",
    415: "not application/json",
    421: "another Host",
    422: "a field is wrong, or a text too long",
    431: "the headers are too large",
    429: "too many texts wait; Retry-After says for how many seconds",
    504: "the predictions took too long",
}
_READ_REFUSALS = (400, 401, 403, 414, 421, 431)


def _responses(schema: Any, refusals: tuple[int, ...], content: str = "application/json") -> dict[str, Any]:
    found: dict[str, Any] = {"200": {"description": "done", "content": {content: {"schema": schema}}}}
    for status in refusals:
        error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        found[str(status)] = {"description": _REFUSALS[status], "content": error}
    if 429 in refusals:
        found["429"]["headers"] = {"Retry-After": {"schema": _INTEGER}}
    return found


def _get(summary: str, schema: Any, *, content: str = "application/json", more: tuple[int, ...] = ()) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": _responses(schema, (*_READ_REFUSALS, *more), content)}}


def _post(summary: str, body: str, schema: Any) -> dict[str, Any]:
    responses = _responses(schema, tuple(_REFUSALS))
    responses["200"]["content"]["text/event-stream"] = {
        "schema": {"description": "Chunks, each the data of one event; the last one is [DONE]."}
    }
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
    return {"post": {"summary": summary, "requestBody": {"required": True, "content": content}, "responses": responses}}


@cache
def description(limits: Limits) -> dict[str, Any]:
    """The description as OpenAPI 3.1.

    limits  of the server, stated in it
    """
    _refs, schemas = models_json_schema(
        [(ChatRequest, "validation"), (CompletionRequest, "validation")], ref_template="#/components/schemas/{model}"
    )
    model = _get("One skill.", _MODEL, more=(404,))
    model["get"]["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": _TEXT}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "terakoya serve",
            "version": package_version(),
            "description": f"Skills as OpenAI's clients call models. Limits: {limits.body_bytes:,} bytes a body, "
            f"{limits.characters:,} characters a text, {limits.prompts} texts a request, {limits.waiting} texts "
            f"waiting, {limits.seconds:g} s.",
        },
        "paths": {
            "/v1/chat/completions": _post("Predict for the last message.", "ChatRequest", _CHAT),
            "/v1/completions": _post("Predict for one text or several.", "CompletionRequest", _COMPLETION),
            "/v1/models": _get("The skills.", _object(object={"const": "list"}, data=_array(_MODEL))),
            "/v1/models/{model}": model,
            "/health": _get("Whether the server is up.", _object(status={"const": "ok"})),
            "/metrics": _get("Counts for Prometheus.", _TEXT, content="text/plain"),
            "/openapi.json": _get("This description.", {"type": "object"}),
        },
        "components": {
            "schemas": {**schemas["$defs"], "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }
