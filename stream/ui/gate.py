"""Who may ask the programming interface of a service, beside its page or without one."""

import hmac

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from merau.stream.ui.config import UiSettings
from merau.stream.ui.guard import Guard, route_of
from merau.stream.ui.i18n import localized
from merau.stream.ui.login import Logins

PROBES = ("/healthz", "/readyz")  # say no more than yes or no, so that they ask for nothing
METRICS = "/metrics"
API = "/api/"


class Gate:
    """Passes requests for the interface on to it, once there is one, and all others to the page.

    A program shows the token. A browser must come from the page and be logged in. Without a token and without a login
    the interface is for this machine only, as the page is then.

    Args:
        page: Answers all other requests; None where there is no page.
        settings: Where and for whom the page, or the interface alone, is served.
        logins: Who is logged in to the page.
        hosts: The names under which it may be asked for.
    """

    def __init__(self, page: ASGIApp | None, settings: UiSettings, logins: Logins, hosts: set[str]) -> None:
        self._settings, self._logins, self._hosts = settings, logins, hosts
        self._page = page or Guard(_nothing, settings, logins, hosts)
        self._api: ASGIApp | None = None
        self._guarded: ASGIApp | None = None
        self._token: str | None = None

    def open(self, api: ASGIApp, token: str | None) -> None:
        """Serve the interface from now on.

        Args:
            api: The interface.
            token: What programs show; None for no token.
        """
        self._token, self._guarded = token, Guard(api, self._settings, self._logins, self._hosts)
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        path, root_path = scope.get("path", ""), self._settings.root_path
        if path.startswith(f"{root_path}/"):  # programs of this machine may also ask without it
            scope = dict(scope) | {"root_path": root_path}
            path = route_of(scope)
        if self._api is None or not (path in PROBES or path == METRICS or path.startswith(API)):
            await self._page(scope, receive, send)
        elif path in PROBES or self._has_token(HTTPConnection(scope)):
            await self._api(scope, receive, send)
        elif self._guarded and (self._settings.login or (self._settings.is_local and self._token is None)):
            await self._guarded(scope, receive, send)
        else:
            refusal = JSONResponse({"detail": "Show the token: Authorization: Bearer TOKEN."}, 401)
            refusal.headers["WWW-Authenticate"] = "Bearer"
            await refusal(scope, receive, send)

    def _has_token(self, connection: HTTPConnection) -> bool:
        scheme, _, shown = connection.headers.get("authorization", "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(shown.strip().encode(), self._token.encode())


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer where there is no page."""
    if scope["type"] == "http":
        await PlainTextResponse(localized(scope, "There is nothing at this address."), 404)(scope, receive, send)
