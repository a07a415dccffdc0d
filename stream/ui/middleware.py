"""Middleware around Gradio's application: which files requests may carry."""

import asyncio
import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gradio.route_utils import API_PREFIX
from gradio_client.utils import is_http_url_like
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from merau.stream.ui.guard import route_of
from merau.stream.ui.i18n import localized
from merau.stream.ui.upload_form import UploadForm

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
HEAD_SUFFIXES = (".safetensors",)
CLOSED_ROUTES = ("file=", "file/", "proxy=", "process_recording")  # Gradio's, which hand out, fetch or take any file
MAX_FORM_BYTES = 100_000  # of an upload, besides its file
MAX_BODY_BYTES = 4_000_000  # of any other request; the largest is a webcam's picture
MAX_BODIES = 32  # that are read at a time
MAX_DEPTH = 50  # of JSON
BODY_S = 30.0  # the next part of a body must arrive within this time
MAX_ARRIVING = {"server": 8, "address": 4, "page": 1}  # uploads that are received at a time
MAX_KEPT = {"server": 20, "address": 8, "page": 2}  # uploaded files that wait for their analysis

TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # an open one takes the rest, so that time stays linear
BRACKETS = re.compile(rb"[^][{}]+")


class Upload(NamedTuple):
    """An upload: the address and the page that it comes from, and its size in bytes."""

    address: str
    token: str
    size: int


class UploadMiddleware:
    """Restricts Gradio's routes for files, which take every type of file and fetch any address.

    Only recordings and heads of a limited size may be uploaded, each by an open page. No file is handed out, and no
    address is opened.

    Args:
        app: What it guards.
        limit_mb: Largest file that may be uploaded.
        reserve_mb: Uploads leave so much of the disk free.
        is_open: Whether a token is that of an open page.
    """

    def __init__(self, app: ASGIApp, limit_mb: int, reserve_mb: int, is_open: Callable[[str], bool]) -> None:
        self._app, self._limit_mb, self._reserve_bytes = app, limit_mb, reserve_mb * 2**20
        self._is_open = is_open
        self._bodies = asyncio.Semaphore(MAX_BODIES)
        self._arriving: list[Upload] = []
        self._kept: dict[Path, Upload] = {}  # by the file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not (path := route_of(scope)).startswith(f"{API_PREFIX}/"):
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
        """Pass a file on to Gradio, which counts its bytes, unless its type is not allowed."""
        headers, token = Headers(scope=scope), QueryParams(scope["query_string"]).get("token", "")
        address = scope["client"][0] if scope["client"] else ""
        form = UploadForm(headers.get("content-type", ""), VIDEO_SUFFIXES + HEAD_SUFFIXES)
        wrong_type = PlainTextResponse(localized(scope, "Files of this type are not accepted."), 415)
        refusal = self._refuse_size(scope) or self._refuse_page(scope, address, token)
        if refusal := refusal or (wrong_type if form.is_refused else None):
            await refusal(scope, receive, send)
            return
        upload = Upload(address, token, int(headers["content-length"]))
        self._arriving.append(upload)
        answer: list[Message] = []
        receive_soon = _impatient(receive)

        async def receive_checked() -> Message:
            message = await receive_soon()
            form.feed(message.get("body", b""))
            return {"type": "http.disconnect"} if form.is_refused else message

        async def collect(message: Message) -> None:
            answer.append(message)

        try:
            await self._app(scope, receive_checked, collect)
        except ClientDisconnect:
            if form.is_refused:
                await wrong_type(scope, receive, send)
            return
        finally:
            self._arriving.remove(upload)
        if answer[0]["status"] == 200:
            files = json.loads(b"".join(part.get("body", b"") for part in answer))
            self._kept |= {Path(file): upload for file in files}
        for message in answer:
            await send(message)

    def _refuse_size(self, scope: Scope) -> PlainTextResponse | None:
        content_length = Headers(scope=scope).get("content-length", "")
        if not content_length.isdecimal() or int(content_length) > self._limit_mb * 2**20 + MAX_FORM_BYTES:
            return PlainTextResponse(localized(scope, "A file may have at most {size} MB.", size=self._limit_mb), 413)
        arriving = sum(upload.size for upload in self._arriving) + int(content_length)
        if shutil.disk_usage(tempfile.gettempdir()).free - arriving < self._reserve_bytes:
            return PlainTextResponse(localized(scope, "The disk of this server is nearly full."), 507)
        return None

    def _refuse_page(self, scope: Scope, address: str, token: str) -> PlainTextResponse | None:
        if not self._is_open(token):
            return PlainTextResponse(localized(scope, "This page has expired. Please reload it."), 403)
        self._kept = {path: upload for path, upload in self._kept.items() if path.exists()}
        for uploads, limits in ((self._arriving, MAX_ARRIVING), (list(self._kept.values()), MAX_KEPT)):
            numbers = {
                "server": len(uploads),
                "address": sum(upload.address == address for upload in uploads),
                "page": sum(upload.token == token for upload in uploads),
            }
            if any(numbers[whose] >= limits[whose] for whose in limits):
                text = localized(scope, "Too many files are waiting. Please try again in a few minutes.")
                return PlainTextResponse(text, 429)
        return None

    async def _reject_addresses(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on unless it gives an address in place of an uploaded file."""
        async with self._bodies:
            body = await _read_body(scope, _impatient(receive))
        if body is None or is_deep(body):
            await PlainTextResponse(localized(scope, "The request is too large."), 413)(scope, receive, send)
            return
        if not is_finite(body):
            await PlainTextResponse(localized(scope, "The request cannot be read."), 400)(scope, receive, send)
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


def is_finite(body: bytes) -> bool:
    """Check whether all numbers of a JSON request are finite: Gradio cannot answer with others, which Python reads."""
    try:
        json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except OverflowError:
        return False
    except ValueError:
        pass
    return True


def _finite(text: str) -> float:
    return value if math.isfinite(value := float(text)) else _refuse(text)


def _refuse(text: str) -> float:
    raise OverflowError(text)


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
