"""The live page: the cameras, the consent form, and the controls that add and remove cameras."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import gradio as gr

from merau.engine.errors import UserError
from merau.stream.sources import File, Source, SourceSettings, open_source, redact
from merau.stream.ui.fallback_webcam import fallback_webcam
from merau.stream.ui.handlers import private_endpoint, show_user_errors
from merau.stream.ui.i18n import t
from merau.stream.ui.server_state import ServerState
from merau.stream.ui.workspace import MAX_PURPOSE, SHARED, Workspace


class LiveSource(NamedTuple):
    """A source that a user typed.

    Attributes:
        name: As the page shows it.
        open: Opens it, once for every start.
        replay: Whether it is a recording.
        address: What was typed, perhaps with a password.
    """

    name: str
    open: Callable[[], Source]
    replay: bool
    address: str

    def add_to(self, workspace: Workspace) -> None:
        """Add it as a live camera."""
        workspace.add_camera(self.name, self.open, replay=self.replay, address=self.address)


def read_source(spec: str, *, decode: Literal["cpu", "cuda"]) -> LiveSource:
    """Read what a user typed. Raises UserError when it is not a source."""
    settings = SourceSettings(paced=True, wait_for_camera=True, decode=decode)
    first = open_source(spec, settings)  # now, so that a file that cannot be read is reported at once
    opened = [first]

    def open_again() -> Source:
        return opened.pop() if opened else open_source(spec, settings)

    return LiveSource(redact(spec.strip()), open_again, isinstance(first, File), spec.strip())


class ConsentForm(NamedTuple):
    """The parts of the live page that depend on consent.

    Attributes:
        show: Returns their values for the page with this token.
        outputs: The components that take these values.
    """

    show: Callable[[str], tuple[object, object]]
    outputs: tuple[Any, Any]


def live_page(state: ServerState, token: gr.State) -> ConsentForm:
    """Build the page inside its tab."""
    is_trusted = state.settings.is_trusted
    with gr.Column(elem_id="consent", elem_classes="card", visible=False) as form:
        gr.Markdown(t("Before the analysis starts"), elem_classes="title")
        purpose = gr.Textbox(
            label=t("Purpose of the analysis"),
            placeholder=t("for example: training, research study 12, testing on myself"),
            elem_id="purpose",
            max_lines=1,
            max_length=MAX_PURPOSE,
        )
        agreed = gr.Checkbox(label=t("Everyone in view has been informed and agrees"), elem_id="agreed")
        begin = gr.Button(t("Start the analysis"), variant="primary", elem_id="begin")
    recorded = gr.HTML(
        html_template='<p class="m faint"></p>',
        js_on_load="watch('value', () => merau.showConsent(element, props.value))",
        elem_id="recorded-consent",
        apply_default_css=False,
    )
    tiles = gr.HTML(
        html_template='<div class="m"><div class="empty"></div><div class="tiles"></div></div>',
        js_on_load="merau.liveView(element, trigger); // 'remove' 'play_again'",
        elem_id="tiles",
        apply_default_css=False,
    )
    with gr.Row(elem_id="sources", elem_classes="card"):
        webcam = gr.HTML(
            html_template='<div class="m webcam-button"><button class="main" hidden></button>'
            '<span class="message" role="status"></span></div>',
            js_on_load="merau.webcam.startButton(element, trigger); // 'ask_consent' 'use_fallback'",
            elem_id="webcam-button",
            apply_default_css=False,
        )
        spec = gr.Textbox(
            label=t("Camera or video file"),
            placeholder=t("rtsp://user:password@host/path, 0 for the first webcam, or a video file"),
            elem_id="spec",
            max_lines=1,
            scale=4,
            visible=is_trusted,
        )
        add = gr.Button(t("Add"), elem_id="add", scale=0, min_width=120, visible=is_trusted)
        _save_button(state, token)
    fallback = fallback_webcam(state, token)

    def show_consent(page_token: str) -> tuple[object, object]:
        """Return whether the form is visible, and the consent that was recorded."""
        own, shared = state.client(page_token).consent, state.shared.consent
        cameras = state.shared.cameras.values() if is_trusted else ()
        is_waiting = any(camera.session is None and camera.needs_consent for camera in cameras)
        consent = own or shared
        given = {"purpose": consent.purpose, "given": consent.given, "mine": own is not None} if consent else None
        return gr.update(visible=is_waiting and shared is None), given

    @show_user_errors
    def record_consent(page_token: str, stated: str, everyone_agrees: bool) -> tuple[object, object]:
        if not everyone_agrees:
            raise UserError("Please confirm that everyone in view has been informed and agrees.")
        state.client(page_token).workspace.record_consent(stated)
        if is_trusted and state.shared.consent is None:
            state.shared.record_consent(stated)
        return show_consent(page_token)

    @show_user_errors
    def add_camera(page_token: str, typed: str) -> tuple[object, object, object]:
        workspace = state.workspace(page_token, SHARED)
        read_source(typed, decode=state.settings.decode).add_to(workspace)
        return "", *show_consent(page_token)

    @show_user_errors
    def remove_camera(page_token: str, event: gr.EventData) -> None:
        state.workspace(page_token, SHARED).remove_camera(int(event.camera))

    @show_user_errors
    def play_again(page_token: str, event: gr.EventData) -> None:
        workspace = state.workspace(page_token, SHARED)
        if camera := workspace.cameras.get(int(event.camera)):
            camera.start(workspace.consent)

    for listen, part, focused in (
        (webcam.ask_consent, form, "#purpose :is(input, textarea)"),
        (webcam.use_fallback, fallback, "#fallback-picture"),
    ):
        appears = listen(lambda: gr.update(visible=True), None, part, **private_endpoint())
        appears.success(None, js=f"() => merau.goTo('{focused}')")
    begin.click(record_consent, [token, purpose, agreed], [form, recorded], **private_endpoint())
    gr.on([add.click, spec.submit], add_camera, [token, spec], [spec, form, recorded], **private_endpoint())
    tiles.remove(remove_camera, [token], None, **private_endpoint())
    tiles.play_again(play_again, [token], None, **private_endpoint())
    return ConsentForm(show_consent, (form, recorded))


def _save_button(state: ServerState, token: gr.State) -> None:
    """Add the button that saves the cameras of the page into a configuration, where there is one."""
    can_save = state.settings.is_trusted and state.save_cameras is not None
    save = gr.Button(t("Save these cameras"), elem_id="save", scale=0, min_width=120, visible=can_save)

    @show_user_errors
    def save_cameras(page_token: str) -> None:
        state.workspace(page_token, SHARED)  # raises where the page may not use it
        if state.save_cameras:
            state.save_cameras()

    save.click(save_cameras, [token], None, **private_endpoint())
