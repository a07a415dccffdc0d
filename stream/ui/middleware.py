"""Middleware around Gradio's application: who may send requests, and which files they may carry."""

import asyncio
import json
import shutil
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from gradio.route_utils import API_PREFIX
from gradio_client.utils import is_http_url_like
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from merau.stream.ui.config import UiSettings
from merau.stream.ui.i18n import localized

FREE_ATTEMPTS = 5  # passwords that an address may try without delay
ATTEMPT_DELAY_S = 2.0  # before each further one
MAX_ADDRESSES = 1000  # remembered; the oldest is forgotten

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
HEAD_SUFFIXES = (".safetensors",)
CLOSED_ROUTES = ("file=", "file/", "proxy=", "process_recording")  # Gradio's, which hand out, fetch or take any file
MAX_FORM_BYTES = 100_000  # of an upload, besides its file


class AccessMiddleware:
    """Rejects foreign Host headers on a page without a login, and slows down password guessing."""

    def __init__(self, app: ASGIApp, settings: UiSettings) -> None:
        self._app, self._settings = app, settings
        self._attempts: dict[str, tuple[int, float]] = {}  # by address: their number, and when the next one may start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif self._settings.is_local and not is_loopback(Headers(scope=scope).get("host", "")):
            # DNS rebinding: a foreign site can point its name at this machine, and would then read our responses.
            text = localized(
                scope,
                "This page is for this computer only: open it at http://localhost, or serve it with --auth USER:FILE.",
            )
            await PlainTextResponse(text, 403)(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/") == "/login":
            await self._log_in(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope["client"] else ""
        attempts, next_s = self._attempts.get(address, (0, 0.0))
        now_s = time.monotonic()
        delay_s = max(0.0, next_s - now_s)
        if delay_s > ATTEMPT_DELAY_S:  # another attempt of this address is waiting already
            text = localized(scope, "Too many wrong passwords. Please wait a moment.")
            await PlainTextResponse(text, 429)(scope, receive, send)
            return
        is_free = attempts + 1 < FREE_ATTEMPTS
        self._attempts[address] = (attempts + 1, 0.0 if is_free else now_s + delay_s + ATTEMPT_DELAY_S)
        if len(self._attempts) > MAX_ADDRESSES:
            del self._attempts[next(iter(self._attempts))]
        await asyncio.sleep(delay_s)

        async def forget_after_success(message: Message) -> None:
            if message.get("status") == 200:
                self._attempts.pop(address, None)
            await send(message)

        await self._app(scope, receive, forget_after_success)


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


def is_loopback(host: str) -> bool:
    """Check whether a Host header names the machine that sent it."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


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
