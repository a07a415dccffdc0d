"""Files that visitors send: recordings and heads of a bounded size, which nobody can fetch; no address is opened."""

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

VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
HEADS = (".safetensors",)
CLOSED = ("file=", "file/", "proxy=", "process_recording")  # Gradio's routes that hand out, fetch or take any file
AROUND = 100_000  # bytes of a request besides its file


class UploadMiddleware:
    """Around Gradio's application, whose own routes take every type of file, and open addresses for whoever asks."""

    def __init__(self, app: ASGIApp, limit_mb: int) -> None:
        self._app, self._limit_mb = app, limit_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(f"{API_PREFIX}/"):
            await self._app(scope, receive, send)
            return
        route = path.removeprefix(f"{API_PREFIX}/")
        if route.startswith(CLOSED):
            await PlainTextResponse(localized(scope, "There is nothing at this address."), 404)(scope, receive, send)
        elif route == "upload":
            await self._take(scope, receive, send)
        elif scope["method"] == "POST":
            await self._ask(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a file on to Gradio, which counts its bytes, and throw it away unless it is of a type that is used."""
        size = Headers(scope=scope).get("content-length", "")
        if not size.isdecimal() or int(size) > self._limit_mb * 2**20 + AROUND:
            text = localized(scope, "A file may have at most {size} MB.", size=self._limit_mb)
            await PlainTextResponse(text, 413)(scope, receive, send)
            return
        if int(size) > shutil.disk_usage(tempfile.gettempdir()).free / 2:
            text = localized(scope, "The disk of this server is nearly full.")
            await PlainTextResponse(text, 507)(scope, receive, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        if answer[0]["status"] == 200:
            files = [Path(name) for name in json.loads(b"".join(part.get("body", b"") for part in answer))]
            if any(file.suffix.lower() not in VIDEOS + HEADS for file in files):
                for file in files:
                    file.unlink(missing_ok=True)
                text = localized(scope, "Files of this type are not accepted.")
                await PlainTextResponse(text, 415)(scope, receive, send)
                return
        for message in answer:
            await send(message)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on unless it names an address in place of a file that was sent."""
        body = await Request(scope, receive).body()
        if names_address(body):
            text = localized(scope, "Files must be uploaded; addresses are not opened.")
            await PlainTextResponse(text, 403)(scope, receive, send)
            return
        read: list[Message] = [{"type": "http.request", "body": body}]

        async def again() -> Message:
            return read.pop() if read else await receive()

        await self._app(scope, again, send)


def names_address(body: bytes) -> bool:
    """Whether any file in this JSON is an address."""
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
