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
from merau.stream.events import event_fields
from merau.stream.export import FORMATS
from merau.stream.pipeline import NO_EXPRESSION
from merau.stream.sources import File, SourceSettings
from merau.stream.store import MotionCurve, read_clip_ids, read_events, read_original_predictions, read_sessions
from merau.stream.ui.handlers import private, told
from merau.stream.ui.i18n import t
from merau.stream.ui.server_state import House
from merau.stream.ui.uploads import HEADS, VIDEOS
from merau.stream.ui.workspace import Desk, PrivateDesk

SHOWN = 1000  # events of a session at most
ENOUGH = 5  # samples of a class


def review_page(house: House, token: gr.State, tab: gr.Tab) -> None:
    """Build it inside its tab."""
    with gr.Row(elem_id="choosing"):
        session = gr.Dropdown(label=t("Session"), choices=[], elem_id="session", scale=3)
        folder = gr.Dropdown(
            label=t("Recording of the folder"),
            choices=_recordings(house.settings.recordings),
            value=None,
            visible=house.settings.recordings is not None and house.settings.trusted,
            elem_id="folder",
            scale=2,
        )
        upload = gr.UploadButton(
            t("Analyse a recording"), file_types=list(VIDEOS), elem_id="upload", scale=0, min_width=220
        )
    progress = gr.HTML(elem_id="progress")
    review = gr.HTML(
        html_template='<div class="m"><div class="review"></div></div>',
        js_on_load="merau.review(element, trigger, props, watch); // 'judge' 'undo' 'refresh'",
        apply_default_css=False,
        elem_id="review",
    )
    with gr.Column(elem_id="teaching", elem_classes="card"):
        gr.Markdown(t("Teach"), elem_classes="title")
        lesson = gr.HTML(
            html_template='<div class="m"></div>',
            js_on_load="merau.teach(element, props, watch)",
            apply_default_css=False,
            elem_id="lesson",
        )
        with gr.Row():
            teach = gr.Button(t("Teach these classes"), variant="primary", elem_id="teach", interactive=False)
            unteach = gr.Button(t("Undo the last lesson"), elem_id="unteach", interactive=False)
            load = gr.UploadButton(t("Load a saved lesson"), file_types=list(HEADS), elem_id="load")

    shown = [session, review, lesson, teach, unteach]

    @told
    def show(key: str, chosen: str | None) -> tuple[Any, ...]:
        """The sessions to choose from, and everything of the chosen one, or of the newest."""
        choices = _sessions(house, key)
        values = [value for _, value in choices]
        chosen = chosen if chosen in values else (values[0] if values else None)
        if chosen is None:
            return gr.update(choices=[], value=None), None, *_lesson(house.visitor(key).desk)
        desk, number = _open(house, key, chosen)
        return gr.update(choices=choices, value=chosen), _content(desk, number), *_lesson(desk)

    @told
    def judged(key: str, chosen: str, event: gr.EventData) -> tuple[Any, ...]:
        desk, _ = _open(house, key, chosen)
        desk.label(int(event.session), str(event.event), str(event.label))
        return show(key, chosen)

    @told
    def undone(key: str, chosen: str) -> tuple[Any, ...]:
        _open(house, key, chosen)[0].unlabel()
        return show(key, chosen)

    @told
    def taught(key: str, chosen: str | None) -> tuple[Any, ...]:
        _chosen_desk(house, key, chosen).teach()
        return show(key, chosen)

    @told
    def untaught(key: str, chosen: str | None) -> tuple[Any, ...]:
        _chosen_desk(house, key, chosen).unteach()
        return show(key, chosen)

    @told
    def loaded(key: str, chosen: str | None, file: str) -> tuple[Any, ...]:
        desk = _chosen_desk(house, key, chosen)
        try:
            desk.use_saved(Path(file))
        finally:
            Path(file).unlink(missing_ok=True)
        return show(key, chosen)

    @told
    def analysed(key: str, file: str, bar: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        desk = house.visitor(key).desk
        kept = desk.folder / Path(file).name
        shutil.move(file, kept)
        try:
            number = _analyse(desk, kept, bar)
        finally:
            kept.unlink(missing_ok=True)
        return "", *show(key, f"{desk.name}:{number}")

    @told
    def picked(key: str, name: str | None, bar: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        if name not in _recordings(house.settings.recordings):
            raise UserError("This recording is not in the folder any more.")
        assert house.settings.recordings is not None and name is not None
        desk = house.desk(key, Desk.name)
        number = _analyse(desk, house.settings.recordings / name, bar)
        return "", *show(key, f"{desk.name}:{number}")

    tab.select(show, [token, session], shown, **private())
    session.input(show, [token, session], shown, **private())
    review.refresh(show, [token, session], shown, **private())
    review.judge(judged, [token, session], shown, **private())
    review.undo(undone, [token, session], shown, **private())
    teach.click(taught, [token, session], shown, **private())
    unteach.click(untaught, [token, session], shown, **private())
    load.upload(loaded, [token, session, load], shown, **private())
    slowly = private(show_progress="full", show_progress_on=progress, concurrency_limit=1)
    upload.upload(analysed, [token, upload], [progress, *shown], **slowly)
    folder.input(picked, [token, folder], [progress, *shown], **slowly)


def _analyse(desk: Desk, path: Path, bar: gr.Progress) -> int:
    """Analyse a recording from end to end; returns its session."""
    try:
        return _run(desk, path, bar)
    except UserError as error:  # where it lies is nobody's business
        raise UserError(str(error).replace(str(path), path.name)) from None


def _run(desk: Desk, path: Path, bar: gr.Progress) -> int:
    source = File(str(path), SourceSettings())
    camera = desk.add(path.name, lambda: source, replay=True, on_wall=False)
    try:
        while camera.running:
            bar((camera.analysed, source.frames_total or None), unit="")
            time.sleep(0.2)
    finally:
        desk.remove(camera.number)
    if camera.trouble or camera.session is None:
        raise UserError(camera.trouble or "The recording could not be analysed.")
    return camera.session


def _recordings(folder: Path | None) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in VIDEOS) if folder else []


def _sessions(house: House, key: str) -> list[tuple[str, str]]:
    """What a page may review, the newest first, as the dropdown wants it."""
    desks: list[Desk] = [house.visitor(key).desk]
    desks += [house.shared] if house.settings.trusted else []
    found = [(session, desk) for desk in desks for session in read_sessions(desk.store.path)]
    found.sort(key=lambda pair: pair[0].started, reverse=True)
    return [
        (f"{Path(session.source).name} · {_on_clock(session.started)}", f"{desk.name}:{session.id}")
        for session, desk in found
    ]


def _on_clock(time: str) -> str:
    """ISO 8601 as this server's clock shows it."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _open(house: House, key: str, chosen: str) -> tuple[Desk, int]:
    name, _, number = (chosen or "").partition(":")
    if not number.isdecimal():
        raise UserError("Choose a session first.")
    return house.desk(key, name), int(number)


def _chosen_desk(house: House, key: str, chosen: str | None) -> Desk:
    """Where teaching goes: to the desk of the chosen session, else the visitor's own."""
    return _open(house, key, chosen)[0] if chosen else house.desk(key, PrivateDesk.name)


def _content(desk: Desk, session: int) -> dict[str, Any]:
    """One session as review.js draws it."""
    given = {label.event: label.label for label in desk.labels() if label.session == session}
    films = read_clip_ids(desk.store.path, session)
    firsts = read_original_predictions(desk.store.path, session)
    events = list(read_events(desk.store.path, session))[-SHOWN:]
    rows = [
        event_fields(event)
        | {"given": given.get(event.id), "film": event.id in films, "pictures": event.onset_jpeg is not None}
        | {"first": firsts.get(event.id)}
        for event in events
    ]
    curves = {curve.track: curve for curve in desk.curves(session)}
    people = sorted({event.track for event in events} | set(curves))
    known = set(given.values()) | set(desk.bundle.card["classes"])
    ends = [event.offset_s for event in events] + [len(curve.motion_px) * curve.bin_s for curve in curves.values()]
    return {
        "desk": desk.name,
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


def _lesson(desk: Desk) -> tuple[dict[str, Any], object, object]:
    """What can be taught and what was, and whether the buttons that teach and undo can be pressed."""
    counts = Counter(sample.label for sample in desk.samples())
    told = {
        "desk": desk.name,
        "counts": dict(counts.most_common()),
        "enough": ENOUGH,
        "taught": bool(desk.lessons),
        "explanation": desk.lessons[-1].explanation if desk.lessons else "",
    }
    return told, gr.update(interactive=len(counts) > 1), gr.update(interactive=bool(desk.lessons))
