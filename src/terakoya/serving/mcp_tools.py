"""The skills as tools of the Model Context Protocol: one tool for each, which takes a text."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from starlette.routing import Route

from terakoya.models.protocol import Query
from terakoya.runs.environment import package_version
from terakoya.serving.app import Service
from terakoya.serving.errors import RequestError
from terakoya.serving.requests import check_text
from terakoya.serving.responses import details
from terakoya.serving.skills import ServedSkill

PATH = "/mcp"
_OUTPUT = {
    "type": "object",
    "properties": {
        "prediction": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "null where it is withheld"},
        "probability": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "raw": {"type": "string", "description": "the output as generated"},
        "reason": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "why there is no prediction"},
    },
    "required": ["prediction", "probability", "raw", "reason"],
}


def tool_names(skills: Mapping[str, ServedSkill]) -> dict[str, str]:
    """Tool name → name of the skill: letters, digits, "_" and "-", at most 64, each once.

    skills  by name
    """
    names: dict[str, str] = {}
    for number, name in enumerate(skills, 1):
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:60] or "skill"
        names[plain if plain not in names else f"{plain}_{number}"] = name
    return names


def mcp_server(service: Service) -> Server[Any]:
    """The server of the protocol, over any transport.

    service  skills and what waits for them
    """
    names, limits = tool_names(service.skills), service.limits

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(tool, service.skills[name]) for tool, name in names.items()])

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name not in names:
            return _error(f"There is no such tool. Tools: {', '.join(names)}")
        given = params.arguments or {}
        text = given.get("text")
        if set(given) != {"text"} or not isinstance(text, str):
            return _error('The arguments are one text: {"text": "…"}')
        try:
            text.encode()
            check_text(text, limits, "text")
            outputs = await service.predict(service.skills[names[params.name]], (Query(text),))
        except RequestError as error:
            return _error(error.message)
        except UnicodeEncodeError:
            return _error("The text holds half of a pair of surrogates.")
        return _result(details(outputs[0]))

    def _tool(tool: str, skill: ServedSkill) -> types.Tool:
        text = {"type": "string", "minLength": 1, "maxLength": limits.characters}
        return types.Tool(
            name=tool,
            title=skill.name,
            description=f"{skill.skill.task.instruction or skill.skill.task.name}: one text in, one prediction out, "
            "with its probability; no prediction where the skill is unsure.",
            input_schema={
                "type": "object",
                "properties": {"text": text},
                "required": ["text"],
                "additionalProperties": False,
            },
            output_schema=_OUTPUT,
            annotations=types.ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
        )

    return Server("terakoya", version=package_version(), on_list_tools=list_tools, on_call_tool=call_tool)


def _result(about: dict[str, Any]) -> types.CallToolResult:
    text = about["prediction"]
    shown = text if text is not None else json.dumps({"prediction": None, "reason": about["reason"]})
    return types.CallToolResult(content=[types.TextContent(type="text", text=shown)], structured_content=about)


def _error(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=message)], is_error=True)


def http_endpoint(service: Service) -> tuple[Route, StreamableHTTPSessionManager]:
    """The route of the streamable HTTP transport, and its manager, which runs while the server does.

    service  skills and what waits for them
    Host, Origin and token are checked before it, by `security`. It keeps no sessions: a call is one request.
    """
    manager = StreamableHTTPSessionManager(
        mcp_server(service), json_response=True, stateless=True, max_request_body_size=service.limits.body_bytes
    )
    return Route(PATH, StreamableHTTPASGIApp(manager)), manager


async def run_stdio(service: Service) -> None:
    """Serve over standard input and output until the input ends, or SIGTERM.

    service  skills and what waits for them
    """
    server = mcp_server(service)
    loop = asyncio.get_running_loop()
    ending: list[asyncio.Task[None]] = []
    loop.add_signal_handler(signal.SIGTERM, lambda: ending.append(loop.create_task(_end(service))))
    try:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        service.close()


async def _end(service: Service) -> None:
    """Wait for what was begun, then end the process: the thread that reads standard input cannot be woken."""
    while service.queue.waiting:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # until the last result is written
    os._exit(0)
