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

from merau.engine.errors import UserError
from merau.stream.sources import Browser, SourceSettings
from merau.stream.sources.browser import Packet
from merau.stream.ui.downloads import download
from merau.stream.ui.outbox import Mailbox
from merau.stream.ui.server_state import House, Visitor
from merau.stream.ui.workspace import Desk

REFUSED = 4403  # close codes of our own
ENDED = 4400
LOGIN_S = 1.0  # after a logout an open socket is closed within this time
CODINGS: dict[int, Literal["h264", "jpeg"]] = {0: "h264", 1: "jpeg"}
HEAD = struct.Struct("<Bd")  # coding, capture time in seconds from the page's zero
WEBCAM = SourceSettings(queue_frames=8)  # rather a dropped frame than a picture of long ago
SILENT_S = 20.0  # a webcam that sends nothing for so long is let go
LONGEST_PACKET = 2_000_000  # bytes

Serve = Callable[[House, WebSocket, Visitor], Awaitable[None]]


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


def open_doors(app: App, house: House) -> None:
    """Add the routes to Gradio's running application."""

    async def visit(socket: WebSocket, serve: Serve, visitor: Visitor) -> None:
        with visitor.staying(), suppress(WebSocketDisconnect):
            await serve(house, socket, visitor)

    async def guarded(socket: WebSocket, serve: Serve) -> None:
        token = socket.query_params.get("visitor", "")
        if not (logged_in(app, socket) and same_origin(socket) and token in house.visitors):
            await socket.close(REFUSED)  # before accept: the browser sees 403
            return
        await socket.accept()
        visiting = asyncio.create_task(visit(socket, serve, house.visitors[token]))
        while logged_in(app, socket) and not visiting.done():
            await asyncio.wait([visiting], timeout=LOGIN_S)
        logged_out = visiting.cancel()
        with suppress(asyncio.CancelledError):
            await visiting
        if logged_out:
            await socket.close(REFUSED)

    async def live(socket: WebSocket) -> None:
        await guarded(socket, watch)

    async def webcam(socket: WebSocket) -> None:
        await guarded(socket, analyse)

    async def words(request: Request) -> Response:
        if not logged_in(app, request):
            raise HTTPException(401, "Log in first.")
        try:
            visitor = house.visitor(request.query_params.get("visitor", ""))
        except UserError as error:
            raise HTTPException(404, str(error)) from error
        telling = tell(house, visitor, lambda: logged_in(app, request))
        return StreamingResponse(telling, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    def get(request: Request) -> Response:
        if not logged_in(app, request):
            raise HTTPException(401, "Log in first.")
        try:
            return download(house, request.path_params["what"], dict(request.query_params))
        except UserError as error:
            raise HTTPException(404, str(error)) from error

    app.add_api_websocket_route("/merau/live", live)
    app.add_api_websocket_route("/merau/webcam", webcam)
    for path, answer in (("/merau/words", words), ("/merau/get/{what}", get)):
        app.add_route(path, answer, methods=["GET"])
        app.router.routes.insert(0, app.router.routes.pop())  # before Gradio's own, which take every path


@asynccontextmanager
async def _mailbox(house: House, visitor: Visitor) -> AsyncIterator[Mailbox]:
    """What the desks that the page shows have to tell."""
    mailbox = Mailbox(asyncio.get_running_loop())
    desks: list[Desk] = [house.shared] if house.settings.trusted else []
    for desk in desks:
        desk.join(mailbox)
    try:
        desks.append(await asyncio.to_thread(lambda: visitor.desk))
        desks[-1].join(mailbox)
        yield mailbox
    finally:
        for desk in desks:
            desk.leave(mailbox)


async def watch(house: House, socket: WebSocket, visitor: Visitor) -> None:
    """Send what the page shows: pictures with what was found in them, words, status."""
    async with _mailbox(house, visitor) as mailbox:
        sending = asyncio.create_task(_send(socket, mailbox))
        try:
            async for text in socket.iter_text():
                mailbox.shows_mesh = bool(json.loads(text).get("mesh"))
        except (json.JSONDecodeError, AttributeError, KeyError):
            await socket.close(ENDED)
        finally:
            sending.cancel()


async def tell(house: House, visitor: Visitor, logged_in: Callable[[], bool]) -> AsyncIterator[str]:
    """Words and status as server-sent events, for a page that no socket reaches; it is known while it listens."""
    with visitor.staying():
        async with _mailbox(house, visitor) as mailbox:
            while logged_in():
                for message in await mailbox.take():
                    if isinstance(message, str):
                        yield f"data: {message}\n\n"


async def _send(socket: WebSocket, mailbox: Mailbox) -> None:
    while True:
        for message in await mailbox.take():
            if isinstance(message, str):
                await socket.send_text(message)
            else:
                await socket.send_bytes(message)


async def analyse(house: House, socket: WebSocket, visitor: Visitor) -> None:
    """Take a webcam's pictures in once consent is recorded and a place is free."""

    async def tell(before: int) -> None:
        await socket.send_json({"before": before})

    try:
        hello = json.loads(await socket.receive_text())
        zero = datetime.fromtimestamp(float(hello["zero_ms"]) / 1000, UTC)
        if visitor.desk.consent is None:
            raise UserError("State the purpose, and that those in view agree, before a camera is analysed.")
        ticket = await house.places.take(tell)
    except UserError as error:
        await socket.send_json({"error": str(error)})
        await socket.close(ENDED)
        return
    except (KeyError, TypeError, ValueError, OverflowError):
        await socket.close(ENDED)
        return
    source = Browser("webcam", WEBCAM, zero)
    try:
        camera = await asyncio.to_thread(visitor.desk.add, source.name, lambda: source, replay=False)
        await socket.send_json({"go": camera.number})
        try:
            async with asyncio.timeout(house.settings.visit_s):  # wait_for keeps an exception, and with it all of this
                await _receive(socket, source)
        except TimeoutError:
            await socket.send_json({"error": "The time for one visit is over. Start again if nobody waits."})
            await socket.close(ENDED)
        except UserError as error:
            await socket.send_json({"error": str(error)})
            await socket.close(ENDED)
        finally:
            source.end("the page let the camera go")
            await asyncio.to_thread(_remove, visitor, camera.number)
    finally:
        house.places.hand_back(ticket)


async def _receive(socket: WebSocket, source: Browser) -> None:
    while source.state().phase != "ended":
        try:
            async with asyncio.timeout(SILENT_S):
                data = await socket.receive_bytes()
        except TimeoutError:
            raise UserError(f"The webcam sent nothing for {SILENT_S:g} s.") from None
        if len(data) <= HEAD.size or len(data) > LONGEST_PACKET:
            raise UserError("The page sent something that is no picture.")
        coding, captured_s = HEAD.unpack_from(data)
        if coding not in CODINGS or not 0 <= captured_s < 1e6:
            raise UserError("The page sent something that is no picture.")
        source.push(Packet(CODINGS[coding], captured_s, data[HEAD.size :]))
    raise UserError(source.state().reason)


def _remove(visitor: Visitor, number: int) -> None:
    if number in visitor.desk.cameras:
        visitor.desk.remove(number)
