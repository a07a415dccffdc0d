"""The review page: sessions, recordings to be analysed, what people say of events, and what is taught from it."""

import math
import shutil
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr

from merau.engine.errors import UserError
from merau.engine.recognizer import NO_EXPRESSION
from merau.stream.events import event_fields
from merau.stream.export import FORMATS
from merau.stream.sources import File, SourceSettings
from merau.stream.store import MotionCurve, read_clip_ids, read_events, read_original_predictions, read_sessions
from merau.stream.ui.handlers import private_endpoint, show_user_errors
from merau.stream.ui.i18n import t, to_json
from merau.stream.ui.server_state import ServerState
from merau.stream.ui.uploads import HEADS, VIDEOS
from merau.stream.ui.workspace import PrivateWorkspace, Workspace

SHOWN = 1000  # events of a session at most
ENOUGH = 5  # samples of a class


def review_page(state: ServerState, token: gr.State, tab: gr.Tab) -> None:
    """Build it inside its tab."""
    with gr.Row(elem_id="choosing"):
        session = gr.Dropdown(label=t("Session"), choices=[], elem_id="session", scale=3)
        folder = gr.Dropdown(
            label=t("Recording from folder"),
            choices=_recordings(state.settings.recordings),
            value=None,
            visible=state.settings.recordings is not None and state.settings.trusted,
            elem_id="folder",
            scale=2,
        )
        upload = gr.UploadButton(
            t("Analyse a recording"), file_types=list(VIDEOS), elem_id="upload", scale=0, min_width=220
        )
    progress = gr.HTML(elem_id="progress")
    review = gr.HTML(
        html_template='<div class="m"><div class="review"></div></div>',
        js_on_load="merau.reviewView(element, trigger, props, watch); // 'judge' 'undo' 'refresh'",
        apply_default_css=False,
        elem_id="review",
    )
    with gr.Column(elem_id="teaching", elem_classes="card"):
        gr.Markdown(t("Teach"), elem_classes="title")
        lesson = gr.HTML(
            html_template='<div class="m"></div>',
            js_on_load="merau.teachPanel(element, props, watch)",
            apply_default_css=False,
            elem_id="lesson",
        )
        with gr.Row():
            teach = gr.Button(t("Teach your classes"), variant="primary", elem_id="teach", interactive=False)
            unteach = gr.Button(t("Undo teaching"), elem_id="unteach", interactive=False)
            load = gr.UploadButton(t("Load saved classes"), file_types=list(HEADS), elem_id="load")

    shown = [session, review, lesson, teach, unteach]

    @show_user_errors
    def show(key: str, chosen: str | None) -> tuple[Any, ...]:
        """The sessions to choose from, and everything of the chosen one, or of the newest."""
        choices = _sessions(state, key)
        values = [value for _, value in choices]
        chosen = chosen if chosen in values else (values[0] if values else None)
        if chosen is None:
            return gr.update(choices=[], value=None), None, *_lesson(state.client(key).workspace)
        workspace, number = _open(state, key, chosen)
        return gr.update(choices=choices, value=chosen), _content(workspace, number), *_lesson(workspace)

    @show_user_errors
    def judged(key: str, chosen: str, event: gr.EventData) -> tuple[Any, ...]:
        workspace, _ = _open(state, key, chosen)
        workspace.label(int(event.session), str(event.event), str(event.label))
        return show(key, chosen)

    @show_user_errors
    def undone(key: str, chosen: str) -> tuple[Any, ...]:
        _open(state, key, chosen)[0].unlabel()
        return show(key, chosen)

    @show_user_errors
    def taught(key: str, chosen: str | None) -> tuple[Any, ...]:
        _workspace_of(state, key, chosen).teach()
        return show(key, chosen)

    @show_user_errors
    def untaught(key: str, chosen: str | None) -> tuple[Any, ...]:
        _workspace_of(state, key, chosen).undo_head()
        return show(key, chosen)

    @show_user_errors
    def loaded(key: str, chosen: str | None, file: str) -> tuple[Any, ...]:
        workspace = _workspace_of(state, key, chosen)
        try:
            workspace.load_head(Path(file))
        finally:
            Path(file).unlink(missing_ok=True)
        return show(key, chosen)

    @show_user_errors
    def analysed(key: str, file: str, bar: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        workspace = state.client(key).workspace
        kept = workspace.folder / Path(file).name
        shutil.move(file, kept)
        try:
            number = _analyse(workspace, kept, bar)
        finally:
            kept.unlink(missing_ok=True)
        return "", *show(key, f"{workspace.name}:{number}")

    @show_user_errors
    def picked(key: str, name: str | None, bar: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        if name not in _recordings(state.settings.recordings):
            raise UserError("This recording is no longer in the folder.")
        assert state.settings.recordings is not None and name is not None
        workspace = state.workspace(key, Workspace.name)
        number = _analyse(workspace, state.settings.recordings / name, bar)
        return "", *show(key, f"{workspace.name}:{number}")

    tab.select(show, [token, session], shown, **private_endpoint())
    session.input(show, [token, session], shown, **private_endpoint())
    review.refresh(show, [token, session], shown, **private_endpoint())
    review.judge(judged, [token, session], shown, **private_endpoint())
    review.undo(undone, [token, session], shown, **private_endpoint())
    teach.click(taught, [token, session], shown, **private_endpoint())
    unteach.click(untaught, [token, session], shown, **private_endpoint())
    load.upload(loaded, [token, session, load], shown, **private_endpoint())
    slowly = private_endpoint(show_progress="full", show_progress_on=progress, concurrency_limit=1)
    upload.upload(analysed, [token, upload], [progress, *shown], **slowly)
    folder.input(picked, [token, folder], [progress, *shown], **slowly)


def _analyse(workspace: Workspace, path: Path, bar: gr.Progress) -> int:
    """Analyse a recording from end to end; returns its session."""
    try:
        return _run(workspace, path, bar)
    except UserError as error:  # visitors see no folders of this server
        values = {name: path.name if str(value) == str(path) else value for name, value in error.message.values.items()}
        raise UserError(error.message.template.replace(str(path), path.name), **values) from None


def _run(workspace: Workspace, path: Path, bar: gr.Progress) -> int:
    source = File(str(path), SourceSettings())
    camera = workspace.add(path.name, lambda: source, replay=True, is_live=False)
    try:
        while camera.running:
            bar((camera.analysed, source.frames_total or None), unit="")
            time.sleep(0.2)
    finally:
        workspace.remove(camera.number)
    if camera.trouble:
        raise UserError.from_message(camera.trouble)
    if camera.session is None:
        raise UserError("The recording could not be analysed.")
    return camera.session


def _recordings(folder: Path | None) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in VIDEOS) if folder else []


def _sessions(state: ServerState, key: str) -> list[tuple[str, str]]:
    """What a page may review, the newest first, as the dropdown wants it."""
    workspaces: list[Workspace] = [state.client(key).workspace]
    workspaces += [state.shared] if state.settings.trusted else []
    found = [(session, workspace) for workspace in workspaces for session in read_sessions(workspace.store.path)]
    found.sort(key=lambda pair: pair[0].started, reverse=True)
    return [
        (f"{Path(session.source).name} · {_on_clock(session.started)}", f"{workspace.name}:{session.id}")
        for session, workspace in found
    ]


def _on_clock(time: str) -> str:
    """ISO 8601 as this server's clock shows it."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _open(state: ServerState, key: str, chosen: str) -> tuple[Workspace, int]:
    name, _, number = (chosen or "").partition(":")
    if not number.isdecimal():
        raise UserError("Choose a session first.")
    return state.workspace(key, name), int(number)


def _workspace_of(state: ServerState, key: str, chosen: str | None) -> Workspace:
    """Where teaching goes: to the workspace of the chosen session, else the visitor's own."""
    return _open(state, key, chosen)[0] if chosen else state.workspace(key, PrivateWorkspace.name)


def _content(workspace: Workspace, session: int) -> dict[str, Any]:
    """One session as review.js draws it."""
    given = {label.event: label.label for label in workspace.labels() if label.session == session}
    clips = read_clip_ids(workspace.store.path, session)
    firsts = read_original_predictions(workspace.store.path, session)
    events = list(read_events(workspace.store.path, session))[-SHOWN:]
    rows = [
        event_fields(event)
        | {"given": given.get(event.id), "clip": event.id in clips, "pictures": event.onset_jpeg is not None}
        | {"first": firsts.get(event.id)}
        for event in events
    ]
    curves = {curve.track: curve for curve in workspace.curves(session)}
    people = sorted({event.track for event in events} | set(curves))
    known = set(given.values()) | set(workspace.bundle.card["classes"])
    ends = [event.offset_s for event in events] + [len(curve.motion_px) * curve.bin_s for curve in curves.values()]
    return {
        "workspace": workspace.name,
        "session": session,
        "duration_s": max(ends, default=0.0),
        "events": rows,
        "tracks": [_lane(track, curves.get(track)) for track in people],
        "formats": list(FORMATS),
        "classes": sorted(known - {NO_EXPRESSION}),
    }


def _lane(track: int, curve: MotionCurve | None) -> dict[str, Any]:
    if curve is None:
        return {"track": track, "bin_s": 1.0, "motion": [], "noise": []}
    both = {"motion": curve.motion_px, "noise": curve.noise_px}
    plain = {name: [None if math.isnan(v) else round(v, 3) for v in px.tolist()] for name, px in both.items()}
    return {"track": track, "bin_s": curve.bin_s, **plain}


def _lesson(workspace: Workspace) -> tuple[dict[str, Any], object, object]:
    """What can be taught and what was, and whether the buttons that teach and undo can be pressed."""
    counts = Counter(sample.label for sample in workspace.samples())
    told = {
        "workspace": workspace.name,
        "counts": dict(counts.most_common()),
        "enough": ENOUGH,
        "taught": bool(workspace.heads),
        "explanation": to_json(workspace.heads[-1].explanation) if workspace.heads else "",
    }
    return told, gr.update(interactive=len(counts) > 1), gr.update(interactive=bool(workspace.heads))
