"""What a form sends: read within limits, and every value checked against what was offered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from terakoya.i18n import _
from terakoya.serving.errors import RequestError

MAX_FORM, MAX_UPLOAD = 1 << 20, 256 << 20  # bytes of a form without and with a file
_KINDS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True)
class Upload:
    """A file that was sent: the name that the browser gave it, its content, and its size in bytes."""

    name: str
    content: BinaryIO
    size: int


@dataclass(frozen=True)
class Form:
    """The fields of a form by name, each with all its values, and its files."""

    values: Mapping[str, tuple[str, ...]]
    files: Mapping[str, Upload]

    def text(self, name: str, *, longest: int = 10_000) -> str:
        """The value of a field, "" where it was not sent.

        name     of the field
        longest  characters at most
        Raises RequestError where it is longer, or was sent several times.
        """
        given = self.values.get(name, ())
        if len(given) > 1 or (given and len(given[0]) > longest):
            words = _("A field is too long, or was sent several times.")
            raise RequestError(422, words, code="invalid_value", param=name)
        return given[0].replace("\r\n", "\n") if given else ""

    def choice(self, name: str, choices: Collection[str], default: str = "") -> str:
        """The value of a field that offers choices.

        name     of the field
        choices  what was offered
        default  where nothing was sent
        Raises RequestError for anything else.
        """
        given = self.text(name)
        if given and given not in choices:
            words = _("This is none of the choices offered.")
            raise RequestError(422, words, code="invalid_value", param=name)
        return given or default


View = Callable[[Request, Form], Response]


def post(path: str, view: View, *, upload: bool = False) -> Route:
    """A route for a form.

    path    of the route
    view    called in a thread with the request and its form
    upload  whether files may be sent
    """

    async def endpoint(request: Request) -> Response:
        form, close = await read_form(request, upload=upload)
        try:
            return await run_in_threadpool(view, request, form)
        finally:
            await close()

    return Route(path, endpoint, methods=["POST"])


async def read_form(request: Request, *, upload: bool) -> tuple[Form, Callable[[], Any]]:
    """The form that a request sends, and the function that closes its files.

    request  whose body was not read yet
    upload   whether files may be sent
    Raises RequestError: 413 for a body beyond the limit, 415 for another kind of body, 422 for a damaged one.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _KINDS[: 1 + upload]:
        raise RequestError(415, _("The body must be a form."), code="unsupported_media_type")
    limit = MAX_UPLOAD if kind == _KINDS[1] else MAX_FORM
    limited, size = request._receive, 0

    async def receive() -> Message:
        nonlocal size
        message = await limited()
        size += len(message.get("body", b""))
        if size > limit:
            words = _("This is larger than {limit:,} bytes, the most that is read here.", limit=limit)
            raise RequestError(413, words, code="body_too_large")
        return message

    bounded = Request(request.scope, receive)
    try:
        data = await bounded.form(max_files=1, max_fields=200, max_part_size=MAX_FORM)
    except (MultiPartException, UnicodeDecodeError) as error:
        raise RequestError(422, _("The form cannot be read."), code="invalid_form") from error
    values: dict[str, list[str]] = {}
    files: dict[str, Upload] = {}
    for name, value in data.multi_items():
        if isinstance(value, UploadFile):
            files[name] = Upload(value.filename or "", value.file, value.size or 0)
        else:
            values.setdefault(name, []).append(value)
    return Form({name: tuple(given) for name, given in values.items()}, files), bounded.close


def suffix_of(name: str, allowed: Collection[str]) -> str:
    """The suffix of an uploaded file's name, lower case.

    name     as the browser gave it; no part of it is used as a path
    allowed  suffixes that may be uploaded
    Raises RequestError for another one.
    """
    suffix = Path(name.replace("\\", "/").rpartition("/")[2]).suffix.lower()
    if suffix not in allowed:
        kinds = ", ".join(sorted(allowed))
        words = _("Only tables are read here: {kinds}", kinds=kinds)
        raise RequestError(422, words, code="invalid_value", param="file")
    return suffix
