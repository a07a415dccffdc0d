"""The review page: sessions and their events, recordings to analyse, labels, and teaching."""

import math
import re
import shutil
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr

from merau.engine.errors import Message, UserError
from merau.engine.few_shot import ENOUGH_SAMPLES
from merau.engine.recognizer import NO_EXPRESSION
from merau.stream.coding import TIMES, new_missed_id, read_missed_events
from merau.stream.events import Coding, event_fields
from merau.stream.events import to_json as to_json_value
from merau.stream.export import FORMATS
from merau.stream.sources import File, SourceSettings
from merau.stream.store import (
    CodingStep,
    MotionCurve,
    Session,
    read_clip_ids,
    read_coding_history,
    read_events,
    read_original_predictions,
    read_sessions,
)
from merau.stream.ui.handlers import private_endpoint, show_user_errors
from merau.stream.ui.i18n import t
from merau.stream.ui.message_json import to_json
from merau.stream.ui.middleware import HEAD_SUFFIXES, VIDEO_SUFFIXES
from merau.stream.ui.server_state import ServerState
from merau.stream.ui.workspace import PRIVATE, SHARED, Workspace, session_number

MAX_EVENTS = 1000  # of a session, on the page
MAX_STEPS = 50  # of its history
FITS_AT_ONCE = 4  # a large head takes seconds, and must not keep all others waiting
PROGRESS_EVERY_S = 0.2
KEEP_RESERVES = 2  # an upload is kept for scrubbing while so many times the reserve of the disk is free


def review_page(state: ServerState, token: gr.State, tab: gr.Tab) -> None:
    """Build the page inside its tab."""
    with gr.Row(elem_id="choosing"):
        session = gr.Dropdown(label=t("Session"), choices=[], elem_id="session", scale=3)
        folder = gr.Dropdown(
            label=t("Recording from folder"),
            choices=_recordings(state.settings.recordings) if state.settings.is_trusted else [],
            value=None,
            visible=state.settings.recordings is not None and state.settings.is_trusted,
            elem_id="folder",
            scale=2,
        )
        upload = gr.UploadButton(
            t("Analyse a recording"), file_types=list(VIDEO_SUFFIXES), elem_id="upload", scale=0, min_width=260
        )
    progress = gr.HTML(elem_id="progress")
    review = gr.HTML(
        html_template='<div class="m"><div class="review"></div></div>',
        js_on_load="merau.reviewView(element, trigger, props, watch); // 'code' 'undo_coding' 'refresh'",
        apply_default_css=False,
        elem_id="review",
    )
    with gr.Column(elem_id="teaching", elem_classes="card"):
        gr.Markdown(t("Teach"), elem_classes="title")
        panel = gr.HTML(
            html_template='<div class="m"></div>',
            js_on_load="merau.teachPanel(element, props, watch)",
            apply_default_css=False,
            elem_id="teach-panel",
        )
        with gr.Row():
            teach = gr.Button(t("Teach your classes"), variant="primary", elem_id="teach", interactive=False)
            keep = gr.Button(t("Keep"), variant="primary", elem_id="keep-teaching", visible=False)
            discard = gr.Button(t("Discard"), elem_id="discard-teaching", visible=False)
            undo_teaching = gr.Button(t("Undo teaching"), elem_id="undo-teaching", interactive=False)
            load = gr.UploadButton(t("Load saved classes"), file_types=list(HEAD_SUFFIXES), elem_id="load")

    handlers = ReviewHandlers(state)
    shown = [session, review, panel, teach, keep, discard, undo_teaching]
    tab.select(handlers.show, [token, session], shown, **private_endpoint())
    session.input(handlers.show, [token, session], shown, **private_endpoint())
    review.refresh(handlers.show, [token, session], shown, **private_endpoint())
    each = private_endpoint(trigger_mode="multiple")  # somebody may press keys faster than the server answers
    review.code(handlers.code, [token, session], shown, **each)
    review.undo_coding(handlers.undo_coding, [token, session], shown, **each)
    fitting = private_endpoint(concurrency_limit=FITS_AT_ONCE)
    teach.click(handlers.propose, [token, session], shown, **fitting)
    keep.click(handlers.keep, [token, session], shown, **fitting)
    discard.click(handlers.discard, [token, session], shown, **private_endpoint())
    undo_teaching.click(handlers.undo_head, [token, session], shown, **private_endpoint())
    load.upload(handlers.load_head, [token, session, load], shown, **fitting)
    slow_endpoint = private_endpoint(show_progress="full", show_progress_on=progress, concurrency_limit=1)
    upload.upload(handlers.analyse_upload, [token, upload], [progress, *shown], **slow_endpoint)
    folder.select(handlers.analyse_recording, [token, folder], [progress, *shown], **slow_endpoint)


class ReviewHandlers:
    """Event handlers of the review page.

    All take the page's token first. `chosen` is the value of the session dropdown, "WORKSPACE:SESSION". All return the
    values of the dropdown, the review, the teaching panel and its four buttons, as `show` does.
    """

    def __init__(self, state: ServerState) -> None:
        self._state = state

    @show_user_errors
    def show(self, token: str, chosen: str | None) -> tuple[Any, ...]:
        """Show the sessions, and the content of the chosen one, or of the newest."""
        choices = self._session_choices(token)
        values = [value for _, value in choices]
        chosen = chosen if chosen in values else (values[0] if values else None)
        if chosen is None:
            return gr.update(choices=[], value=None), None, *_teaching_panel(self._state.client(token).workspace)
        workspace, session = self._open(token, chosen)
        dropdown = gr.update(choices=choices, value=chosen)
        return dropdown, _session_content(workspace, session), *_teaching_panel(workspace)

    @show_user_errors
    def code(self, token: str, chosen: str, event: gr.EventData) -> tuple[Any, ...]:
        """Store what a coder changes in the coding of an event, or of a new one that the machine missed."""
        workspace, session = self._open(token, chosen)
        coder, event_id = str(event.coder), str(event.event or "")
        changes = _coding_changes(event.changes)
        if not event_id:
            missed = Coding(session, new_missed_id(), coder, is_missed=True)
            workspace.teaching.code(replace(missed, **changes), None)
            return self.show(token, chosen)
        found = workspace.event(session, event_id)
        own = next((coding for coding in found.codings if coding.coder == coder), None)
        if found.coding and found.coding.is_missed:  # another coder's times are the ones to begin with
            own = own or replace(found.coding, coder=coder, note="", label=None, aus=None)
        coding = replace(own or Coding(session, event_id, coder), **changes, given="")
        workspace.teaching.code(coding, None if coding.is_missed else found)
        return self.show(token, chosen)

    @show_user_errors
    def undo_coding(self, token: str, chosen: str, event: gr.EventData) -> tuple[Any, ...]:
        """Take back the newest coding of a coder in the chosen session."""
        workspace, session = self._open(token, chosen)
        workspace.teaching.undo_coding(session, str(event.coder))
        return self.show(token, chosen)

    @show_user_errors
    def propose(self, token: str, chosen: str | None) -> tuple[Any, ...]:
        """Fit a few-shot head to all samples, and show what it would change."""
        self._workspace(token, chosen).teaching.propose()
        return self.show(token, chosen)

    @show_user_errors
    def keep(self, token: str, chosen: str | None) -> tuple[Any, ...]:
        """Put the proposed head to work."""
        self._workspace(token, chosen).teaching.accept()
        return self.show(token, chosen)

    @show_user_errors
    def discard(self, token: str, chosen: str | None) -> tuple[Any, ...]:
        """Forget the proposed head."""
        self._workspace(token, chosen).teaching.discard()
        return self.show(token, chosen)

    @show_user_errors
    def undo_head(self, token: str, chosen: str | None) -> tuple[Any, ...]:
        """Go back to the head before."""
        self._workspace(token, chosen).teaching.undo_head()
        return self.show(token, chosen)

    @show_user_errors
    def load_head(self, token: str, chosen: str | None, file: str) -> tuple[Any, ...]:
        """Use the few-shot head of an uploaded file."""
        path = Path(file)
        try:
            self._workspace(token, chosen).teaching.load_head(path)
        except UserError as error:
            raise _without_folder(error.message, path) from None
        finally:
            path.unlink(missing_ok=True)
        return self.show(token, chosen)

    @show_user_errors
    def analyse_upload(
        self,
        token: str,
        file: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (Gradio finds it by its default)
    ) -> tuple[Any, ...]:
        """Analyse an uploaded recording and show its session."""
        client = self._state.client(token)
        workspace = self._state.shared if self._state.settings.is_trusted else client.workspace
        recording = client.folder / Path(file).name
        with client.connected():  # the session lasts as long as the analysis, whether or not the page stays
            client.folder.mkdir(mode=0o700, exist_ok=True)
            shutil.move(file, recording)
            try:
                recording.chmod(0o600)
                session = _analyse(workspace, recording, progress)
                workspace.keep_upload(session, recording, KEEP_RESERVES * self._state.settings.reserve_mb * 2**20)
            finally:
                recording.unlink(missing_ok=True)
        return "", *self.show(token, f"{workspace.name}:{session}")

    @show_user_errors
    def analyse_recording(
        self,
        token: str,
        name: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (Gradio finds it by its default)
    ) -> tuple[Any, ...]:
        """Analyse a recording of the server's folder and show its session."""
        folder = self._state.settings.recordings
        if folder is None or name is None or name not in _recordings(folder):
            raise UserError("This recording is no longer in the folder.")
        workspace = self._state.workspace(token, SHARED)
        session = _analyse(workspace, folder / name, progress)
        workspace.remember_recording(session, folder / name)
        return "", *self.show(token, f"{workspace.name}:{session}")

    def _session_choices(self, token: str) -> list[tuple[str, str]]:
        """Return label and value of every session that the page may review, the newest first."""
        workspaces = [self._state.client(token).workspace]
        if self._state.settings.is_trusted:
            workspaces.append(self._state.shared)
        found = [(session, workspace) for workspace in workspaces for session in read_sessions(workspace.store.path)]
        found.sort(key=lambda pair: pair[0].started, reverse=True)
        return [(_session_title(session), f"{workspace.name}:{session.id}") for session, workspace in found]

    def _open(self, token: str, chosen: str | None) -> tuple[Workspace, int]:
        name, _, number = (chosen or "").partition(":")
        session = session_number(number)
        if session is None:
            raise UserError("Choose a session first.")
        return self._state.workspace(token, name), session

    def _workspace(self, token: str, chosen: str | None) -> Workspace:
        """Return the workspace to teach: that of the chosen session, or the page's own."""
        return self._open(token, chosen)[0] if chosen else self._state.workspace(token, PRIVATE)


def _analyse(workspace: Workspace, path: Path, progress: gr.Progress) -> int:
    """Analyse a recording from start to end; returns its session."""
    try:
        source = File(str(path), SourceSettings())
    except UserError as error:
        raise _without_folder(error.message, path) from None
    camera = workspace.add_camera(path.name, lambda: source, replay=True, is_live=False)
    try:
        while camera.running:
            progress((camera.analysed, source.frames_total or None), unit="")
            time.sleep(PROGRESS_EVERY_S)
    finally:
        workspace.remove_camera(camera.number)
    if camera.error:
        raise _without_folder(camera.error, path)
    if camera.session is None:
        raise UserError("The recording could not be analysed.")
    return camera.session


def _without_folder(message: Message, path: Path) -> UserError:
    """Return the error with the file's name in place of its path, which is not the page's business."""
    values = {name: _hide_folder(value, path) for name, value in message.values.items()}
    return UserError.from_message(Message(message.template.replace(str(path), path.name), values))


def _hide_folder(value: object, path: Path) -> object:
    if isinstance(value, Message):
        return _without_folder(value, path).message
    return str(value).replace(str(path), path.name) if isinstance(value, str | Path) else value


def _recordings(folder: Path | None) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES) if folder else []


def _session_title(session: Session) -> str:
    """Name a session by its title and start."""
    is_interrupted = session.partial and session.ended is not None
    title = f"{session.title} · {_local_time(session.started)}"
    return f"{title} · partial" if is_interrupted else title


def _local_time(iso_time: str) -> str:
    """Format an ISO 8601 time in this server's time zone."""
    return datetime.fromisoformat(iso_time).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _coding_changes(sent: Any) -> dict[str, Any]:
    """Return the fields of a coding that the page sent; `check_coding` tells whether they fit.

    Raises:
        UserError: They are not what the page sends.
    """
    types = {"kind": str, "label": str, "note": str, "is_false": bool, "track": int} | dict.fromkeys(TIMES, float)
    changes: dict[str, Any] = {}
    try:
        for name, value in dict(sent).items():
            if name == "aus":
                changes[name] = None if value is None else tuple(unit for unit in re.split(r"[\s+,AU]+", value) if unit)
            else:
                changes[name] = None if value is None else types[name](value)
    except (KeyError, ValueError, TypeError, OverflowError):
        raise UserError("There is nothing at this address.") from None
    if changes.get("label"):
        changes["label"] = changes["label"].strip()
    return changes


def _session_content(workspace: Workspace, session: int) -> dict[str, Any]:
    """Return one session as review.js draws it."""
    path = workspace.store.path
    clips, originals = read_clip_ids(path, session), read_original_predictions(path, session)
    recording = workspace.recording(session)
    events = list(read_events(path, session))
    left_out, events = len(events[:-MAX_EVENTS]), events[-MAX_EVENTS:]
    rows = [
        event_fields(event)
        | {"codings": [_coding(coding) for coding in event.codings], "original": originals.get(event.id)}
        | {"clip": event.id in clips or recording is not None}
        | {"pictures": event.onset_jpeg is not None or recording is not None}
        | {"movement": event.flow_png is not None, "missed": bool(event.coding and event.coding.is_missed)}
        for event in (*events, *read_missed_events(path, session))
    ]
    curves = {curve.track: curve for curve in workspace.curves(session)}
    tracks = sorted({row["track"] for row in rows} | set(curves))
    labels = {coding["label"] for row in rows for coding in row["codings"] if coding["label"]}
    classes = labels | set(workspace.teaching.bundle.card["classes"])
    found = workspace.session(session)
    ends = [row["offset_s"] for row in rows] + [len(curve.motion_px) * curve.bin_s for curve in curves.values()]
    return {
        "workspace": workspace.name,
        "session": session,
        "duration_s": max([*ends, found.end_s or 0.0]),
        "frame_s": (found.end_s or 0.0) / max(found.frames - 1, 1) or 1 / 30,
        "recording": recording is not None,
        "is_recording": Path(found.source).suffix.lower() in VIDEO_SUFFIXES,
        "left_out": left_out,
        "events": rows,
        "history": [_step(step) for step in read_coding_history(path, session)][-MAX_STEPS:],
        "tracks": [_lane(track, curves.get(track)) for track in tracks],
        "formats": list(FORMATS),
        "classes": sorted(classes - {NO_EXPRESSION}),
    }


def _coding(coding: Coding) -> dict[str, Any]:
    """Return a coding as JSON fields."""
    fields = {name: to_json_value(value) for name, value in vars(coding).items() if name != "aus"}
    return fields | {"aus": None if coding.aus is None else list(coding.aus)}


def _step(step: CodingStep) -> dict[str, Any]:
    return {"coding": _coding(step.coding), "at": step.at, "is_undo": step.is_undo}


def _lane(track: int, curve: MotionCurve | None) -> dict[str, Any]:
    """Return the motion of one face for the timeline, None where the face was away."""
    if curve is None:
        return {"track": track, "bin_s": 1.0, "motion": [], "noise": []}
    values_px = {"motion": curve.motion_px, "noise": curve.noise_px}
    rounded = {name: [None if math.isnan(v) else round(v, 3) for v in px.tolist()] for name, px in values_px.items()}
    return {"track": track, "bin_s": curve.bin_s, **rounded}


def _teaching_panel(workspace: Workspace) -> tuple[object, ...]:
    """Return the content of the teaching panel, and its buttons: Teach, Keep, Discard, Undo."""
    head, proposal = workspace.teaching.head, workspace.teaching.proposal
    counts = Counter(sample.label for sample in workspace.teaching.samples())
    content = {
        "workspace": workspace.name,
        "counts": dict(counts.most_common()),
        "enough": ENOUGH_SAMPLES,
        "taught": head is not None,
        "explanation": to_json(head.explanation) if head else "",
        "proposal": to_json(proposal.head.explanation) if proposal else "",
        "preview": to_json(proposal.preview.message) if proposal else "",
    }
    decides = gr.update(visible=proposal is not None)
    teach, undo = gr.update(interactive=len(counts) > 1), gr.update(interactive=head is not None)
    return content, teach, decides, decides, undo
