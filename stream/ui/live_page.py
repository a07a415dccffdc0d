"""The live page: the wall of cameras, the consent that comes before it, and what adds and removes cameras."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import gradio as gr

from merau.engine.errors import UserError
from merau.stream.sources import File, Source, SourceSettings, open_source, redact
from merau.stream.ui.fallback_webcam import fallback_webcam
from merau.stream.ui.handlers import private_endpoint, show_user_errors
from merau.stream.ui.i18n import t
from merau.stream.ui.server_state import ServerState
from merau.stream.ui.workspace import Workspace


def add_source(workspace: Workspace, spec: str, *, decode: Literal["cpu", "cuda"]) -> None:
    """Put what the user typed on the wall. Raises UserError where it is no source."""
    settings = SourceSettings(paced=True, wait_for_camera=True, decode=decode)
    first = open_source(spec, settings)  # a file that cannot be read is told at once
    openers = [lambda: first]

    def opened() -> Source:
        return openers.pop()() if openers else open_source(spec, settings)

    workspace.add(redact(spec.strip()), opened, replay=isinstance(first, File))


class ConsentForm(NamedTuple):
    """What the live page shows of the consent when it is opened: `show` of a page's token, for these `outputs`."""

    show: Callable[[str], tuple[object, object]]
    outputs: tuple[Any, Any]


def live_page(state: ServerState, token: gr.State) -> ConsentForm:
    """Build it inside its tab."""
    trusted = state.settings.trusted
    with gr.Column(elem_id="consent", elem_classes="card", visible=False) as form:
        gr.Markdown(t("Before the analysis starts"), elem_classes="title")
        purpose = gr.Textbox(
            label=t("Purpose of the analysis"),
            placeholder=t("for example: training, research study 12, testing on myself"),
            elem_id="purpose",
            max_lines=1,
            max_length=200,
        )
        agreed = gr.Checkbox(label=t("Everyone in view has been informed and agrees"), elem_id="agreed")
        begin = gr.Button(t("Start the analysis"), variant="primary", elem_id="begin")
    recorded = gr.HTML(
        html_template='<p class="m faint"></p>',
        js_on_load="watch('value', () => merau.showConsent(element, props.value))",
        elem_id="recorded",
        apply_default_css=False,
    )
    wall = gr.HTML(
        html_template='<div class="m"><div class="empty"></div><div class="wall"></div></div>',
        js_on_load="merau.liveView(element, trigger); // 'remove' 'again'",
        elem_id="wall",
        apply_default_css=False,
    )
    with gr.Row(elem_id="sources", elem_classes="card"):
        door = gr.HTML(
            html_template='<div class="m door"><button class="main" hidden></button><span class="said" role="status">'
            "</span></div>",
            js_on_load="merau.webcam.startButton(element, trigger); // 'ask' 'slow'",
            elem_id="door",
            apply_default_css=False,
        )
        spec = gr.Textbox(
            label=t("Camera or video file"),
            placeholder=t("rtsp://user:password@host/path, 0 for the first webcam, or a video file"),
            elem_id="spec",
            max_lines=1,
            scale=4,
            visible=trusted,
        )
        add = gr.Button(t("Add"), elem_id="add", scale=0, min_width=120, visible=trusted)
    slow = fallback_webcam(state, token)

    def shown(key: str) -> tuple[object, object]:
        mine = state.client(key).consent
        shared = state.shared.consent
        cameras = state.shared.cameras.values() if trusted else ()
        waiting = any(camera.session is None and not camera.replay for camera in cameras)
        consent = mine or shared
        told = {"purpose": consent.purpose, "given": consent.given, "mine": mine is not None} if consent else None
        return gr.update(visible=waiting and shared is None), told

    @show_user_errors
    def agree(key: str, stated: str, everyone: bool) -> tuple[object, object]:
        if not everyone:
            raise UserError("Please confirm that everyone in view has been informed and agrees.")
        state.client(key).workspace.record_consent(stated)
        if trusted and state.shared.consent is None:
            state.shared.record_consent(stated)
        return shown(key)

    @show_user_errors
    def added(key: str, typed: str) -> tuple[object, object, object]:
        add_source(state.workspace(key, Workspace.name), typed, decode=state.settings.decode)
        return "", *shown(key)

    @show_user_errors
    def removed(key: str, event: gr.EventData) -> None:
        state.workspace(key, Workspace.name).remove(int(event.camera))

    @show_user_errors
    def again(key: str, event: gr.EventData) -> None:
        workspace = state.workspace(key, Workspace.name)
        if camera := workspace.cameras.get(int(event.camera)):
            camera.start(workspace.consent)

    for wish, part, first in ((door.ask, form, "#purpose :is(input, textarea)"), (door.slow, slow, "#slow-picture")):
        appears = wish(lambda: gr.update(visible=True), None, part, **private_endpoint())
        appears.success(None, js=f"() => merau.goTo('{first}')")
    begin.click(agree, [token, purpose, agreed], [form, recorded], **private_endpoint())
    gr.on([add.click, spec.submit], added, [token, spec], [spec, form, recorded], **private_endpoint())
    wall.remove(removed, [token], None, **private_endpoint())
    wall.again(again, [token], None, **private_endpoint())
    return ConsentForm(shown, (form, recorded))
