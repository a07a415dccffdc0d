"""The programming interface: metrics, health, cameras, sessions, events and clips, over HTTP and a socket."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.requests import HTTPConnection

from merau.engine.errors import UserError
from merau.stream.events import FIELDS, Event, Kind, event_fields
from merau.stream.service.events import CameraEvent, CameraStatus
from merau.stream.service.feed import Listener
from merau.stream.service.health import Health
from merau.stream.service.metrics import CONTENT_TYPE, Metrics
from merau.stream.service.service import Service
from merau.stream.store import read_changed_events, read_clip, read_clip_ids, read_sessions
from merau.stream.store.clock import iso_time
from merau.stream.store.models import Session

ROOT = "/api/v1"
MAX_EVENTS = 1000  # of one answer
MAX_NUMBER = 2**63 - 1  # that SQLite can hold
CLOSE_TOO_SLOW = 4408
LOOK_S = 1.0

_Fields: dict[str, Any] = {name: (Event.__annotations__[name] | None, ...) for name in FIELDS}
EventFields = create_model("EventFields", **_Fields, __doc__="An event, as every output of merau has it.")


SessionNumber = Annotated[int, Path(ge=1, le=MAX_NUMBER)]


class StoredEvent(BaseModel):
    """An event with where it comes from."""

    camera: str = Field(description="name of the camera")
    session: int = Field(description="number of the session")
    has_clip: bool = Field(description="whether there is a clip of it")
    event: EventFields  # type: ignore[valid-type]


class EventPage(BaseModel):
    """Events in the order in which they were recorded or changed."""

    events: list[StoredEvent]
    next: str = Field(description="pass it as `since` to get what comes later")
    more: bool = Field(description="whether more can be had at once")


class SessionFields(BaseModel):
    """The analysis of one source."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    source: str
    started: str
    ended: str | None
    frames: int
    dropped: int
    gaps: list[tuple[float, float]]
    purpose: str | None
    consented: str | None
    retention_h: float | None
    partial: bool
    bundle: str
    run: str


class EventQuery(BaseModel):
    """Which events are wanted; what is not given leaves out nothing."""

    model_config = ConfigDict(extra="forbid")

    camera: list[str] = Field([], description="name of a camera; may be repeated")
    kind: list[Kind] = Field([], description="sort of movement; may be repeated")
    label: list[str] = Field([], alias="class", description="class; an uncertain event has none; may be repeated")
    min_probability: float = Field(0.0, ge=0, le=1, description="how likely the class must be")
    final: bool = Field(False, description="final reports only")

    def wants(self, camera: str, event: Event) -> bool:
        """Whether an event of a camera is one of these."""
        return (
            (not self.camera or camera in self.camera)
            and (not self.kind or event.kind in self.kind)
            and (not self.label or (not event.uncertain and event.label in self.label))
            and event.probabilities.get(event.label, 0.0) >= self.min_probability
            and (event.final or not self.final)
        )


class PageQuery(EventQuery):
    """Which events of the store are wanted, and how many at once."""

    since: str = Field("", description="`next` of an earlier answer, or an ISO 8601 time: what was recorded after it")
    session: int | None = Field(None, ge=1, le=MAX_NUMBER, description="of this session only")
    limit: int = Field(100, ge=1, le=MAX_EVENTS, description="at most so many")


def build_api(service: Service) -> FastAPI:
    """Build the interface. Who may ask is decided before it: see `merau.stream.ui.gate`."""
    api = FastAPI(
        title="merau-live",
        version="1",
        description='Cameras, sessions and events of a service. Errors are {"detail": sentence}.',
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    metrics = Metrics(service.snapshot)

    @api.exception_handler(UserError)
    async def tell_error(_: HTTPConnection, error: UserError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503)

    @api.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    def get_metrics() -> Response:
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    @api.get("/healthz", summary="Whether the service works (200) or not (503)")
    def get_alive() -> JSONResponse:
        return _probe(service.health().is_alive)

    @api.get("/readyz", summary="Whether it works and every camera is seen (200) or not (503)")
    def get_ready() -> JSONResponse:
        return _probe(service.health().is_ready)

    @api.get(f"{ROOT}/health", summary="What is wrong now")
    def get_health() -> Health:
        return service.health()

    @api.get(f"{ROOT}/cameras", summary="The state of each camera")
    def get_cameras() -> list[CameraStatus]:
        return list(service.cameras())

    _add_stored(api, service)
    _add_live(api, service)
    return api


def _probe(is_well: bool) -> JSONResponse:
    return JSONResponse({"status": "ok" if is_well else "fault"}, 200 if is_well else 503)


def _add_stored(api: FastAPI, service: Service) -> None:
    """Add what is read from the store."""
    path = service.store.path

    @api.get(f"{ROOT}/sessions", summary="The sessions, the newest first")
    def get_sessions(
        camera: str | None = None,
        since: Annotated[str, Query(description="started at this time (ISO 8601) or later")] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 100,
    ) -> list[SessionFields]:
        found = (session for session in reversed(read_sessions(path)) if camera in (None, session.title))
        start = _mark(since)
        return [SessionFields.model_validate(each) for each in islice((s for s in found if s.started >= start), limit)]

    @api.get(f"{ROOT}/sessions/{{session}}", summary="One session")
    def get_session(session: SessionNumber) -> SessionFields:
        return SessionFields.model_validate(_session(service, session))

    @api.get(f"{ROOT}/events", summary="Events that were recorded or changed since a time")
    def get_events(query: Annotated[PageQuery, Query()]) -> EventPage:
        return read_page(service, query)

    @api.get(
        f"{ROOT}/sessions/{{session}}/events/{{event}}/clip",
        summary="The clip of an event (MP4)",
        response_class=Response,
        responses={200: {"content": {"video/mp4": {}}}, 404: {"description": "there is no clip of it"}},
    )
    def get_clip(session: SessionNumber, event: str) -> Response:
        if (mp4 := read_clip(path, session, event)) is None:
            raise HTTPException(404, "There is no clip of this event.")
        return Response(mp4, media_type="video/mp4")


def read_page(service: Service, query: PageQuery) -> EventPage:
    """Read the next events of the store that a query wants."""
    path = service.store.path
    titles = {session.id: session.title for session in read_sessions(path)}
    clips: dict[int, set[str]] = {}
    page = EventPage(events=[], next=_mark(query.since), more=False)
    changed: Iterator[tuple[str, Event]] = read_changed_events(path, page.next, query.session)
    for mark, event in changed:
        session = event.session or 0
        camera = titles.get(session, "")
        if query.wants(camera, event):
            if len(page.events) == query.limit:
                page.more = True
                break
            if session not in clips:
                clips[session] = read_clip_ids(path, session)
            page.events.append(_stored(camera, event, has_clip=event.id in clips[session]))
        page.next = mark
    return page


def _stored(camera: str, event: Event, *, has_clip: bool) -> StoredEvent:
    fields = EventFields.model_construct(**event_fields(event))
    return StoredEvent.model_construct(camera=camera, session=event.session or 0, has_clip=has_clip, event=fields)


def _add_live(api: FastAPI, service: Service) -> None:
    """Add the stream of events as they are reported."""

    @api.websocket(f"{ROOT}/events/live")
    async def live_events(socket: WebSocket, query: Annotated[EventQuery, Query()]) -> None:
        async with service.feed.listening() as listener:
            await socket.accept()  # from now on the client counts on getting all
            sending = asyncio.create_task(_send_events(socket, listener, query))
            with suppress(WebSocketDisconnect):
                while not sending.done():  # what a client sends is not read; only that it goes
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_S):
                            await socket.receive_text()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if listener.overflowed:
            await socket.close(CLOSE_TOO_SLOW, "The events were not read fast enough: ask for them since the last one.")


async def _send_events(socket: WebSocket, listener: Listener, query: EventQuery) -> None:
    while not listener.overflowed:
        told = await listener.get()
        if query.wants(told.camera, told.event):
            await socket.send_json(live_fields(told))


def live_fields(told: CameraEvent) -> dict[str, Any]:
    """Return a report of an event as the socket sends it."""
    fields = {name: value for name, value in asdict(told).items() if name in ("camera", "group", "session")}
    return fields | {"time": told.wall.isoformat(timespec="milliseconds"), "event": event_fields(told.event)}


def _session(service: Service, number: int) -> Session:
    found = next((session for session in read_sessions(service.store.path) if session.id == number), None)
    if found is None:
        raise HTTPException(404, "There is no such session.")
    return found


def _mark(since: str) -> str:
    """Return the mark that `since` stands for."""
    time, slash, number = since.partition("/")
    try:
        mark = _as_stored(datetime.fromisoformat(time)) if time else ""
        return f"{mark}/{min(int(number), MAX_NUMBER)}" if slash else mark
    except (ValueError, OverflowError):
        raise HTTPException(422, "`since` is neither a time (ISO 8601) nor the `next` of an answer.") from None


def _as_stored(at: datetime) -> str:
    """Return a time as the store writes it; without a zone it is UTC."""
    return iso_time(at.replace(tzinfo=at.tzinfo or UTC))
