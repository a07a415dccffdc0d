"""Files that a page may download from a workspace: images and clips of events, exports, the few-shot head."""

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.responses import Response

from merau.engine.errors import UserError
from merau.stream.coding import read_missed_events
from merau.stream.events import EXPORT_FIELDS, IMAGES, Event
from merau.stream.export import FORMATS, write_events
from merau.stream.export_settings import ExportSettings
from merau.stream.store import read_clip, read_events, read_sessions
from merau.stream.ui.event_clip import blur
from merau.stream.ui.server_state import ServerState
from merau.stream.ui.workspace import Workspace, session_number

PRIVATE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Query = Mapping[str, str]


def download(state: ServerState, kind: str, query: Query) -> Response:
    """Answer a request to /merau/get/KIND?token=...&workspace=...

    Raises:
        UserError: There is no such file, or the page may not have it.
    """
    workspace = state.workspace(query.get("token", ""), query.get("workspace", ""))
    if kind not in DOWNLOADS:
        raise UserError("There is nothing at this address.")
    return DOWNLOADS[kind](workspace, query)


def _picture(workspace: Workspace, query: Query) -> Response:
    event = workspace.event(_session_id(query), query.get("event", ""))
    name = query.get("name", "")
    data = getattr(event, name) if name in IMAGES else None
    if data is None and name in IMAGES and (recording := workspace.recording(_session_id(query))):
        data = recording.pictures(event).get(name)
    if data is None:
        raise UserError("There is no such image.")
    return Response(data, media_type="image/png" if name.endswith("png") else "image/jpeg", headers=PRIVATE_HEADERS)


def _clip(workspace: Workspace, query: Query) -> Response:
    session, event_id = _session_id(query), query.get("event", "")
    mp4 = read_clip(workspace.store.path, session, event_id)
    if mp4 is None and (recording := workspace.recording(session)):
        mp4 = recording.clip(workspace.event(session, event_id))
    if mp4 is None:
        raise UserError("There is no clip of this event.")
    return Response(mp4, media_type="video/mp4", headers=PRIVATE_HEADERS)


def _frame(workspace: Workspace, query: Query) -> Response:
    """The frame of the session's recording at a time."""
    recording = workspace.recording(_session_id(query))
    t_s = float(query["t"]) if re.fullmatch(r"\d{1,6}(\.\d{1,9})?", query.get("t", "")) else None
    if recording is None or t_s is None:
        raise UserError("The recording of this session is not here.")
    return Response(recording.frame_at(t_s), media_type="image/jpeg", headers=PRIVATE_HEADERS)


def _events(workspace: Workspace, query: Query) -> Response:
    session, suffix, labels = _session_id(query), query.get("format", ""), query.get("labels", "both")
    if labels not in EXPORT_FIELDS:
        raise UserError("There is nothing at this address.")
    if suffix not in FORMATS:
        raise UserError("Unknown format: choose one of {formats}.", formats=", ".join(FORMATS))
    file = io.BytesIO()
    path = workspace.store.path
    slowdown = next((s.slowdown for s in read_sessions(path) if s.id == session), 1.0)
    events = [*read_events(path, session), *read_missed_events(path, session)]
    write_events(suffix, events, file, ExportSettings(labels, slowdown))
    return _attachment(file.getvalue(), f"{_file_stem(workspace, session)}.{suffix}")


def _clips(workspace: Workspace, query: Query) -> Response:
    """All clips of a session as a ZIP archive, with blurred faces on request."""
    session, blurs = _session_id(query), query.get("blur") == "1"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for event in read_events(workspace.store.path, session):
            if mp4 := read_clip(workspace.store.path, session, event.id):
                archive.writestr(_clip_name(event), blur(mp4) if blurs else mp4)
        if not archive.namelist():
            raise UserError("There are no clips of this session.")
    return _attachment(file.getvalue(), f"{_file_stem(workspace, session)}{'-blurred' if blurs else ''}.zip")


def _head(workspace: Workspace, _: Query) -> Response:
    head = workspace.teaching.head
    if head is None:
        raise UserError("No classes have been taught yet.")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "taught.safetensors"
        head.save(path)
        return _attachment(path.read_bytes(), path.name)


DOWNLOADS: dict[str, Callable[[Workspace, Query], Response]] = {
    "picture": _picture,
    "clip": _clip,
    "frame": _frame,
    "events": _events,
    "clips": _clips,
    "head": _head,
}


def _session_id(query: Query) -> int:
    session = session_number(query.get("session", ""))
    if session is None:
        raise UserError("The session is missing.")
    return session


def _clip_name(event: Event) -> str:
    return f"{event.onset_s:09.3f}-face{event.track}-{event.kind}.mp4"


def _file_stem(workspace: Workspace, session: int) -> str:
    """Name the files of a session after its source, in plain characters."""
    source = next((s.source for s in read_sessions(workspace.store.path) if s.id == session), "events")
    stem = Path(source).stem[:60]
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in stem).strip("-.")
    return f"{plain or 'events'}-{session}"


def _attachment(data: bytes, name: str) -> Response:
    headers = PRIVATE_HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="application/octet-stream", headers=headers)
