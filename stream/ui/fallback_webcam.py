"""A webcam by gr.Image, for browsers without WebSocket or canvas.

Its frames come at a low rate and without their capture times: short micro-expressions are missed, and the page says so.
"""

import asyncio
import base64
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import cv2
import gradio as gr
import numpy as np
from gradio.data_classes import ImageData
from PIL import Image

from merau.engine.errors import UserError
from merau.stream.sources import Browser
from merau.stream.sources.browser import Packet, check_size
from merau.stream.sources.source import STOPPED
from merau.stream.ui.camera_worker import Camera
from merau.stream.ui.handlers import private_endpoint, show_user_errors
from merau.stream.ui.i18n import t
from merau.stream.ui.message_json import to_json
from merau.stream.ui.server_state import ClientSession, ServerState
from merau.stream.ui.sockets import WEBCAM_SETTINGS

FRAME_PERIOD_S = 0.05  # asked of the browser, which may be slower
TIMEOUT_S = 5.0  # a webcam that sends nothing for so long is stopped
ADMISSION_TIMEOUT_S = 0.1  # nobody queues here: the browser waits for the answer to its frame
CHECK_EVERY_S = 0.5
PICTURES = ("JPEG", "PNG", "WEBP")  # formats that a browser makes of a canvas
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]


@dataclass
class FallbackSession:
    """A webcam that is being analysed, with its ticket of the admission queue."""

    source: Browser
    camera: Camera
    ticket: object
    last_image: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    started_s: float = field(default_factory=time.monotonic)
    last_seen_s: float = field(default_factory=time.monotonic)


class FallbackWebcams:
    """The fallback sessions by token. Used on the server's event loop only."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._sessions: dict[str, FallbackSession] = {}
        self._starting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def push(self, token: str, image: np.ndarray | None) -> dict[str, Any]:
        """Analyse an image (H, W, 3) uint8 RGB; returns the faces or the error for the page to show."""
        try:
            client = self._state.client(token)
            if image is None or token in self._starting:
                return {}
            if token not in self._sessions:
                await self._start(client)
            session = self._sessions[token]
            self._push_image(session, image)
            frame = session.camera.last_frame
            faces = frame.header["faces"] if frame else []
            return {"faces": [face | {"reason": to_json(face["reason"])} for face in faces]}
        except UserError as error:
            return {"error": to_json(error.message)}

    async def _start(self, client: ClientSession) -> None:
        client.require_consent()
        try:
            ticket = await asyncio.wait_for(self._state.admission.enter(_ignore_position), ADMISSION_TIMEOUT_S)
        except TimeoutError:
            raise UserError("The server is busy. Please come back in a few minutes.") from None
        source = Browser("webcam", WEBCAM_SETTINGS, datetime.now(UTC))
        self._starting.add(client.token)
        try:
            camera = await asyncio.to_thread(client.workspace.add_camera, source.name, lambda: source, replay=False)
        except BaseException:
            self._state.admission.release(ticket)
            raise
        finally:
            self._starting.discard(client.token)
        self._sessions[client.token] = session = FallbackSession(source, camera, ticket)
        task = asyncio.create_task(self._stop_when_over(client, session))
        self._tasks.add(task)  # the event loop holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    def _push_image(self, session: FallbackSession, image: np.ndarray) -> None:
        session.last_seen_s = time.monotonic()
        if np.array_equal(image, session.last_image):  # the browser sends some twice
            return
        session.last_image = image
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), JPEG)[1].tobytes()
        session.source.push(Packet("jpeg", session.last_seen_s - session.started_s, jpeg))

    async def _stop_when_over(self, client: ClientSession, session: FallbackSession) -> None:
        """Stop the webcam when it has been silent for too long or its time is up."""
        end_s = session.started_s + self._state.settings.visit_s
        try:
            while time.monotonic() < min(session.last_seen_s + TIMEOUT_S, end_s):
                await asyncio.sleep(CHECK_EVERY_S)
        finally:
            del self._sessions[client.token]
            session.source.end(STOPPED)
            self._state.admission.release(session.ticket)
        with suppress(UserError):  # the page was closed, and its workspace with the camera
            await asyncio.to_thread(client.workspace.remove_camera, session.camera.number)


@show_user_errors
def read_picture(payload: ImageData | None) -> np.ndarray | None:
    """Decode what the browser sent to (H, W, 3) uint8 RGB; the size is read from the header first.

    Raises:
        UserError: It is no picture, or a too large one.
    """
    if payload is None:
        return None
    try:
        data = base64.b64decode((payload.url or "").partition(",")[2])
        with Image.open(BytesIO(data), formats=PICTURES) as picture:
            check_size(*picture.size)
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError("The page sent data that is not an image.") from error


async def _ignore_position(_: int) -> None:
    """Do nothing: the page cannot be notified while its frame waits for an answer."""


def fallback_webcam(state: ServerState, token: gr.State) -> gr.Column:
    """Build the hidden part of the live page that replaces the webcam button."""
    webcams = FallbackWebcams(state)
    column = gr.Column(visible=False, elem_id="fallback", elem_classes="card")
    with column:
        gr.Markdown(t("My webcam at a low frame rate"), elem_classes="title")
        gr.Markdown(
            t(
                "This browser or the network does not allow WebSocket or canvas. The frame rate is low, so short "
                "micro-expressions are missed."
            )
        )
        picture = gr.Image(
            sources=["webcam"],
            streaming=True,
            type="numpy",
            show_label=False,
            webcam_options=gr.WebcamOptions(mirror=False),
            elem_id="fallback-picture",
        )
        status = gr.HTML(
            html_template='<div class="m"></div>',
            js_on_load="merau.fallbackStatus(element, props, watch)",
            apply_default_css=False,
            elem_id="fallback-status",
        )
    # Gradio's own method decodes whatever the header says. (A subclass would make Gradio write a file beside this one.)
    picture.preprocess = read_picture  # type: ignore[method-assign]
    picture.stream(
        webcams.push, [token, picture], status, stream_every=FRAME_PERIOD_S, time_limit=None, **private_endpoint()
    )
    return column
