"""The login: its page, its cookie, and a brake on password guessing."""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from merau.engine.html import render
from merau.stream.ui.config import Login
from merau.stream.ui.i18n import localized, request_language

MAX_BODY_BYTES = 4096
MAX_LOGINS = 1000  # browsers logged in at a time; the one that was idle longest is logged out
IDLE_S = 12 * 3600.0  # a browser that asked for nothing for so long is logged out
MAX_ADDRESSES = 1000  # remembered; the oldest is forgotten
FORGET_S = 900.0  # wrong passwords count for so long after the last one


@dataclass(frozen=True)
class BrakeSettings:
    """How wrong passwords are slowed down.

    Attributes:
        free: Wrong passwords that are answered at once.
        first_s: Delay of the next attempt; it doubles with each further wrong password.
        longest_s: The delay grows no further, so that the right person waits no longer.
    """

    free: int
    first_s: float
    longest_s: float

    def delay_s(self, wrong: int) -> float:
        """Return the delay after `wrong` wrong passwords."""
        if wrong < self.free:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** min(wrong - self.free, 30))


OF_ADDRESS = BrakeSettings(free=5, first_s=1.0, longest_s=30.0)
OF_ACCOUNT = BrakeSettings(free=20, first_s=0.25, longest_s=4.0)  # of all addresses together
MAX_WAITING = 100  # attempts of all addresses


@dataclass
class Tally:
    """Wrong passwords of an address or of the account."""

    wrong: int = 0
    last_s: float = 0.0
    is_waiting: bool = False

    def count(self) -> int:
        """Return how many wrong passwords still count."""
        return self.wrong if time.monotonic() - self.last_s < FORGET_S else 0

    def add(self) -> None:
        """Count a wrong password."""
        self.wrong, self.last_s = self.count() + 1, time.monotonic()


class Brake:
    """Delays attempts after wrong passwords: by address, and by account against many addresses.

    An address has one attempt at a time that waits, so it gains nothing by asking in parallel.
    """

    def __init__(self) -> None:
        self._account = Tally()
        self._addresses: dict[str, Tally] = {}

    async def attempt(self, address: str, check: Callable[[], bool]) -> bool | None:
        """Wait as long as the brake demands, then check; None if too many attempts are waiting."""
        tally = self._addresses.setdefault(network_of(address), Tally())
        if len(self._addresses) > MAX_ADDRESSES:
            del self._addresses[next(iter(self._addresses))]
        delay_s = max(OF_ADDRESS.delay_s(tally.count()), OF_ACCOUNT.delay_s(self._account.count()))
        if delay_s:
            waiting = sum(each.is_waiting for each in self._addresses.values())
            if tally.is_waiting or waiting >= MAX_WAITING:
                return None
            tally.is_waiting = True
            try:
                await asyncio.sleep(delay_s)
            finally:
                tally.is_waiting = False
        if check():
            tally.wrong = 0
            return True
        tally.add()
        self._account.add()
        return False


class Logins:
    """Who is logged in, by a cookie that scripts and other sites cannot use."""

    def __init__(self, login: Login | None) -> None:
        self.login = login
        self._name = f"merau-{secrets.token_hex(4)}"  # cookies are shared by all ports of a host
        self._last_seen_s: dict[str, float] = {}
        self._brake = Brake()

    def is_logged_in(self, connection: HTTPConnection) -> bool:
        """Check the login cookie, and count it as used; always true where there is no login."""
        if self.login is None:
            return True
        token, now_s = self._token(connection), time.monotonic()
        last_s = self._last_seen_s.pop(token, None)
        if last_s is None or now_s - last_s > IDLE_S:
            return False
        self._last_seen_s[token] = now_s  # at the end: the first is the one that was idle longest
        return True

    async def log_in(self, request: Request) -> Response:
        """Answer the form of the login page, or of a script, which gets JSON."""
        address = request.client.host if request.client else ""
        if (fields := await _read_form(request)) is None:
            return PlainTextResponse(localized(request.scope, "The login is incomplete or too long."), 400)
        answer = await self._brake.attempt(address, lambda: self._is_right(*fields))
        if answer is None:
            text = localized(request.scope, "Too many wrong passwords. Please wait a moment.")
            return PlainTextResponse(text, 429, {"Retry-After": str(round(OF_ADDRESS.longest_s))})
        is_browser = "text/html" in request.headers.get("accept", "")
        if not answer:
            return login_page(request, is_wrong=True) if is_browser else JSONResponse({"success": False}, 401)
        path = _path(request)
        response = RedirectResponse(path, 303) if is_browser else JSONResponse({"success": True})
        token = secrets.token_urlsafe(32)
        self._last_seen_s[token] = time.monotonic()
        if len(self._last_seen_s) > MAX_LOGINS:
            del self._last_seen_s[next(iter(self._last_seen_s))]
        name = self._cookie(request)
        response.set_cookie(name, token, path=path, httponly=True, samesite="strict", secure=_is_secure(request))
        return response

    def log_out(self, request: Request) -> Response:
        """End the login of the browser that asks."""
        self._last_seen_s.pop(self._token(request), None)
        name, path = self._cookie(request), _path(request)
        response = RedirectResponse(path, 303)
        response.delete_cookie(name, path=path, httponly=True, samesite="strict", secure=_is_secure(request))
        return response

    def _is_right(self, user: str, password: str) -> bool:
        assert self.login is not None
        is_user = hmac.compare_digest(user.encode(), self.login.user.encode())
        return hmac.compare_digest(password.encode(), self.login.password.encode()) and is_user

    def _token(self, connection: HTTPConnection) -> str:
        return connection.cookies.get(self._cookie(connection), "")

    def _cookie(self, connection: HTTPConnection) -> str:
        """Return the cookie's name; by its prefix browsers hold it to TLS, and to the page's host or path."""
        if not _is_secure(connection):
            return self._name
        return f"{'__Secure-' if connection.scope['root_path'] else '__Host-'}{self._name}"


def _is_secure(connection: HTTPConnection) -> bool:
    return connection.url.scheme in ("https", "wss")


def _path(connection: HTTPConnection) -> str:
    """Return the path of the page."""
    return f"{connection.scope['root_path']}/"


def login_page(request: Request, *, is_wrong: bool = False) -> Response:
    """Return the page that asks for user and password."""
    texts = {
        "root": request.scope["root_path"],
        "title": localized(request.scope, "Log in"),
        "user": localized(request.scope, "User"),
        "password": localized(request.scope, "Password"),
        "error": localized(request.scope, "Wrong user or password.") if is_wrong else "",
    }
    page = render("merau.stream.ui", "static/login.html.j2", language=request_language(request.headers), **texts)
    return HTMLResponse(page, 401, {"Cache-Control": "no-store"})


def network_of(address: str) -> str:
    """Return the address that is counted: of IPv6 the network, which one person has as a whole."""
    try:
        return str(ip_network((address, 64), strict=False)) if ip_address(address).version == 6 else address
    except ValueError:
        return address


async def _read_form(request: Request) -> tuple[str, str] | None:
    """Read user and password; None if they are missing or the body is too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=8)
        return fields["username"][0], fields["password"][0]
    except (ValueError, KeyError):
        return None
