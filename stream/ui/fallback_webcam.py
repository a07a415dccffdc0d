"""The last resort for a visitor's webcam: pictures by gr.Image, where the browser has no WebSocket or no canvas.

They come at a low rate and without their capture times: short micro-expressions are missed, and the page says so.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import cv2
import gradio as gr
import numpy as np

from merau.engine.errors import Message, UserError
from merau.stream.sources import Browser
from merau.stream.sources.browser import Packet
from merau.stream.ui.camera_worker import Camera
from merau.stream.ui.handlers import private_endpoint
from merau.stream.ui.i18n import t, to_json
from merau.stream.ui.routes import WEBCAM
from merau.stream.ui.server_state import ClientSession, ServerState

EVERY_S = 0.05  # asked of the browser, which sends when it can
SILENT_S = 5.0  # without a picture the webcam is let go
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]


@dataclass
class FallbackSession:
    """One webcam that is analysed; `ticket` is its place."""

    source: Browser
    camera: Camera
    ticket: object
    picture: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    began_s: float = field(default_factory=time.monotonic)
    seen_s: float = field(default_factory=time.monotonic)


class FallbackWebcams:
    """The visits by token. Used on the server's event loop only."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._visits: dict[str, FallbackSession] = {}
        self._beginning: set[str] = set()
        self._watching: set[asyncio.Task[None]] = set()

    async def take(self, key: str, picture: np.ndarray | None) -> dict[str, Any]:
        """Analyse a picture (H, W, 3) uint8 RGB; returns what the page shows: the faces, or the trouble."""
        try:
            client = self._state.client(key)
            if picture is None or key in self._beginning:
                return {}
            if key not in self._visits:
                await self._begin(client)
            visit = self._visits[key]
            self._push(visit, picture)
            shot = visit.camera.last_frame
            faces = shot.header["faces"] if shot else []
            return {"faces": [face | {"reason": to_json(face["reason"])} for face in faces]}
        except UserError as error:
            return {"error": to_json(error.message)}

    async def _begin(self, client: ClientSession) -> None:
        if client.consent is None:
            raise UserError("Before a camera is analysed, state the purpose and confirm that everyone in view agrees.")
        try:
            ticket = await asyncio.wait_for(self._state.admission.enter(_patience), 0.1)
        except TimeoutError:
            raise UserError("The server is busy. Please come back in a few minutes.") from None
        source = Browser("webcam", WEBCAM, datetime.now(UTC))
        self._beginning.add(client.token)
        try:
            camera = await asyncio.to_thread(client.workspace.add, source.name, lambda: source, replay=False)
        except BaseException:
            self._state.admission.release(ticket)
            raise
        finally:
            self._beginning.discard(client.token)
        self._visits[client.token] = visit = FallbackSession(source, camera, ticket)
        task = asyncio.create_task(self._let_go(client, visit))
        self._watching.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._watching.discard)

    def _push(self, visit: FallbackSession, picture: np.ndarray) -> None:
        visit.seen_s = time.monotonic()
        if not np.array_equal(picture, visit.picture):  # the browser sends some twice
            visit.picture = picture
            coded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), QUALITY)[1].tobytes()
            visit.source.push(Packet("jpeg", visit.seen_s - visit.began_s, coded))

    async def _let_go(self, client: ClientSession, visit: FallbackSession) -> None:
        """Once it is silent, or its time is over."""
        try:
            while time.monotonic() < min(visit.seen_s + SILENT_S, visit.began_s + self._state.settings.visit_s):
                await asyncio.sleep(0.5)
        finally:
            del self._visits[client.token]
            visit.source.end(Message("the page let the camera go"))
            self._state.admission.release(visit.ticket)
        with suppress(UserError):  # the visitor has left, and took the camera along
            await asyncio.to_thread(client.workspace.remove, visit.camera.number)


async def _patience(_: int) -> None:
    """Nobody can be told while a picture waits for its answer."""


def fallback_webcam(state: ServerState, token: gr.State) -> gr.Column:
    """Build it, hidden."""
    webcams = FallbackWebcams(state)
    with gr.Column(visible=False, elem_id="slow", elem_classes="card") as column:
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
            elem_id="slow-picture",
        )
        said = gr.HTML(
            html_template='<div class="m"></div>',
            js_on_load="merau.fallbackStatus(element, props, watch)",
            apply_default_css=False,
            elem_id="slow-said",
        )
    picture.stream(webcams.take, [token, picture], said, stream_every=EVERY_S, time_limit=None, **private_endpoint())
    return column
