"""Middleware around Gradio's application: which files requests may carry."""

import json
import shutil
import tempfile
from pathlib import Path

from gradio.route_utils import API_PREFIX
from gradio_client.utils import is_http_url_like
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from merau.stream.ui.i18n import localized

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
HEAD_SUFFIXES = (".safetensors",)
CLOSED_ROUTES = ("file=", "file/", "proxy=", "process_recording")  # Gradio's, which hand out, fetch or take any file
MAX_FORM_BYTES = 100_000  # of an upload, besides its file


class UploadMiddleware:
    """Restricts Gradio's routes for files, which take every type of file and fetch any address.

    Only recordings and heads of a limited size may be uploaded. No file is handed out, and no address is opened.
    """

    def __init__(self, app: ASGIApp, limit_mb: int) -> None:
        self._app, self._limit_mb = app, limit_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(f"{API_PREFIX}/"):
            await self._app(scope, receive, send)
            return
        route = path.removeprefix(f"{API_PREFIX}/")
        if route.startswith(CLOSED_ROUTES):
            await PlainTextResponse(localized(scope, "There is nothing at this address."), 404)(scope, receive, send)
        elif route == "upload":
            await self._upload(scope, receive, send)
        elif scope["method"] == "POST":
            await self._reject_addresses(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a file on to Gradio, which counts its bytes, and delete it unless its type is allowed."""
        if refusal := self._refuse_size(scope):
            await refusal(scope, receive, send)
            return
        answer: list[Message] = []

        async def collect(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, collect)
        if answer[0]["status"] == 200:
            files = [Path(name) for name in json.loads(b"".join(part.get("body", b"") for part in answer))]
            if any(file.suffix.lower() not in VIDEO_SUFFIXES + HEAD_SUFFIXES for file in files):
                for file in files:
                    file.unlink(missing_ok=True)
                text = localized(scope, "Files of this type are not accepted.")
                await PlainTextResponse(text, 415)(scope, receive, send)
                return
        for message in answer:
            await send(message)

    def _refuse_size(self, scope: Scope) -> PlainTextResponse | None:
        content_length = Headers(scope=scope).get("content-length", "")
        if not content_length.isdecimal() or int(content_length) > self._limit_mb * 2**20 + MAX_FORM_BYTES:
            return PlainTextResponse(localized(scope, "A file may have at most {size} MB.", size=self._limit_mb), 413)
        if int(content_length) > shutil.disk_usage(tempfile.gettempdir()).free / 2:
            return PlainTextResponse(localized(scope, "The disk of this server is nearly full."), 507)
        return None

    async def _reject_addresses(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on unless it gives an address in place of an uploaded file."""
        body = await Request(scope, receive).body()
        if names_address(body):
            text = localized(scope, "Files must be uploaded; addresses are not opened.")
            await PlainTextResponse(text, 403)(scope, receive, send)
            return
        unread: list[Message] = [{"type": "http.request", "body": body}]

        async def receive_again() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, receive_again, send)


def names_address(body: bytes) -> bool:
    """Check whether any file in a JSON request is an address."""
    try:
        parts = [json.loads(body)]
    except ValueError:
        return False
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if is_http_url_like(part.get("path")):
                return True
            parts.extend(part.values())
        elif isinstance(part, list):
            parts.extend(part)
    return False
