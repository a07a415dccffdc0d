"""The page: one application with Gradio's page in it, and its server."""

import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import gradio as gr
from fastapi import FastAPI
from gradio.networking import setup_tunnel
from gradio.tunneling import CURRENT_TUNNELS

from merau.engine.errors import Message, UserError
from merau.stream.events import event_fields
from merau.stream.pipeline import PipelineSettings
from merau.stream.signals import on_stop_signal
from merau.stream.store import read_events
from merau.stream.ui.config import UiSettings
from merau.stream.ui.gate import Gate
from merau.stream.ui.guard import Guard, known_hosts
from merau.stream.ui.handlers import private_endpoint, show_user_errors
from merau.stream.ui.i18n import catalogue, request_language, t, translations
from merau.stream.ui.live_page import live_page, read_source
from merau.stream.ui.login import Logins
from merau.stream.ui.middleware import UploadMiddleware
from merau.stream.ui.page_server import PageServer, check_host
from merau.stream.ui.review_page import review_page
from merau.stream.ui.routes import register_routes
from merau.stream.ui.server_state import ServerState
from merau.stream.ui.settings_page import settings_page
from merau.stream.ui.teaching import Load

SCRIPTS = ("core.js", "webcam.js", "live.js", "timeline.js", "coding.js", "review.js", "settings.js")
FONT = ["system-ui", "Segoe UI", "Liberation Sans", "sans-serif"]


class App:
    """The page, served until `close`.

    Args:
        sources: Cameras and files to show from the start.
        load: Loads a recognizer; called once for every camera.
        settings: How the page is served.
        store: SQLite file of the server's own cameras.
        pipeline: How each source is analysed.
        save_cameras: Saves the cameras that were added on the page into a configuration.

    Attributes:
        state: The state behind the page.
        application: The page.
        gate: What the server serves: the page, and a service's programming interface.
        address: Where this machine reaches the page.
        remote_address: Where other machines reach it, if it is served on all addresses of this one.
        public: The public link, if one was asked for.

    Raises:
        UserError: The store, a source, the port or the public link is not available, or cameras of this server would
            be open to everyone.
    """

    def __init__(
        self,
        sources: Sequence[str],
        load: Load,
        settings: UiSettings,
        *,
        store: Path,
        pipeline: PipelineSettings | None = None,
        save_cameras: Callable[[], None] | None = None,
    ) -> None:
        if sources and not settings.is_trusted:
            raise UserError(
                "The cameras of this server would be open to everyone who knows the address: set --auth USER:FILE, "
                "or give no SOURCE, so that visitors use their own webcams."
            )
        check_host(settings.host)
        self._server = PageServer(settings)  # first: a port in use must not leave data of an analysis
        try:
            read = [read_source(source, decode=settings.decode) for source in sources]  # before there is a store
            self.state = ServerState(settings, store, load, pipeline or PipelineSettings())
        except BaseException:
            self._server.close()
            raise
        self.state.save_cameras = save_cameras
        self.blocks = build_page(self.state)
        logins, hosts = Logins(settings.login), known_hosts(settings)
        self.application = build_application(self.blocks, self.state, logins, hosts)
        self.gate = Gate(self.application, settings, logins, hosts)
        try:
            if settings.purpose:
                self.state.shared.record_consent(settings.purpose)
            for source in read:
                source.add_to(self.state.shared)
            self.address, self.public = self._serve(settings, hosts)
            self.remote_address = self._server.remote_address
        except BaseException:
            self.close()
            raise

    def _serve(self, settings: UiSettings, hosts: set[str]) -> tuple[str, str | None]:
        """Start the server; returns the page's address and its public link."""
        self._server.start(self.gate)
        public = None
        if settings.share:
            with redirect_stdout(sys.stderr):  # Gradio writes about the link; standard output is ours
                public = open_link(self._server)
            hosts.add(urlsplit(public).hostname or "")
        return self._server.address, public

    def check(self) -> None:
        """Raise UserError unless the page answers at its address."""
        direct = build_opener(ProxyHandler({}))  # a proxy does not reach this machine's own addresses
        try:
            with direct.open(self.address, timeout=10) as answer:
                answer.read()
        except OSError as error:
            raise UserError(
                "The page does not answer at {address}: {reason}.", address=self.address, reason=error
            ) from error

    def close(self) -> None:
        """Stop serving and delete the visitors' data. Raises UserError when the store cannot be written."""
        with redirect_stdout(sys.stderr):
            for tunnel in CURRENT_TUNNELS:
                tunnel.kill()  # type: ignore[no-untyped-call]  # Gradio ends them only when Python exits
        self._server.close()
        self.blocks.close(verbose=False)
        try:
            self.state.close()
        finally:
            self._release()

    def _release(self) -> None:
        """Let go of the state, with its nets: FastAPI keeps the applications that it has served."""
        self.blocks.fns.clear()
        self.application.router.routes.clear()


@contextmanager
def until_stopped(app: App) -> Iterator[threading.Event]:
    """Close the page at the end of a `with` block. The first Ctrl-C, SIGTERM or SIGHUP sets the event."""
    stopped = threading.Event()
    try:
        with on_stop_signal(stopped.set):
            yield stopped
    finally:
        app.close()


def build_page(state: ServerState) -> gr.Blocks:
    """Build the page from its three tabs."""
    blocks = gr.Blocks(title="merau-live", analytics_enabled=False, fill_width=True, delete_cache=(600, 600))
    with blocks:
        token = gr.State("")
        earlier = gr.Textbox(visible=False)  # the token that the page had before it was reloaded
        entry = gr.HTML(
            html_template="<span></span>",
            js_on_load="watch('value', () => merau.enter(props.value)); merau.enter(props.value)",
            elem_id="entry",
        )
        gr.HTML(html_template=_text("top.html"), js_on_load=_text("top.js"), apply_default_css=False, elem_id="top")
        with gr.Tabs(elem_id="pages"):
            with gr.Tab(t("Live"), id="live"):
                consent_form = live_page(state, token)
            with gr.Tab(t("Review"), id="review") as tab:
                review_page(state, token, tab)
            with gr.Tab(t("About & data"), id="settings") as tab:
                settings_page(state, token, tab)

        @show_user_errors
        def open_session(earlier: str, request: gr.Request) -> tuple[Any, ...]:
            language = request_language(request.headers)
            client = state.open_session(earlier or "", request.client.host if request.client else "")
            entered = {
                "token": client.token,
                "root": state.settings.root_path,
                "trusted": state.settings.is_trusted,
                "login": state.settings.login is not None,
                "upload_mb": state.settings.upload_mb,
                "language": language,
                "catalogue": catalogue(language),
            }
            return client.token, entered, *consent_form.show(client.token)

        def cameras() -> list[dict[str, Any]]:
            """Return the status of the server's own cameras."""
            found = state.shared.statuses() if state.settings.is_trusted else []
            statuses = [
                {name: str(v) if isinstance(v, Message) else v for name, v in status.items()} for status in found
            ]
            # "trouble" is the name of "store_error" before 0.2.0, and goes with 0.3.0.
            return [status | {"trouble": status["store_error"]} for status in statuses]

        def events(session: int) -> list[dict[str, Any]]:
            """Return the events of one session of the server's own cameras."""
            if not state.settings.is_trusted:
                return []
            return [event_fields(event) for event in read_events(state.shared.store.path, session)]

        gr.api(cameras, api_name="cameras")
        gr.api(events, api_name="events")
        outputs = [token, entry, *consent_form.outputs]
        blocks.load(open_session, earlier, outputs, js="() => merau.earlierToken()", **private_endpoint())
    return blocks


def build_application(blocks: gr.Blocks, state: ServerState, logins: Logins, hosts: set[str]) -> FastAPI:
    """Build the application: a guard around our own routes and Gradio's page."""
    settings = state.settings
    app = FastAPI(openapi_url=None)
    limits = {"limit_mb": settings.upload_mb, "reserve_mb": settings.reserve_mb}
    app.add_middleware(UploadMiddleware, is_open=state.clients.__contains__, **limits)
    app.add_middleware(Guard, settings=settings, logins=logins, hosts=hosts)  # the last one is the outermost
    register_routes(app, state, logins)
    scripts = "\n".join(_text(name) for name in SCRIPTS)
    gr.mount_gradio_app(
        app,
        blocks,
        "/",
        app_kwargs={"openapi_url": None},
        run_history=False,
        footer_links=[],
        show_error=False,
        max_file_size=f"{settings.upload_mb}mb",
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        i18n=translations(),
        theme=gr.themes.Base(primary_hue="teal", neutral_hue="gray", radius_size="lg", font=FONT),
        css=_text("page.css"),
        head=f'<meta name="viewport" content="width=device-width, initial-scale=1"><script>{scripts}</script>',
    )
    return app


def open_link(server: PageServer) -> str:
    """Make a public link to a server; it lasts as long as the tunnel. Raises UserError when that fails."""
    try:
        link = setup_tunnel(server.host, server.port, secrets.token_urlsafe(32), None, None)
    except Exception as error:  # Gradio raises errors of many libraries
        raise UserError(
            "The public link could not be made: it needs internet access with HTTPS to api.gradio.app and, the "
            "first time, to cdn-media.huggingface.co. Try again when they can be reached, or serve without --share."
        ) from error
    return urlsplit(link)._replace(scheme="https").geturl()


def _text(name: str) -> str:
    return files("merau.stream.ui").joinpath("static", name).read_text(encoding="utf-8")
