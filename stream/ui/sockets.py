"""Connections of a page: frames and messages go out, the frames of its webcam come in."""

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import WebSocket

from merau.engine.errors import UserError
from merau.stream.sources import Browser, SourceSettings
from merau.stream.sources.browser import Packet
from merau.stream.sources.limits import plausible_time
from merau.stream.sources.source import STOPPED
from merau.stream.ui.message_json import to_json
from merau.stream.ui.outbox import ClientOutbox, OutboxOverflow
from merau.stream.ui.server_state import ClientSession, ServerState
from merau.stream.ui.workspace import Workspace

CLOSE_ENDED, CLOSE_REFUSED, CLOSE_TOO_SLOW = 4400, 4403, 4408  # close codes of our own
CODINGS: dict[int, Literal["h264", "jpeg"]] = {0: "h264", 1: "jpeg"}
PACKET_HEADER = struct.Struct("<Bd")  # coding; capture time in seconds from the page's time zero
MAX_PACKET_BYTES = 2_000_000
MAX_OPTIONS = 1000  # characters of a page's options
MAX_MESSAGES_HZ = 240  # of one socket; a webcam sends at most 60, and after a stall a few seconds of them at once
MAX_CAPTURE_TIME_S, MAX_ZERO_S = 1e6, 1e10
WEBCAM_SETTINGS = SourceSettings(queue_frames=8)  # a dropped frame is better than an old one
WEBCAM_TIMEOUT_S = 20.0  # a webcam that sends nothing for so long is stopped

Serve = Callable[[ServerState, WebSocket, ClientSession], Awaitable[None]]


async def live_socket(state: ServerState, socket: WebSocket, client: ClientSession) -> None:
    """Send frames and messages to a page, and take its options, until it disconnects.

    A page that does not read its messages is disconnected; it gets the present state when it connects again.
    """
    async with _joined_outbox(state, client) as outbox:
        reading = asyncio.create_task(_read_options(socket, outbox))
        sending = asyncio.create_task(_send(socket, outbox))
        overflow = asyncio.create_task(outbox.overflowed.wait())
        try:
            await asyncio.wait([reading, sending, overflow], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, sending, overflow):
                task.cancel()
            ended, failed, _ = await asyncio.gather(reading, sending, overflow, return_exceptions=True)
    if outbox.overflowed.is_set():
        await socket.close(CLOSE_TOO_SLOW, "The page does not read its messages.")
    if isinstance(ended, UserError):
        await socket.close(CLOSE_ENDED, str(ended))
        return
    for error in (ended, failed):
        if isinstance(error, Exception) and not isinstance(error, OutboxOverflow):
            raise error


async def event_stream(
    state: ServerState, client: ClientSession, is_logged_in: Callable[[], bool]
) -> AsyncIterator[str]:
    """Yield messages as server-sent events, for a page that no socket reaches; it stays connected meanwhile."""
    with client.connected():
        async with _joined_outbox(state, client) as outbox:
            while is_logged_in():
                try:
                    messages = await outbox.drain()
                except OutboxOverflow:
                    return  # the browser connects again by itself
                for message in messages:
                    if isinstance(message, str):
                        yield f"data: {message}\n\n"


async def webcam_socket(state: ServerState, socket: WebSocket, client: ClientSession) -> None:
    """Analyse a page's webcam, once consent is recorded and a slot is free."""

    async def send_queue_position(ahead: int) -> None:
        await socket.send_json({"before": ahead})

    try:
        time_zero = _time_zero(json.loads(await socket.receive_text()))
        client.require_consent()
        ticket = await state.admission.enter(send_queue_position)
    except UserError as error:
        await _close_with_error(socket, error)
        return
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        await socket.close(CLOSE_ENDED)
        return
    try:
        await _analyse_webcam(state, socket, client, Browser("webcam", WEBCAM_SETTINGS, time_zero))
    finally:
        state.admission.release(ticket)


async def _analyse_webcam(state: ServerState, socket: WebSocket, client: ClientSession, source: Browser) -> None:
    workspace = client.workspace
    camera = await asyncio.to_thread(workspace.add_camera, source.name, lambda: source, replay=False)
    await socket.send_json({"go": camera.number})
    try:
        # wait_for would keep an exception, and with it everything that its traceback refers to.
        async with asyncio.timeout(state.settings.visit_s):
            await _receive_packets(socket, source)
    except TimeoutError:
        await _close_with_error(socket, UserError("Your time is over. You can start again if nobody is waiting."))
    except UserError as error:
        await _close_with_error(socket, error)
    finally:
        source.end(STOPPED)
        await asyncio.to_thread(_remove_camera, workspace, camera.number)


class MessageRate:
    """Counts the messages of one socket."""

    def __init__(self) -> None:
        self._since_s, self._number = time.monotonic(), 0

    def count(self) -> None:
        """Count a message. Raises UserError when there are more than `MAX_MESSAGES_HZ`."""
        if (now_s := time.monotonic()) - self._since_s >= 1:
            self._since_s, self._number = now_s, 0
        self._number += 1
        if self._number > MAX_MESSAGES_HZ:
            raise UserError("The page sends too many messages.")


async def _receive_packets(socket: WebSocket, source: Browser) -> None:
    """Push the page's packets into the source. Raises UserError when they stop, are too many, or are not frames."""
    rate = MessageRate()
    while source.state().phase != "ended":
        try:
            async with asyncio.timeout(WEBCAM_TIMEOUT_S):
                data = await socket.receive_bytes()
        except KeyError:  # it is text
            data = b""
        except TimeoutError:
            raise UserError("The webcam sent nothing for {seconds} s.", seconds=f"{WEBCAM_TIMEOUT_S:g}") from None
        rate.count()
        source.push(_parse_packet(data))
    raise UserError.from_message(source.state().reason or STOPPED)


def _parse_packet(data: bytes) -> Packet:
    not_a_frame = UserError("The page sent data that is not an image.")
    if not PACKET_HEADER.size < len(data) <= MAX_PACKET_BYTES:
        raise not_a_frame
    coding, captured_s = PACKET_HEADER.unpack_from(data)
    if coding not in CODINGS or not 0 <= captured_s < MAX_CAPTURE_TIME_S:
        raise not_a_frame
    return Packet(CODINGS[coding], captured_s, data[PACKET_HEADER.size :])


def _time_zero(hello: dict[str, Any]) -> datetime:
    zero_s = float(hello["zero_ms"]) / 1000
    time_zero = plausible_time(datetime.fromtimestamp(zero_s, UTC)) if 0 <= zero_s < MAX_ZERO_S else None
    if time_zero is None:
        raise ValueError("the page's clock shows a year that cannot be meant")
    return time_zero


def _remove_camera(workspace: Workspace, number: int) -> None:
    if number in workspace.cameras:
        workspace.remove_camera(number)


@asynccontextmanager
async def _joined_outbox(state: ServerState, client: ClientSession) -> AsyncIterator[ClientOutbox]:
    """An outbox that receives everything of the workspaces that the page shows."""
    outbox = ClientOutbox(asyncio.get_running_loop())
    workspaces: list[Workspace] = [state.shared] if state.settings.is_trusted else []
    for workspace in workspaces:
        workspace.join(outbox)
    try:
        workspaces.append(await asyncio.to_thread(lambda: client.workspace))
        workspaces[-1].join(outbox)
        yield outbox
    finally:
        for workspace in workspaces:
            workspace.leave(outbox)


async def _read_options(socket: WebSocket, outbox: ClientOutbox) -> None:
    """Take the page's options until it disconnects. Raises UserError when they are none, or too many."""
    rate = MessageRate()
    try:
        async for text in socket.iter_text():
            rate.count()
            outbox.sends_mesh = bool(json.loads(text[:MAX_OPTIONS]).get("mesh"))
    except (json.JSONDecodeError, AttributeError, KeyError, RecursionError) as error:
        raise UserError("The page sent options that cannot be read.") from error


async def _send(socket: WebSocket, outbox: ClientOutbox) -> None:
    while True:
        for message in await outbox.drain():
            if isinstance(message, str):
                await socket.send_text(message)
            else:
                await socket.send_bytes(message)


async def _close_with_error(socket: WebSocket, error: UserError) -> None:
    await socket.send_json({"error": to_json(error.message)})
    await socket.close(CLOSE_ENDED)
