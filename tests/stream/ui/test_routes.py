"""Who may come in: login, Origin, the page's token, consent, and how many at a time."""

import json
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

import pytest
from gradio.utils import get_upload_folder
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from merau.engine.errors import UserError
from merau.stream.ui.config import Login, UiSettings
from merau.stream.ui.middleware import FREE, WAIT_S
from merau.stream.ui.server import App
from merau.stream.ui.server_state import CONNECT_S, ServerState
from tests.stream.ui.waiting import wait_for

PASSWORD = "correct horse"


def status(opener, asked: str | Request, data: bytes | None = None) -> int:
    try:
        with opener.open(asked, data, timeout=20) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def socket(
    app: App, path: str, *, origin: str | None = None, cookie: str = "", token: str = "", forwarded: str = ""
) -> ClientConnection:
    address = app.address.rstrip("/")
    return connect(
        f"{address.replace('http', 'ws')}/merau/{path}?token={token}",
        origin=address if origin is None else origin,
        additional_headers={"Cookie": cookie, "X-Forwarded-Host": forwarded},
        proxy=None,
        max_queue=None,  # pictures that nobody takes must not keep the socket from closing
    )


def agreed(state: ServerState) -> str:
    """A page whose visitor stated a purpose; returns its token."""
    client = state.open_session()
    client.workspace.record_consent("a test")
    return client.token


def test_the_login_guards_the_page_the_sockets_and_every_route(serve, clip):
    app = serve(clip, login=Login("anna", PASSWORD))
    token = app.state.open_session().token
    opener = build_opener(ProxyHandler({}), HTTPCookieProcessor())
    route = f"{app.address}merau/get/events?token={token}&workspace=server&session=1&format=csv"
    wait_for(lambda: app.state.shared.cameras and next(iter(app.state.shared.cameras.values())).session, "a session")
    assert status(opener, f"{app.address}config") == status(opener, route) == 401
    for path in ("live", "webcam"):
        with pytest.raises(InvalidStatus, match="403"):
            socket(app, path, token=token)
    wrong = f"username=anna&password={PASSWORD}x".encode()
    assert status(opener, f"{app.address}login", wrong) == 400
    assert status(opener, f"{app.address}login", f"username=anna&password={PASSWORD}".encode()) == 200
    assert status(opener, f"{app.address}config") == status(opener, route) == 200
    jar = next(handler.cookiejar for handler in opener.handlers if isinstance(handler, HTTPCookieProcessor))
    cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
    with socket(app, "live", cookie=cookie, token=token) as live:
        assert "cameras" in json.loads(live.recv(timeout=20))
    proxied = {"origin": "https://merau.example", "forwarded": "merau.example, 10.0.0.7"}  # by two proxies
    with socket(app, "live", cookie=cookie, token=token, **proxied) as live:
        assert "cameras" in json.loads(live.recv(timeout=20))
    for foreign in ({"origin": "http://evil.example"}, {"token": "guessed"}):
        with pytest.raises(InvalidStatus, match="403"):
            socket(app, "live", cookie=cookie, **({"token": token} | foreign))
    with socket(app, "live", cookie=cookie, token=token) as live:
        assert status(opener, f"{app.address}logout") == 200
        with pytest.raises(ConnectionClosed):
            wait_for(lambda: live.recv(timeout=20) is None, "the socket to be closed")


def test_guessing_the_password_is_slow_and_the_right_one_still_gets_in(serve):
    app = serve(login=Login("anna", PASSWORD))
    opener = build_opener(ProxyHandler({}))

    def guess(password: str) -> int:
        return status(opener, f"{app.address}login", f"username=anna&password={password}".encode())

    began_s = time.monotonic()
    with ThreadPoolExecutor(12) as guessers:
        answers = list(guessers.map(guess, map(str, range(12))))
    assert answers.count(400) == FREE + 1
    assert answers.count(429) == 11 - FREE
    assert guess(PASSWORD) == 200
    assert time.monotonic() - began_s > 2 * WAIT_S - 0.1


def test_a_foreign_name_for_this_machine_reads_nothing_without_a_login(serve):
    """DNS rebinding: a site's script asks its own name, which has become an address of this machine."""
    opener = build_opener(ProxyHandler({}))

    def named(app: App, host: str) -> int:
        return status(opener, Request(app.address, headers={"Host": host}))

    local, remote = serve(), serve(host="0.0.0.0")
    assert [named(local, host) for host in ("evil.example", "[evil", "127.0.0.1.evil.example:7860")] == [403] * 3
    assert [named(local, host) for host in ("localhost:7860", "127.0.0.1", "[::1]:7860")] == [200] * 3
    assert named(remote, "merau.example") == 200
    token = local.state.open_session().token
    with pytest.raises(InvalidStatus, match="403"):
        connect(
            f"ws://evil.example/merau/live?token={token}",
            sock=create_connection(("127.0.0.1", int(local.address.rstrip("/").rpartition(":")[2]))),
            origin="http://evil.example",
        )


def test_two_pages_see_one_camera(showing):
    with (
        socket(showing, "live", token=showing.state.open_session().token) as one,
        socket(showing, "live", token=showing.state.open_session().token) as other,
    ):
        for live in (one, other):
            wait_for(lambda live=live: isinstance(live.recv(timeout=20), bytes), "a picture")


def test_strangers_get_no_camera_of_this_server(serve, clip):
    with pytest.raises(UserError, match="open to everybody"):
        serve(clip, host="0.0.0.0")
    state = serve(host="0.0.0.0").state
    with pytest.raises(UserError, match="Log in to see the cameras"):
        state.workspace(state.open_session().token, "server")


def test_pages_reach_only_what_is_theirs(serve):
    app = serve()
    opener = build_opener(ProxyHandler({}))
    for query in ("token=guessed&workspace=server", f"token={app.state.open_session().token}&workspace=other"):
        assert status(opener, f"{app.address}merau/get/events?{query}&session=1&format=csv") == 404


def test_nobody_is_analysed_without_consent(serve):
    app = serve()
    with socket(app, "webcam", token=app.state.open_session().token) as webcam:
        webcam.send(json.dumps({"zero_ms": 0}))
        assert "state the purpose" in json.loads(webcam.recv(timeout=20))["error"]["id"]


def test_a_page_that_no_socket_reaches_is_known_while_it_listens(serve):
    app = serve()
    client = app.state.open_session()
    answer = build_opener(ProxyHandler({})).open(f"{app.address}merau/messages?token={client.token}", timeout=20)
    assert b'"cameras"' in answer.readline()
    client.last_seen_s -= 2 * CONNECT_S  # it was opened long ago
    for _ in range(6):  # the state looks around before each status
        wait_for(lambda: answer.readline().startswith(b"data:"), "a status")
    assert client.token in app.state.clients
    answer.close()
    wait_for(lambda: client.token not in app.state.clients, "the page to be forgotten", deadline_s=10)


def test_who_comes_too_late_waits_and_then_is_told_that_it_is_full(serve):
    app = serve(visitors=1, waiting=1)

    def come() -> ClientConnection:
        webcam = socket(app, "webcam", token=agreed(app.state))
        webcam.send(json.dumps({"zero_ms": 1000 * time.time()}))
        return webcam

    first, second = come(), None
    try:
        assert "go" in json.loads(first.recv(timeout=20))
        second = come()
        assert json.loads(second.recv(timeout=20)) == {"before": 0}
        for _ in range(10):
            with come() as late:
                assert "The server is full" in json.loads(late.recv(timeout=20))["error"]["id"]
        first.close()
        wait_for(lambda: "go" in json.loads(second.recv(timeout=20)), "the place that came free")
    finally:
        first.close()
        if second:
            second.close()


def test_all_of_a_visitor_is_freed_within_ten_seconds(serve):
    app = serve()
    token = agreed(app.state)
    with socket(app, "live", token=token), socket(app, "webcam", token=token) as webcam:
        webcam.send(json.dumps({"zero_ms": 1000 * time.time()}))
        assert "go" in json.loads(webcam.recv(timeout=20))
        client = app.state.client(token)
        (camera,) = client.workspace.cameras.values()
        held = [weakref.ref(thing) for thing in (client, client.workspace, camera, camera.context.recognizer)]
        folder = client.workspace.folder
        del client, camera
    wait_for(lambda: not any(thing() for thing in held), "the visitor to be freed", deadline_s=10)
    assert not folder.exists()


def test_what_is_no_picture_ends_the_visit(serve):
    app = serve()
    with socket(app, "webcam", token=agreed(app.state)) as webcam:
        webcam.send(json.dumps({"zero_ms": 1000 * time.time()}))
        assert "go" in json.loads(webcam.recv(timeout=20))
        webcam.send(b"\x07" + bytes(20))
        assert "not an image" in json.loads(webcam.recv(timeout=20))["error"]["id"]
        with pytest.raises(ConnectionClosed):
            webcam.recv(timeout=20)


def test_endpoints_are_named_on_purpose_and_the_rest_is_hidden(serve):
    app = serve()
    with build_opener(ProxyHandler({})).open(f"{app.address}gradio_api/info", timeout=20) as answer:
        assert set(json.load(answer)["named_endpoints"]) == {"/cameras", "/events"}
    assert status(build_opener(ProxyHandler({})), f"{app.address}openapi.json") == 404


def test_files_of_other_types_are_refused_and_none_is_handed_out_again(serve):
    app = serve(upload_mb=1)
    opener = build_opener(ProxyHandler({}))

    def send(name: str, content: bytes) -> Request:
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--x--\r\n"
        return Request(f"{app.address}gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=x"})

    kept = set(Path(get_upload_folder()).rglob("page.html"))
    with pytest.raises(HTTPError, match="415"):
        opener.open(send("page.html", b"<b>hi</b>"), timeout=20)
    assert set(Path(get_upload_folder()).rglob("page.html")) == kept
    with opener.open(send("film.mp4", b"no film"), timeout=20) as answer:
        (path,) = json.load(answer)
    for route in (f"file={path}", f"file/{path}", "file=http://127.0.0.1:9/", "process_recording"):
        assert status(opener, f"{app.address}gradio_api/{route}") == 404
    with closing(HTTPConnection(urlsplit(app.address).netloc, timeout=20)) as large:
        large.putrequest("POST", "/gradio_api/upload")
        large.putheader("Content-Length", "3000000")
        large.endheaders()
        assert large.getresponse().status == 413


def test_no_address_is_opened_for_a_visitor(serve):
    app = serve()
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"{app.address}config", timeout=20) as answer:
        uploading = next(one for one in json.load(answer)["dependencies"] if one["targets"][0][1] == "upload")
    for path, code in (("http://127.0.0.1:9/x.mp4", 403), ("x.mp4", 200)):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        ask = json.dumps({"data": [None, file], "fn_index": uploading["id"], "session_hash": "s"}).encode()
        request = Request(f"{app.address}gradio_api/queue/join", ask, {"Content-Type": "application/json"})
        try:
            status = opener.open(request, timeout=20).status
        except HTTPError as refused:
            status = refused.code
        assert status == code


def test_the_password_comes_from_a_file_and_is_never_shown(tmp_path):
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\nsecond line\n")
    login = Login.read(f"anna:{path}")
    assert login.password == PASSWORD
    assert PASSWORD not in repr(UiSettings(login=login))
    for text, reason in (("anna", "USER:FILE"), (f"anna:{tmp_path}/none", "cannot be read")):
        with pytest.raises(UserError, match=reason):
            Login.read(text)
