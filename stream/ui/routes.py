"""Every way into the server besides Gradio's own: two sockets, a stream of words for pages that no socket reaches, and
the routes for pictures, films and exports.

Each checks the login cookie, where there is a login, and the page's token; the sockets the Origin too, before they
accept.
"""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

from fastapi import HTTPException, WebSocket, WebSocketDisconnect
from gradio.routes import App
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse

from merau.engine.errors import Message, UserError
from merau.stream.sources import Browser, SourceSettings
from merau.stream.sources.browser import Packet
from merau.stream.ui.downloads import download
from merau.stream.ui.i18n import localized, request_language, to_json, translate
from merau.stream.ui.outbox import ClientOutbox
from merau.stream.ui.server_state import ClientSession, ServerState
from merau.stream.ui.workspace import Workspace

REFUSED = 4403  # close codes of our own
ENDED = 4400
LOGIN_S = 1.0  # after a logout an open socket is closed within this time
CODINGS: dict[int, Literal["h264", "jpeg"]] = {0: "h264", 1: "jpeg"}
HEAD = struct.Struct("<Bd")  # coding, capture time in seconds from the page's zero
WEBCAM = SourceSettings(queue_frames=8)  # rather a dropped frame than a picture of long ago
SILENT_S = 20.0  # a webcam that sends nothing for so long is let go
LONGEST_PACKET = 2_000_000  # bytes
VISIT_OVER = Message("Your time is over. You can start again if nobody is waiting.")

Serve = Callable[[ServerState, WebSocket, ClientSession], Awaitable[None]]


def logged_in(app: App, connection: HTTPConnection) -> bool:
    """Whether the request carries the cookie of Gradio's login; always, where there is no login."""
    if app.auth is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(connection.cookies.get(name) in app.tokens for name in names)


def same_origin(connection: HTTPConnection) -> bool:
    """Whether the page that asks came from this very server, or by the proxy of a shared link: another site's script
    can set neither header.
    """
    origin = urlsplit(connection.headers.get("origin", ""))
    forwarded, _, _ = connection.headers.get("x-forwarded-host", "").partition(",")  # the first, as Gradio takes it
    return bool(origin.netloc) and origin.netloc in (connection.headers.get("host"), forwarded.strip())


def register_routes(app: App, state: ServerState) -> None:
    """Add the routes to Gradio's running application."""

    async def serve_session(socket: WebSocket, serve: Serve, client: ClientSession) -> None:
        with client.connected(), suppress(WebSocketDisconnect):
            await serve(state, socket, client)

    async def require_auth(socket: WebSocket, serve: Serve) -> None:
        token = socket.query_params.get("token", "")
        if not (logged_in(app, socket) and same_origin(socket) and token in state.clients):
            await socket.close(REFUSED)  # before accept: the browser sees 403
            return
        await socket.accept()
        visiting = asyncio.create_task(serve_session(socket, serve, state.clients[token]))
        while logged_in(app, socket) and not visiting.done():
            await asyncio.wait([visiting], timeout=LOGIN_S)
        logged_out = visiting.cancel()
        with suppress(asyncio.CancelledError):
            await visiting
        if logged_out:
            await socket.close(REFUSED)

    async def live(socket: WebSocket) -> None:
        await require_auth(socket, watch)

    async def webcam(socket: WebSocket) -> None:
        await require_auth(socket, analyse)

    async def words(request: Request) -> Response:
        if not logged_in(app, request):
            raise HTTPException(401, localized(request.scope, "Log in first."))
        try:
            client = state.client(request.query_params.get("token", ""))
        except UserError as error:
            raise HTTPException(404, translate(error.message, request_language(request.headers))) from error
        telling = tell(state, client, lambda: logged_in(app, request))
        return StreamingResponse(telling, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    def get(request: Request) -> Response:
        if not logged_in(app, request):
            raise HTTPException(401, localized(request.scope, "Log in first."))
        try:
            return download(state, request.path_params["what"], dict(request.query_params))
        except UserError as error:
            raise HTTPException(404, translate(error.message, request_language(request.headers))) from error

    app.add_api_websocket_route("/merau/live", live)
    app.add_api_websocket_route("/merau/webcam", webcam)
    for path, answer in (("/merau/messages", words), ("/merau/get/{what}", get)):
        app.add_route(path, answer, methods=["GET"])
        app.router.routes.insert(0, app.router.routes.pop())  # before Gradio's own, which take every path


@asynccontextmanager
async def _outbox(state: ServerState, client: ClientSession) -> AsyncIterator[ClientOutbox]:
    """What the workspaces that the page shows have to tell."""
    outbox = ClientOutbox(asyncio.get_running_loop())
    workspaces: list[Workspace] = [state.shared] if state.settings.trusted else []
    for workspace in workspaces:
        workspace.join(outbox)
    try:
        workspaces.append(await asyncio.to_thread(lambda: client.workspace))
        workspaces[-1].join(outbox)
        yield outbox
    finally:
        for workspace in workspaces:
            workspace.leave(outbox)


async def watch(state: ServerState, socket: WebSocket, client: ClientSession) -> None:
    """Send what the page shows: pictures with what was found in them, words, status."""
    async with _outbox(state, client) as outbox:
        sending = asyncio.create_task(_send(socket, outbox))
        try:
            async for text in socket.iter_text():
                outbox.shows_mesh = bool(json.loads(text).get("mesh"))
        except (json.JSONDecodeError, AttributeError, KeyError):
            await socket.close(ENDED)
        finally:
            sending.cancel()


async def tell(state: ServerState, client: ClientSession, logged_in: Callable[[], bool]) -> AsyncIterator[str]:
    """Words and status as server-sent events, for a page that no socket reaches; it is known while it listens."""
    with client.connected():
        async with _outbox(state, client) as outbox:
            while logged_in():
                for message in await outbox.drain():
                    if isinstance(message, str):
                        yield f"data: {message}\n\n"


async def _send(socket: WebSocket, outbox: ClientOutbox) -> None:
    while True:
        for message in await outbox.drain():
            if isinstance(message, str):
                await socket.send_text(message)
            else:
                await socket.send_bytes(message)


async def analyse(state: ServerState, socket: WebSocket, client: ClientSession) -> None:
    """Take a webcam's pictures in once consent is recorded and a place is free."""

    async def tell(before: int) -> None:
        await socket.send_json({"before": before})

    try:
        hello = json.loads(await socket.receive_text())
        zero = datetime.fromtimestamp(float(hello["zero_ms"]) / 1000, UTC)
        if client.workspace.consent is None:
            raise UserError("Before a camera is analysed, state the purpose and confirm that everyone in view agrees.")
        ticket = await state.admission.enter(tell)
    except UserError as error:
        await socket.send_json({"error": to_json(error.message)})
        await socket.close(ENDED)
        return
    except (KeyError, TypeError, ValueError, OverflowError):
        await socket.close(ENDED)
        return
    source = Browser("webcam", WEBCAM, zero)
    try:
        camera = await asyncio.to_thread(client.workspace.add, source.name, lambda: source, replay=False)
        await socket.send_json({"go": camera.number})
        try:
            async with asyncio.timeout(state.settings.visit_s):  # wait_for keeps an exception, and with it all of this
                await _receive(socket, source)
        except TimeoutError:
            await socket.send_json({"error": to_json(VISIT_OVER)})
            await socket.close(ENDED)
        except UserError as error:
            await socket.send_json({"error": to_json(error.message)})
            await socket.close(ENDED)
        finally:
            source.end(Message("the page let the camera go"))
            await asyncio.to_thread(_remove, client, camera.number)
    finally:
        state.admission.release(ticket)


async def _receive(socket: WebSocket, source: Browser) -> None:
    while source.state().phase != "ended":
        try:
            async with asyncio.timeout(SILENT_S):
                data = await socket.receive_bytes()
        except TimeoutError:
            raise UserError("The webcam sent nothing for {seconds} s.", seconds=f"{SILENT_S:g}") from None
        if len(data) <= HEAD.size or len(data) > LONGEST_PACKET:
            raise UserError("The page sent data that is not an image.")
        coding, captured_s = HEAD.unpack_from(data)
        if coding not in CODINGS or not 0 <= captured_s < 1e6:
            raise UserError("The page sent data that is not an image.")
        source.push(Packet(CODINGS[coding], captured_s, data[HEAD.size :]))
    reason = source.state().reason
    assert reason is not None
    raise UserError.from_message(reason)


def _remove(client: ClientSession, number: int) -> None:
    if number in client.workspace.cameras:
        client.workspace.remove(number)
