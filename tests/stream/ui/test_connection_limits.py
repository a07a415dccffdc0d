import resource
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from merau.engine.errors import UserError
from merau.stream.ui import connection_limits
from merau.stream.ui.server_state import MAX_OF_ADDRESS
from tests.stream.ui.connections import opener, status


def test_connection_without_a_request_is_closed(serve, monkeypatch):
    monkeypatch.setattr(connection_limits, "HEAD_S", 0.3)
    app = serve()
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
        with socket.create_connection(("127.0.0.1", urlsplit(app.address).port), timeout=10) as silent:
            silent.send(sent)
            assert silent.recv(100) == b""
    assert status(opener(), app.address) == 200


def test_connections_of_one_address_are_bounded(serve):
    app = serve()
    target = ("127.0.0.1", urlsplit(app.address).port)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(target, timeout=10))
            for _ in range(connection_limits.MAX_OF_ADDRESS + 1)
        ]
        assert opened[-1].recv(1) == b""
    assert status(opener(), app.address) == 200


def test_pages_of_one_address_leave_room_for_others(serve):
    app = serve(host="0.0.0.0")
    for _ in range(MAX_OF_ADDRESS):
        app.state.open_session(address="192.0.2.1")
    with pytest.raises(UserError, match="Too many pages"):
        app.state.open_session(address="192.0.2.1")
    assert app.state.open_session(address="192.0.2.2").token


def test_names_of_recordings_need_trust(serve, tmp_path):
    (tmp_path / "patient-7.mp4").touch()
    for host, is_named in (("0.0.0.0", False), ("127.0.0.1", True)):
        app = serve(host=host, recordings=tmp_path)
        with opener().open(f"{app.address}config", timeout=20) as answer:
            assert (b"patient-7" in answer.read()) == is_named


def test_page_may_open_more_files_than_connections(serve):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))  # as shells set it
    try:
        serve()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 2 * connection_limits.MAX_CONNECTIONS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
