"""The bodies of requests: read within limits, checked, and turned into queries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from terakoya.models.protocol import Query
from terakoya.records import Turn
from terakoya.serving.errors import RequestError
from terakoya.serving.limits import Limits
from terakoya.serving.skills import ServedSkill

_DRAINED = 16  # bodies of up to so many times the limit are read to their end, so that the refusal reaches the client
_NOT_JSON = "The body is not JSON in UTF-8."


class _Body(BaseModel):
    """What both kinds of request share. Fields that are not named here are accepted, reported and have no effect."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str = Field(max_length=256, description="Name of the skill, from /v1/models.")
    stream: bool | None = Field(None, description="Send the response as server-sent events.")
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = Field(None, description="A skill has one prediction for a text.")


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="allow", strict=True)

    include_usage: bool | None = Field(None, description="Send the token counts in a last chunk.")


class TextPart(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="allow", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1, max_length=64)] = Field(description="Text only.")

    @property
    def text(self) -> str:
        """The text of all parts."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ResponseFormat(BaseModel):
    """How the prediction is written: a skill has its own form."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: Literal["text"]


class ChatRequest(_Body):
    """The body of /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)] = Field(
        description="The last one is the user's, and is predicted for. The others count where the skill was trained on "
        "conversations."
    )
    logprobs: bool | None = Field(None, description="Report the log-probability of each token of the output.")
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    functions: Annotated[list[Any], Field(max_length=0)] | None = None


class CompletionRequest(_Body):
    """The body of /v1/completions."""

    prompt: str | Annotated[list[str], Field(min_length=1)] = Field(description="A text, or several.")
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: Literal[False] | None = None
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None


_NO_EFFECT = ("user", "metadata", "store")  # what changes no prediction of anybody's


@dataclass(frozen=True)
class Given:
    """A request as it is carried out.

    queries   one for each prediction
    ignored   what the client sent that has no effect here, by name
    logprobs  most probable alternatives to report for each token; None where none are wanted
    stream    whether the response is a stream
    usage     whether the stream ends with the token counts
    chat      whether it is a chat completion
    """

    queries: tuple[Query, ...]
    ignored: tuple[str, ...]
    logprobs: int | None
    stream: bool
    usage: bool
    chat: bool


async def read_json(request: Request, limits: Limits) -> Any:
    """The JSON body of `request`, read within `limits`. Raises RequestError."""
    kind, _semicolon, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json":
        raise RequestError(415, "The body must be application/json.", code="unsupported_media_type")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if charset not in ("", "utf-8", "utf8"):
        raise RequestError(415, "The body must be in UTF-8.", code="unsupported_media_type")
    try:
        async with asyncio.timeout(limits.seconds):
            body = await _read(request, limits.body_bytes)
    except TimeoutError as error:
        raise RequestError(408, "The body came too slowly.", code="timeout") from error
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:  # half of a pair of surrogates is no text
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError(400, _NOT_JSON, code="invalid_json") from error
    return value


async def _read(request: Request, limit: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > _DRAINED * limit:
            break
    if size > limit:
        raise RequestError(413, f"The body is larger than {limit:,} bytes.", code="body_too_large")
    return b"".join(chunks)


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def parse_chat(value: Any, skills: Mapping[str, ServedSkill], limits: Limits) -> tuple[ServedSkill, Given]:
    """The skill and the query of a chat request.

    value   the parsed body
    skills  by name
    limits  of the server
    Raises RequestError.
    """
    body = _validated(ChatRequest, value)
    skill = _skill(body.model, skills)
    if len(body.messages) > limits.messages:
        raise RequestError(422, f"More than {limits.messages} messages.", code="too_many_messages", param="messages")
    *before, last = body.messages
    if last.role != "user":
        raise RequestError(422, "The last message must be the user's.", code="invalid_value", param="messages")
    ignored = _ignored(body)
    turns: tuple[Turn, ...] = ()
    if skill.skill.converses:
        turns = tuple(Turn("system" if one.role == "developer" else one.role, one.text) for one in before)
    elif before:
        ignored = ("messages before the last one", *ignored)
    check_text(last.text, limits, "messages")
    if sum(len(turn.content) for turn in turns) > limits.characters:
        raise _too_long(limits, "messages")
    top = (body.top_logprobs or 0) if body.logprobs else None
    usage = bool(body.stream_options and body.stream_options.include_usage)
    return skill, Given((Query(last.text, turns),), ignored, top, bool(body.stream), usage, True)


def parse_completion(value: Any, skills: Mapping[str, ServedSkill], limits: Limits) -> tuple[ServedSkill, Given]:
    """The skill and the queries of a completion request.

    value   the parsed body
    skills  by name
    limits  of the server
    Raises RequestError.
    """
    body = _validated(CompletionRequest, value)
    skill = _skill(body.model, skills)
    texts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(texts) > limits.prompts:
        raise RequestError(422, f"More than {limits.prompts} texts.", code="too_many_prompts", param="prompt")
    for text in texts:
        check_text(text, limits, "prompt")
    usage = bool(body.stream_options and body.stream_options.include_usage)
    queries = tuple(map(Query, texts))
    return skill, Given(queries, _ignored(body), body.logprobs, bool(body.stream), usage, False)


def check_text(text: str, limits: Limits, param: str) -> None:
    """Refuse a `text` that is empty or longer than `limits` allow, naming the field `param`. Raises RequestError."""
    if not text:
        raise RequestError(422, "The text is empty.", code="empty_text", param=param)
    if len(text) > limits.characters:
        raise _too_long(limits, param)


def _too_long(limits: Limits, param: str) -> RequestError:
    message = f"The text is longer than {limits.characters:,} characters."
    return RequestError(422, message, code="context_length_exceeded", param=param)


def _validated(kind: type[Any], value: Any) -> Any:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        # Names of our own fields only: whatever else the client sent is not repeated.
        param = str(first["loc"][0]) if first["loc"] and first["loc"][0] in kind.model_fields else ""
        raise RequestError(422, str(first["msg"]), code="invalid_value", param=param) from error


def _skill(name: str, skills: Mapping[str, ServedSkill]) -> ServedSkill:
    if name not in skills:
        known = ", ".join(skills)
        raise RequestError(404, f"There is no such model. Served: {known}", code="model_not_found", param="model")
    return skills[name]


def _ignored(body: BaseModel) -> tuple[str, ...]:
    """Names of fields that were sent and change nothing; of unknown ones only those that look like a name."""
    extra = body.model_extra or {}
    return tuple(
        sorted(
            name
            for name, value in extra.items()
            if value is not None
            and name not in _NO_EFFECT
            and name.isidentifier()
            and name.isascii()
            and len(name) < 40
        )
    )[:20]
