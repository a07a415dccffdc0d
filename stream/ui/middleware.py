"""What every request passes before it comes to Gradio: a look at its Host, and a brake on guessing the password."""

import asyncio
import time
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from merau.stream.ui.config import UiSettings
from merau.stream.ui.i18n import localized

FREE = 5  # passwords that an address may try at once
WAIT_S = 2.0  # before each further one
ADDRESSES = 1000  # remembered; the oldest is forgotten


def on_loopback(host: str) -> bool:
    """Whether a Host header names the machine of whoever asks."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


class AccessMiddleware:
    """Around Gradio's application."""

    def __init__(self, app: ASGIApp, settings: UiSettings) -> None:
        self._app, self._settings = app, settings
        self._tried: dict[str, tuple[int, float]] = {}  # by address: how often, and when it may try again

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif self._settings.local and not on_loopback(Headers(scope=scope).get("host", "")):
            # A foreign site can give its name this machine's address (DNS rebinding), and then read what we answer.
            reason = localized(
                scope,
                "This page is for this computer only: open it at http://localhost, or serve it with --auth USER:FILE.",
            )
            await PlainTextResponse(reason, 403)(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/") == "/login":
            await self._log_in(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope["client"] else ""
        tries, next_s = self._tried.get(address, (0, 0.0))
        now_s = time.monotonic()
        wait_s = max(0.0, next_s - now_s)
        if wait_s > WAIT_S:  # another one waits already
            text = localized(scope, "Too many wrong passwords. Please wait a moment.")
            await PlainTextResponse(text, 429)(scope, receive, send)
            return
        self._tried[address] = (tries + 1, now_s + wait_s + WAIT_S if tries + 1 >= FREE else 0.0)
        if len(self._tried) > ADDRESSES:
            del self._tried[next(iter(self._tried))]
        await asyncio.sleep(wait_s)

        async def answer(message: Message) -> None:
            if message.get("status") == 200:
                self._tried.pop(address, None)
            await send(message)

        await self._app(scope, receive, answer)
