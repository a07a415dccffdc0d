"""The page's own routes beside Gradio's: sockets, an event stream, downloads, login and logout.

The guard has checked the login cookie and where a request comes from; the routes check the page's token.
"""

import asyncio
from contextlib import suppress

from fastapi import FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from merau.engine.errors import UserError
from merau.stream.ui.downloads import download
from merau.stream.ui.i18n import request_language, translate
from merau.stream.ui.login import Logins
from merau.stream.ui.server_state import ClientSession, ServerState
from merau.stream.ui.sockets import CLOSE_REFUSED, Serve, event_stream, live_socket, webcam_socket

MAX_CONNECTIONS = 8  # sockets and event streams of one page
CLOSED = "after sending 'websocket.close'"  # uvicorn's error where it closed the socket itself: a message was too large
LOGIN_CHECK_S = 1.0  # after a logout an open socket is closed within this time


def register_routes(app: FastAPI, state: ServerState, logins: Logins) -> None:
    """Add the routes to the application."""

    async def live(socket: WebSocket) -> None:
        await require_auth(logins, state, socket, live_socket)

    async def webcam(socket: WebSocket) -> None:
        await require_auth(logins, state, socket, webcam_socket)

    async def messages(request: Request) -> Response:
        client = _authenticate(state, request)
        stream = event_stream(state, client, lambda: logins.is_logged_in(request))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    def get(request: Request) -> Response:
        _authenticate(state, request)
        try:
            return download(state, request.path_params["kind"], dict(request.query_params))
        except UserError as error:
            raise _not_found(request, error) from error

    async def log_in(request: Request) -> Response:
        return await logins.log_in(request) if logins.login else RedirectResponse(f"{state.settings.root_path}/", 303)

    async def log_out(request: Request) -> Response:
        return logins.log_out(request)

    app.add_api_websocket_route("/merau/live", live)
    app.add_api_websocket_route("/merau/webcam", webcam)
    app.add_route("/merau/messages", messages, methods=["GET"])
    app.add_route("/merau/get/{kind}", get, methods=["GET"])
    app.add_route("/login", log_in, methods=["POST"])
    app.add_route("/logout", log_out, methods=["POST"])


async def require_auth(logins: Logins, state: ServerState, socket: WebSocket, serve: Serve) -> None:
    """Serve a socket while its page is logged in; refuse it otherwise."""
    token = socket.query_params.get("token", "")
    if token not in state.clients or state.clients[token].connections >= MAX_CONNECTIONS:
        await socket.close(CLOSE_REFUSED)  # before accept: the browser gets 403
        return
    await socket.accept()
    serving = asyncio.create_task(serve_session(state, socket, serve, state.clients[token]))
    while logins.is_logged_in(socket) and not serving.done():
        await asyncio.wait([serving], timeout=LOGIN_CHECK_S)
    logged_out = serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
    if logged_out:
        await socket.close(CLOSE_REFUSED)


async def serve_session(state: ServerState, socket: WebSocket, serve: Serve, client: ClientSession) -> None:
    """Serve a socket of a page and keep the page's session alive meanwhile."""
    with client.connected(), suppress(WebSocketDisconnect):
        try:
            await serve(state, socket, client)
        except RuntimeError as error:
            if CLOSED not in str(error):
                raise


def _authenticate(state: ServerState, request: Request) -> ClientSession:
    try:
        return state.client(request.query_params.get("token", ""))
    except UserError as error:
        raise _not_found(request, error) from error


def _not_found(request: Request, error: UserError) -> HTTPException:
    return HTTPException(404, translate(error.message, request_language(request.headers)))
