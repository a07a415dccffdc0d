"""Middleware around Gradio's application: which files requests may carry."""

import asyncio
import json
import re
import shutil
import tempfile
from pathlib import Path

from gradio.route_utils import API_PREFIX
from gradio_client.utils import is_http_url_like
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from merau.stream.ui.i18n import localized

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
HEAD_SUFFIXES = (".safetensors",)
CLOSED_ROUTES = ("file=", "file/", "proxy=", "process_recording")  # Gradio's, which hand out, fetch or take any file
MAX_FORM_BYTES = 100_000  # of an upload, besides its file
MAX_BODY_BYTES = 4_000_000  # of any other request; the largest is a webcam's picture
MAX_BODIES = 32  # that are read at a time
MAX_DEPTH = 50  # of JSON
BODY_S = 30.0  # the next part of a body must arrive within this time
MAX_UPLOADS, MAX_UPLOADS_OF_ADDRESS = 8, 2  # that are received at a time
MAX_KEPT, MAX_KEPT_OF_ADDRESS = 20, 4  # uploaded files that wait for their analysis

TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # an open one takes the rest, so that time stays linear
BRACKETS = re.compile(rb"[^][{}]+")


class UploadMiddleware:
    """Restricts Gradio's routes for files, which take every type of file and fetch any address.

    Only recordings and heads of a limited size may be uploaded. No file is handed out, and no address is opened.
    """

    def __init__(self, app: ASGIApp, limit_mb: int, reserve_mb: int) -> None:
        self._app, self._limit_mb, self._reserve_bytes = app, limit_mb, reserve_mb * 2**20
        self._bodies = asyncio.Semaphore(MAX_BODIES)
        self._arriving: list[tuple[str, int]] = []  # address and size of each upload that is being received
        self._kept: dict[Path, str] = {}  # uploaded files with the address that they came from

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
        address = scope["client"][0] if scope["client"] else ""
        if refusal := self._refuse_size(scope) or self._refuse_number(scope, address):
            await refusal(scope, receive, send)
            return
        upload = (address, int(Headers(scope=scope)["content-length"]))
        self._arriving.append(upload)
        answer: list[Message] = []

        async def collect(message: Message) -> None:
            answer.append(message)

        try:
            await self._app(scope, _impatient(receive), collect)
        except ClientDisconnect:
            return
        finally:
            self._arriving.remove(upload)
        if answer[0]["status"] == 200:
            files = [Path(name) for name in json.loads(b"".join(part.get("body", b"") for part in answer))]
            is_allowed = all(file.suffix.lower() in VIDEO_SUFFIXES + HEAD_SUFFIXES for file in files)
            if len(files) != 1 or not is_allowed:
                for file in files:
                    file.unlink(missing_ok=True)
                text = localized(scope, "Files of this type are not accepted.")
                await PlainTextResponse(text, 415)(scope, receive, send)
                return
            self._kept[files[0]] = address
        for message in answer:
            await send(message)

    def _refuse_size(self, scope: Scope) -> PlainTextResponse | None:
        content_length = Headers(scope=scope).get("content-length", "")
        if not content_length.isdecimal() or int(content_length) > self._limit_mb * 2**20 + MAX_FORM_BYTES:
            return PlainTextResponse(localized(scope, "A file may have at most {size} MB.", size=self._limit_mb), 413)
        arriving = sum(size for _, size in self._arriving) + int(content_length)
        if shutil.disk_usage(tempfile.gettempdir()).free - arriving < self._reserve_bytes:
            return PlainTextResponse(localized(scope, "The disk of this server is nearly full."), 507)
        return None

    def _refuse_number(self, scope: Scope, address: str) -> PlainTextResponse | None:
        self._kept = {path: source for path, source in self._kept.items() if path.exists()}
        arriving, kept = [source for source, _ in self._arriving], list(self._kept.values())
        too_many = len(arriving) >= MAX_UPLOADS or len(kept) >= MAX_KEPT
        too_many_here = arriving.count(address) >= MAX_UPLOADS_OF_ADDRESS or kept.count(address) >= MAX_KEPT_OF_ADDRESS
        if not (too_many or too_many_here):
            return None
        return PlainTextResponse(
            localized(scope, "Too many files are waiting. Please try again in a few minutes."), 429
        )

    async def _reject_addresses(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on unless it gives an address in place of an uploaded file."""
        async with self._bodies:
            body = await _read_body(scope, _impatient(receive))
        if body is None or is_deep(body):
            await PlainTextResponse(localized(scope, "The request is too large."), 413)(scope, receive, send)
            return
        if names_address(body):
            text = localized(scope, "Files must be uploaded; addresses are not opened.")
            await PlainTextResponse(text, 403)(scope, receive, send)
            return
        unread: list[Message] = [{"type": "http.request", "body": body}]

        async def receive_again() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, receive_again, send)


def is_deep(body: bytes) -> bool:
    """Check whether brackets are nested too deeply for a JSON parser; those in texts do not count."""
    level = 0
    for bracket in BRACKETS.sub(b"", TEXTS.sub(b"", body)):
        level += 1 if bracket in b"[{" else -1
        if level > MAX_DEPTH:
            return True
    return False


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    """Read a request's body; None if it is too long or breaks off."""
    announced = Headers(scope=scope).get("content-length", "0")
    if not announced.isdecimal() or int(announced) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    try:
        async for part in Request(scope, receive).stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                return None
    except ClientDisconnect:
        return None
    return bytes(body)


def _impatient(receive: Receive) -> Receive:
    """Take a sender that pauses for too long as gone."""

    async def receive_soon() -> Message:
        try:
            async with asyncio.timeout(BODY_S):
                return await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}

    return receive_soon


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
