"""Who may ask the programming interface of a service, beside its page or without one."""

import hmac

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from merau.stream.ui.config import UiSettings
from merau.stream.ui.guard import Guard
from merau.stream.ui.login import Logins

PROBES = ("/healthz", "/readyz")  # say no more than yes or no, so that they ask for nothing
METRICS = "/metrics"
API = "/api/"


class Gate:
    """Passes requests for the interface on to it, and all others to the page.

    A program shows the token. A browser must come from the page and be logged in. Without a token and without a login
    the interface is for this machine only, as the page is then.

    Args:
        app: The page; None where there is none.
        api: The interface.
        token: What programs show; None for no token.
        settings: Where and for whom the page, or the interface alone, is served.
        logins: Who is logged in to the page.
        hosts: The names under which it may be asked for.
    """

    def __init__(
        self,
        app: ASGIApp | None,
        api: ASGIApp,
        token: str | None,
        settings: UiSettings,
        logins: Logins,
        hosts: set[str],
    ) -> None:
        self._api, self._token, self._settings = api, token, settings
        self._guarded = Guard(api, settings, logins, hosts)
        self._page = app or self._guarded  # it knows no other address, and says so

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        path = scope.get("path", "")
        if not (path in PROBES or path == METRICS or path.startswith(API)):
            await self._page(scope, receive, send)
        elif path in PROBES or self._has_token(HTTPConnection(scope)):
            await self._api(scope, receive, send)
        elif self._settings.login or (self._settings.is_local and self._token is None):
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
