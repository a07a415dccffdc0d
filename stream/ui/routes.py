"""The page's own routes beside Gradio's: sockets, an event stream, and downloads.

Each checks the login cookie, where there is a login, and the page's token. The sockets also check the Origin before
they accept.
"""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import HTTPException, WebSocket, WebSocketDisconnect
from gradio.routes import App
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse

from merau.engine.errors import UserError
from merau.stream.ui.downloads import download
from merau.stream.ui.i18n import localized, request_language, translate
from merau.stream.ui.server_state import ClientSession, ServerState
from merau.stream.ui.sockets import CLOSE_REFUSED, Serve, event_stream, live_socket, webcam_socket

LOGIN_CHECK_S = 1.0  # after a logout an open socket is closed within this time


def register_routes(app: App, state: ServerState) -> None:
    """Add the routes to Gradio's running application."""

    async def live(socket: WebSocket) -> None:
        await require_auth(app, state, socket, live_socket)

    async def webcam(socket: WebSocket) -> None:
        await require_auth(app, state, socket, webcam_socket)

    async def messages(request: Request) -> Response:
        client = _authenticate(app, state, request)
        stream = event_stream(state, client, lambda: is_logged_in(app, request))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    def get(request: Request) -> Response:
        _authenticate(app, state, request)
        try:
            return download(state, request.path_params["kind"], dict(request.query_params))
        except UserError as error:
            raise _not_found(request, error) from error

    app.add_api_websocket_route("/merau/live", live)
    app.add_api_websocket_route("/merau/webcam", webcam)
    for path, endpoint in (("/merau/messages", messages), ("/merau/get/{kind}", get)):
        app.add_route(path, endpoint, methods=["GET"])
        app.router.routes.insert(0, app.router.routes.pop())  # before Gradio's own, which match every path


async def require_auth(app: App, state: ServerState, socket: WebSocket, serve: Serve) -> None:
    """Serve a socket while its page is logged in; refuse it otherwise."""
    token = socket.query_params.get("token", "")
    if not (is_logged_in(app, socket) and is_same_origin(socket) and token in state.clients):
        await socket.close(CLOSE_REFUSED)  # before accept: the browser gets 403
        return
    await socket.accept()
    serving = asyncio.create_task(serve_session(state, socket, serve, state.clients[token]))
    while is_logged_in(app, socket) and not serving.done():
        await asyncio.wait([serving], timeout=LOGIN_CHECK_S)
    logged_out = serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
    if logged_out:
        await socket.close(CLOSE_REFUSED)


async def serve_session(state: ServerState, socket: WebSocket, serve: Serve, client: ClientSession) -> None:
    """Serve a socket of a page and keep the page's session alive meanwhile."""
    with client.connected(), suppress(WebSocketDisconnect):
        await serve(state, socket, client)


def is_logged_in(app: App, connection: HTTPConnection) -> bool:
    """Check for the cookie of Gradio's login; always true where there is no login."""
    if app.auth is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(connection.cookies.get(name) in app.tokens for name in names)


def is_same_origin(connection: HTTPConnection) -> bool:
    """Check whether the asking page came from this server, directly or through the proxy of a public link.

    A script of another site can set neither header.
    """
    origin = urlsplit(connection.headers.get("origin", ""))
    forwarded, _, _ = connection.headers.get("x-forwarded-host", "").partition(",")  # the first, as Gradio takes it
    return bool(origin.netloc) and origin.netloc in (connection.headers.get("host"), forwarded.strip())


def _authenticate(app: App, state: ServerState, request: Request) -> ClientSession:
    if not is_logged_in(app, request):
        raise HTTPException(401, localized(request.scope, "Log in first."))
    try:
        return state.client(request.query_params.get("token", ""))
    except UserError as error:
        raise _not_found(request, error) from error


def _not_found(request: Request, error: UserError) -> HTTPException:
    return HTTPException(404, translate(error.message, request_language(request.headers)))
