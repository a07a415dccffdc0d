"""A real browser, logged in, opens an attacker's page: on another port of the page's name, and on another site."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from gradio.utils import get_upload_folder
from playwright.sync_api import Browser, Playwright

from merau.stream.ui.config import Login
from tests.stream.ui.conftest import CHROMIUM, FLAGS
from tests.stream.ui.page_actions import log_in

NAME = "merau.test"  # localhost is treated apart by Gradio and by browsers
ATTACK = """async (page) => {
    const ask = async (path, options = {}) => {
        try {
            const answer = await fetch(page + path, { credentials: "include", ...options });
            return `${answer.status} ${(await answer.text()).slice(0, 80)}`;
        } catch { return "refused"; }
    };
    const form = new FormData();
    form.append("files", new Blob(["no video"]), "clip.mp4");
    const join = JSON.stringify({ data: [], fn_index: 0, session_hash: "attack" });
    const json = { method: "POST", headers: { "Content-Type": "application/json" }, body: join };
    const socket = (path) => new Promise((resolve) => {
        const opened = new WebSocket(page.replace("http", "ws") + path);
        opened.onopen = () => resolve("opened");
        opened.onerror = () => resolve("refused");
    });
    return {
        config: await ask("config"),
        call: await ask("gradio_api/call/cameras", { method: "POST", body: '{"data":[]}' }),
        join: await ask("gradio_api/queue/join", json),
        upload: await ask("gradio_api/upload", { method: "POST", body: form }),
        socket: await socket("merau/live?token=guessed"),
    };
}"""
# The browser sends this, although the attacker may not read the answer.
BLIND = """async ([page, name]) => {
    const form = new FormData();
    form.append("files", new Blob(["no video"]), name);
    const sent = { method: "POST", mode: "no-cors", credentials: "include", body: form };
    await fetch(page + "gradio_api/upload", sent).catch(() => null);
}"""


class Empty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>attacker</title><body>")

    def log_message(self, *_: object) -> None:
        pass


def uploads(name: str) -> list[Path]:
    """The uploaded files of a name."""
    return list(Path(get_upload_folder()).rglob(name))


@pytest.fixture
def attacker_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def named_browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium for which all names end at this machine."""
    flags = [*FLAGS, "--host-resolver-rules=MAP *.test 127.0.0.1", "--no-proxy-server"]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
    yield browser
    browser.close()


@pytest.mark.parametrize("site", [NAME, "evil.test"])
def test_attacker_page_reads_and_changes_nothing(serve, named_browser, attacker_port, site):
    app = serve(login=Login("anna", "geheim"), host="0.0.0.0", allowed_hosts=(NAME,))
    address = app.address.replace("localhost", NAME)
    page = named_browser.new_page()
    page.goto(address)
    log_in(page, "geheim")
    page.get_by_role("tab", name="Review").wait_for()
    assert page.evaluate("fetch('config').then((answer) => answer.status)") == 200
    page.goto(f"http://{site}:{attacker_port}/")
    assert set(page.evaluate(ATTACK, address).values()) == {"refused"}
    page.evaluate(BLIND, [address, "attack.mp4"])
    assert not uploads("attack.mp4")


def test_foreign_page_uploads_nothing_to_a_local_page(serve, named_browser, attacker_port):
    app = serve()
    page = named_browser.new_page()
    page.goto(f"http://evil.test:{attacker_port}/")
    page.evaluate(BLIND, [app.address, "attack.mp4"])
    assert not uploads("attack.mp4")
