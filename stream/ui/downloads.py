"""What a page may fetch of its workspace: pictures and films of events, exports, the taught head."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.responses import Response

from merau.engine.errors import UserError
from merau.stream.events import IMAGES, Event
from merau.stream.export import FORMATS
from merau.stream.store import read_clip, read_events, read_sessions
from merau.stream.ui.event_clip import blurred
from merau.stream.ui.server_state import ServerState
from merau.stream.ui.workspace import Workspace

PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def download(state: ServerState, what: str, query: Mapping[str, str]) -> Response:
    """The answer to /merau/get/WHAT?token=...&workspace=...; raises UserError where there is no such thing for them."""
    workspace = state.workspace(query.get("token", ""), query.get("workspace", ""))
    makers: dict[str, Callable[[Workspace, Mapping[str, str]], Response]] = {
        "picture": _picture,
        "clip": _clip,
        "events": _events,
        "clips": _clips,
        "head": _head,
    }
    if what not in makers:
        raise UserError("There is nothing at this address.")
    return makers[what](workspace, query)


def _session(query: Mapping[str, str]) -> int:
    if not query.get("session", "").isdecimal():
        raise UserError("The session is missing.")
    return int(query["session"])


def _picture(workspace: Workspace, query: Mapping[str, str]) -> Response:
    event = workspace.event(_session(query), query.get("event", ""))
    name = query.get("name", "")
    data = getattr(event, name) if name in IMAGES else None
    if data is None:
        raise UserError("There is no such image.")
    return Response(data, media_type="image/png" if name.endswith("png") else "image/jpeg", headers=PRIVATE)


def _clip(workspace: Workspace, query: Mapping[str, str]) -> Response:
    mp4 = read_clip(workspace.store.path, _session(query), query.get("event", ""))
    if mp4 is None:
        raise UserError("There is no clip of this event.")
    return Response(mp4, media_type="video/mp4", headers=PRIVATE)


def _events(workspace: Workspace, query: Mapping[str, str]) -> Response:
    session, form = _session(query), query.get("format", "")
    if form not in FORMATS:
        raise UserError("Unknown format: choose one of {formats}.", formats=", ".join(FORMATS))
    file = io.BytesIO()
    FORMATS[form](list(read_events(workspace.store.path, session)), file)
    return _saved(file.getvalue(), f"{_stem(workspace, session)}.{form}")


def _clips(workspace: Workspace, query: Mapping[str, str]) -> Response:
    """All films of a session as a zip, the faces blurred if asked."""
    session, blur = _session(query), query.get("blur") == "1"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for event in read_events(workspace.store.path, session):
            if mp4 := read_clip(workspace.store.path, session, event.id):
                archive.writestr(_film_name(event), blurred(mp4) if blur else mp4)
        if not archive.namelist():
            raise UserError("There are no clips of this session.")
    return _saved(file.getvalue(), f"{_stem(workspace, session)}{'-blurred' if blur else ''}.zip")


def _head(workspace: Workspace, query: Mapping[str, str]) -> Response:
    if not workspace.heads:
        raise UserError("No classes have been taught yet.")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "taught.safetensors"
        workspace.heads[-1].save(path)
        return _saved(path.read_bytes(), path.name)


def _film_name(event: Event) -> str:
    return f"{event.onset_s:09.3f}-face{event.track}-{event.kind}.mp4"


def _stem(workspace: Workspace, session: int) -> str:
    source = next((s.source for s in read_sessions(workspace.store.path) if s.id == session), "events")
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in Path(source).stem).strip("-.")
    return f"{plain or 'events'}-{session}"


def _saved(data: bytes, name: str) -> Response:
    headers = PRIVATE | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="application/octet-stream", headers=headers)
