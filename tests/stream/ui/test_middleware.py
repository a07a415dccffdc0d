import json
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request

import pytest
from gradio.utils import get_upload_folder

from merau.stream.ui.middleware import MAX_BODY_BYTES, MAX_KEPT, is_deep, names_address
from merau.stream.ui.server import App
from tests.stream.ui.connections import opener, status


def part(head: str, content: bytes = b"no video") -> bytes:
    return f"--x\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


def upload(app: App, *parts: bytes, token: str | None = None) -> Request:
    address = f"{app.address}gradio_api/upload?token={app.state.open_session().token if token is None else token}"
    return Request(address, b"".join(parts) + b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"})


def file(name: str, content: bytes = b"no video") -> bytes:
    return part(f'name="files"; filename="{name}"', content)


def test_upload_of_another_type_is_refused_and_deleted(serve):
    app = serve()
    before = set(Path(get_upload_folder()).rglob("page.html"))
    with pytest.raises(HTTPError, match="415"):
        opener().open(upload(app, file("page.html", b"<b>hi</b>")), timeout=20)
    assert set(Path(get_upload_folder()).rglob("page.html")) == before


@pytest.mark.parametrize(
    "parts",
    [
        [part('name="files"', b"x" * 3_000_000)],  # Gradio would keep a field in memory, however long
        [file("a.mp4"), file("b.mp4")],
        [part('name="files"'), file("a.mp4")],
        [part("x" * 20_000)],
        [b"no parts"],
    ],
)
def test_upload_of_anything_but_one_file_is_refused(serve, parts, capfd):
    app = serve()
    assert status(opener(), upload(app, *parts)) == 415
    assert status(opener(), upload(app, file("a.mp4"))) == 200
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=" + 300 * "x", "text/plain"])
def test_upload_without_a_usable_boundary_is_refused(serve, kind, capfd):
    request = upload(serve(), file("a.mp4"))
    request.add_header("Content-Type", kind)
    assert status(opener(), request) == 415
    assert "Traceback" not in capfd.readouterr().err


def test_upload_needs_an_open_page(serve):
    assert status(opener(), upload(serve(), file("a.mp4"), token="guessed")) == 403


def test_upload_over_the_limit_is_refused(serve):
    app = serve(upload_mb=1)
    with closing(HTTPConnection(urlsplit(app.address).netloc, timeout=20)) as connection:
        connection.putrequest("POST", "/gradio_api/upload")
        connection.putheader("Content-Length", "3000000")
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_uploaded_file_is_not_handed_out(serve):
    app = serve()
    with opener().open(upload(app, file("clip.mp4")), timeout=20) as answer:
        (path,) = json.load(answer)
    for route in (f"file={path}", f"file/{path}", "file=http://127.0.0.1:9/", "process_recording"):
        assert status(opener(), f"{app.address}gradio_api/{route}") == 404


@pytest.mark.parametrize(("path", "code"), [("http://127.0.0.1:9/x.mp4", 403), ("x.mp4", 200)])
def test_address_in_place_of_a_file_is_refused(serve, path, code):
    app = serve()
    with opener().open(f"{app.address}config", timeout=20) as answer:
        listener = next(one for one in json.load(answer)["dependencies"] if one["targets"][0][1] == "upload")
    named = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [None, named], "fn_index": listener["id"], "session_hash": "s"}).encode()
    request = Request(f"{app.address}gradio_api/queue/join", body, {"Content-Type": "application/json"})
    assert status(opener(), request) == code


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_number_that_is_not_finite_is_refused(serve, number):
    body = f'{{"data": [{number}], "fn_index": 0, "session_hash": "s"}}'.encode()
    request = Request(f"{serve().address}gradio_api/queue/join", body, {"Content-Type": "application/json"})
    assert status(opener(), request) == 400


def test_names_address_ignores_what_is_not_json():
    assert not names_address(b"no json")
    assert names_address(b'{"data": [{"path": "https://example.org/x.mp4"}]}')


def test_upload_that_would_fill_the_disk_is_refused(serve):
    app = serve(reserve_mb=10**9)
    assert status(opener(), upload(app, file("clip.mp4"))) == 507


@pytest.mark.parametrize("whose", ["page", "address"])
def test_one_page_and_one_address_keep_few_uploads(serve, whose):
    app = serve()
    token, limit = app.state.open_session().token if whose == "page" else None, MAX_KEPT[whose]
    sent = [upload(app, file(f"clip{number}.mp4", b"%d" % number), token=token) for number in range(limit + 1)]
    assert [status(opener(), request) for request in sent] == [200] * limit + [429]


def test_large_or_deep_request_is_refused_before_it_is_read(serve):
    app = serve()
    address = urlsplit(app.address).netloc
    for headers, body in (
        ({"Content-Length": "800000000"}, b""),
        ({"Transfer-Encoding": "chunked"}, b"%x\r\n" % (MAX_BODY_BYTES + 1) + b"x" * (MAX_BODY_BYTES + 1) + b"\r\n"),
        ({"Content-Length": "200000"}, b"[" * 100_000 + b"]" * 100_000),
    ):
        with closing(HTTPConnection(address, timeout=20)) as connection:
            connection.putrequest("POST", "/gradio_api/queue/join")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.send(body)
            assert connection.getresponse().status == 413


def test_is_deep_counts_brackets_outside_texts():
    assert is_deep(b"[" * 51)
    assert not is_deep(b"[]" * 100)
    assert not is_deep(b'["' + b"[" * 100 + b'\\"[", "[" ]')
    assert not is_deep(b'"' + b'\\"' * 500_000)  # at once, although the text has no end
