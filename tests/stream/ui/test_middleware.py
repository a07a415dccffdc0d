import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request

import pytest
from gradio.utils import get_upload_folder
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from merau.stream.ui.config import Login
from merau.stream.ui.middleware import ATTEMPT_DELAY_S, FREE_ATTEMPTS, names_address
from merau.stream.ui.server import App
from tests.stream.ui.connections import opener, status

PASSWORD = "correct horse"


def test_login_guessing_is_slowed_down_but_right_password_works(serve):
    app = serve(login=Login("anna", PASSWORD))

    def guess(password: str) -> int:
        return status(opener(), f"{app.address}login", f"username=anna&password={password}".encode())

    start_s = time.monotonic()
    with ThreadPoolExecutor(12) as guessers:
        answers = list(guessers.map(guess, map(str, range(12))))
    assert answers.count(400) == FREE_ATTEMPTS + 1
    assert answers.count(429) == 11 - FREE_ATTEMPTS
    assert guess(PASSWORD) == 200
    assert time.monotonic() - start_s > 2 * ATTEMPT_DELAY_S - 0.1


def test_host_foreign_name_is_refused_without_login(serve):
    """DNS rebinding: a site's script asks its own name, which now points at this machine."""

    def ask(app: App, host: str) -> int:
        return status(opener(), Request(app.address, headers={"Host": host}))

    local, remote = serve(), serve(host="0.0.0.0")
    assert [ask(local, host) for host in ("evil.example", "[evil", "127.0.0.1.evil.example:7860")] == [403] * 3
    assert [ask(local, host) for host in ("localhost:7860", "127.0.0.1", "[::1]:7860")] == [200] * 3
    assert ask(remote, "merau.example") == 200
    token = local.state.open_session().token
    with pytest.raises(InvalidStatus, match="403"):
        connect(
            f"ws://evil.example/merau/live?token={token}",
            sock=create_connection(("127.0.0.1", int(local.address.rstrip("/").rpartition(":")[2]))),
            origin="http://evil.example",
        )


def upload(app: App, name: str, content: bytes) -> Request:
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--x--\r\n"
    return Request(f"{app.address}gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=x"})


def test_upload_of_another_type_is_refused_and_deleted(serve):
    app = serve()
    before = set(Path(get_upload_folder()).rglob("page.html"))
    with pytest.raises(HTTPError, match="415"):
        opener().open(upload(app, "page.html", b"<b>hi</b>"), timeout=20)
    assert set(Path(get_upload_folder()).rglob("page.html")) == before


def test_upload_over_the_limit_is_refused(serve):
    app = serve(upload_mb=1)
    with closing(HTTPConnection(urlsplit(app.address).netloc, timeout=20)) as connection:
        connection.putrequest("POST", "/gradio_api/upload")
        connection.putheader("Content-Length", "3000000")
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_uploaded_file_is_not_handed_out(serve):
    app = serve()
    with opener().open(upload(app, "clip.mp4", b"no video"), timeout=20) as answer:
        (path,) = json.load(answer)
    for route in (f"file={path}", f"file/{path}", "file=http://127.0.0.1:9/", "process_recording"):
        assert status(opener(), f"{app.address}gradio_api/{route}") == 404


@pytest.mark.parametrize(("path", "code"), [("http://127.0.0.1:9/x.mp4", 403), ("x.mp4", 200)])
def test_address_in_place_of_a_file_is_refused(serve, path, code):
    app = serve()
    with opener().open(f"{app.address}config", timeout=20) as answer:
        listener = next(one for one in json.load(answer)["dependencies"] if one["targets"][0][1] == "upload")
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [None, file], "fn_index": listener["id"], "session_hash": "s"}).encode()
    request = Request(f"{app.address}gradio_api/queue/join", body, {"Content-Type": "application/json"})
    assert status(opener(), request) == code


def test_names_address_ignores_what_is_not_json():
    assert not names_address(b"no json")
    assert names_address(b'{"data": [{"path": "https://example.org/x.mp4"}]}')
