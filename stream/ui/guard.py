"""The outermost layer of the page: who may ask, from where, under which name; and the headers of every answer."""

import socket
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from merau.stream.ui.config import UiSettings
from merau.stream.ui.i18n import localized
from merau.stream.ui.login import Logins, login_page

FORWARDED = {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port"}
FORWARDED |= {b"x-forwarded-prefix", b"x-real-ip", b"x-gradio-server"}
DEFAULT_PORTS = {"http": 80, "https": 443}
SAFE_METHODS = ("GET", "HEAD")
# Gradio runs inline scripts and makes functions of text; everything comes from this server.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self' data: blob: ws://{host} wss://{host}",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors {embedders}",
    )
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


class Guard:
    """Middleware that lets a request pass only from the page itself, under a known name, and logged in.

    Args:
        app: What it guards.
        settings: Whom to let in.
        logins: Who is logged in.
        hosts: The names of the page; the public link is added when it is known.
    """

    def __init__(self, app: ASGIApp, settings: UiSettings, logins: Logins, hosts: set[str]) -> None:
        self._app, self._settings, self._logins, self._hosts = app, settings, logins, hosts
        # The tunnel of a public link connects from this machine.
        proxies = (*settings.trusted_proxies, *(("127.0.0.0/8", "::1") if settings.share else ()))
        self._proxies = [ip_network(proxy, strict=False) for proxy in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = self._resolve_proxies(scope)
        host = Headers(scope=scope).get("host", "")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _set_headers(MutableHeaders(scope=message), host, self._settings.embedders)
            await send(message)

        refusal = self._refuse(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> Response | None:
        connection = HTTPConnection(scope)
        if not self._is_known(connection.headers.get("host", "")):
            return PlainTextResponse(self._unknown_host(scope), 403)
        if not is_from_page(connection, is_embedded=bool(self._settings.embedders)):
            return PlainTextResponse(localized(scope, "Another site may not use this page."), 403)
        if scope["path"] == scope["root_path"] and scope["type"] == "http" and scope["path"]:
            return RedirectResponse(f"{scope['root_path']}/", 308)
        if not scope["path"].startswith(f"{scope['root_path']}/"):
            return PlainTextResponse(localized(scope, "There is nothing at this address."), 404)
        path = route_of(scope).rstrip("/")
        if path == "/login" or self._logins.is_logged_in(connection):
            return None
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS and not path:
            return login_page(Request(scope))
        return PlainTextResponse(localized(scope, "Log in first."), 403 if scope["type"] == "websocket" else 401)

    def _unknown_host(self, scope: Scope) -> str:
        # DNS rebinding: a foreign site can point its name at this machine, and would then read our responses.
        if self._settings.is_local:
            return localized(
                scope,
                "This page is for this computer only: open it at http://localhost, or serve it with --auth USER:FILE.",
            )
        return localized(scope, "The page is not served under this name. Its operator can add it: --allowed-host.")

    def _is_known(self, host: str) -> bool:
        name = _name(host)
        if self._settings.is_local:
            return is_loopback(name)
        return is_loopback(name) or _is_ip(name) or name in self._hosts

    def _resolve_proxies(self, scope: Scope) -> Scope:
        """Believe the forwarded headers of trusted proxies, and drop everybody else's."""
        headers = Headers(scope=scope)
        raw = [(name, value) for name, value in scope["headers"] if name.lower() not in FORWARDED]
        resolved: dict[str, Any] = dict(scope) | {"headers": raw, "root_path": self._settings.root_path}
        if scope["client"] and self._is_proxy(scope["client"][0]):
            hops = [hop.strip() for hop in ",".join(headers.getlist("x-forwarded-for")).split(",")]
            resolved["client"] = (self._first_untrusted(hops) or scope["client"][0], 0)
            if host := headers.get("x-forwarded-host", "").partition(",")[0].strip():
                raw[:] = [(name, value) for name, value in raw if name.lower() != b"host"]
                raw.append((b"host", host.encode("latin-1")))
            proto = headers.get("x-forwarded-proto", "").partition(",")[0].strip()
            if proto == "https" or (_name(host or headers.get("host", "")) in self._hosts and self._settings.share):
                resolved["scheme"] = "wss" if scope["type"] == "websocket" else "https"
        return resolved

    def _first_untrusted(self, hops: list[str]) -> str:
        return next((hop for hop in reversed(hops) if _is_ip(hop) and not self._is_proxy(hop)), "")

    def _is_proxy(self, address: str) -> bool:
        return _is_ip(address) and any(ip_address(address) in network for network in self._proxies)


def route_of(scope: Scope) -> str:
    """Return the path of a request from where the page lies."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def known_hosts(settings: UiSettings) -> set[str]:
    """Return the names under which the page may be asked for, besides localhost and IP addresses."""
    own = socket.gethostname().lower()
    return {own, f"{own}.local", settings.host.lower(), *map(str.lower, settings.allowed_hosts)}


def is_from_page(connection: HTTPConnection, *, is_embedded: bool = False) -> bool:
    """Check that a request comes from the page, from a script outside a browser, or by a link to the page itself.

    A frame of a site that embeds the page is such a link.

    Browsers send the Origin with everything that changes something or opens a socket, and no script can set it.
    """
    headers = connection.headers
    origin = headers.get("origin")
    is_socket = connection.scope["type"] == "websocket"
    if origin is not None or is_socket:
        return _is_same_origin(origin or "", headers.get("host", ""), connection.url.scheme)
    site = headers.get("sec-fetch-site", "none")
    if site in ("same-origin", "none"):
        return True
    targets = ("document", "iframe") if is_embedded else ("document",)
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") in targets
    return is_link and connection.scope["method"] in SAFE_METHODS and route_of(connection.scope) in ("", "/")


def is_loopback(name: str) -> bool:
    """Check whether a name of the Host header is that of the machine that sent it."""
    return name == "localhost" or (_is_ip(name) and ip_address(name).is_loopback)


def _is_same_origin(origin: str, host: str, scheme: str) -> bool:
    try:
        asking, asked = urlsplit(origin), urlsplit(f"//{host}")
        default = DEFAULT_PORTS.get(asking.scheme)  # also where a proxy with TLS does not say that it has TLS
        is_same = asking.hostname == asked.hostname and (asking.port or default) == (asked.port or default)
    except ValueError:
        return False
    schemes = ("https",) if scheme in ("https", "wss") else ("http", "https")
    return is_same and bool(asking.hostname) and asking.scheme in schemes


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _set_headers(headers: MutableHeaders, host: str, embedders: tuple[str, ...]) -> None:
    for name in [
        name for name in headers if name.startswith("access-control-")
    ]:  # Gradio's answers could be read by every site
        del headers[name]
    for name, value in HEADERS.items():
        headers[name] = value
    if not embedders:  # it knows no list of sites
        headers["X-Frame-Options"] = "DENY"
    policy = CONTENT_POLICY.replace("{host}", host)
    headers["Content-Security-Policy"] = policy.replace("{embedders}", " ".join(embedders) or "'none'")
