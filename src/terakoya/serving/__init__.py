"""Trained skills over HTTP and MCP: `serve(runs)`. Starlette, uvicorn and mcp are imported here and nowhere else.

`server` opens the skills and runs until SIGTERM; `security` decides which requests come in at all; `app` routes them,
`requests` checks their bodies, `batching` predicts what waits together, `responses` writes what OpenAI's clients read.
"""

from terakoya.serving.background import refuse_running_loop, serve_in_background
from terakoya.serving.limits import Limits
from terakoya.serving.server import Address, Serving, serve

__all__ = ["Address", "Limits", "Serving", "refuse_running_loop", "serve", "serve_in_background"]
