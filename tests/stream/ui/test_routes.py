"""The login and the page's token protect the sockets, the event stream and the downloads."""

from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from merau.stream.ui.config import Login
from merau.stream.ui.server_state import CONNECT_S
from tests.stream.ui.connections import open_socket, opener, receive, status
from tests.stream.ui.waiting import wait_for

PASSWORD = "correct horse"


def log_in(app, browser) -> str:
    """Log in; returns the cookies."""
    assert status(browser, f"{app.address}login", f"username=anna&password={PASSWORD}".encode()) == 200
    jar = next(handler.cookiejar for handler in browser.handlers if isinstance(handler, HTTPCookieProcessor))
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


def test_login_protects_page_sockets_and_downloads(serve, clip):
    app = serve(clip, login=Login("anna", PASSWORD))
    token = app.state.open_session().token
    browser = build_opener(ProxyHandler({}), HTTPCookieProcessor())
    route = f"{app.address}merau/get/events?token={token}&workspace=server&session=1&format=csv"
    wait_for(lambda: app.state.shared.cameras and next(iter(app.state.shared.cameras.values())).session, "a session")
    assert status(browser, f"{app.address}config") == status(browser, route) == 401
    for path in ("live", "webcam"):
        with pytest.raises(InvalidStatus, match="403"):
            open_socket(app, path, token=token)
    assert status(browser, f"{app.address}login", f"username=anna&password={PASSWORD}x".encode()) == 401
    cookie = log_in(app, browser)
    assert status(browser, f"{app.address}config") == status(browser, route) == 200
    with open_socket(app, "live", cookie=cookie, token=token) as live:
        assert "cameras" in receive(live)


def test_socket_with_guessed_token_is_refused(serve):
    app = serve(login=Login("anna", PASSWORD))
    cookie = log_in(app, build_opener(ProxyHandler({}), HTTPCookieProcessor()))
    with pytest.raises(InvalidStatus, match="403"):
        open_socket(app, "live", cookie=cookie, token="guessed")


def test_socket_after_logout_is_closed(serve):
    app = serve(login=Login("anna", PASSWORD))
    browser = build_opener(ProxyHandler({}), HTTPCookieProcessor())
    cookie = log_in(app, browser)
    with open_socket(app, "live", cookie=cookie, token=app.state.open_session().token) as live:
        assert status(browser, f"{app.address}logout", b"") == 401  # the login page
        with pytest.raises(ConnectionClosed):
            wait_for(lambda: live.recv(timeout=20) is None, "the socket to be closed")


def test_download_unknown_token_or_workspace_gives_404(serve):
    app = serve()
    for query in ("token=guessed&workspace=server", f"token={app.state.open_session().token}&workspace=other"):
        assert status(opener(), f"{app.address}merau/get/events?{query}&session=1&format=csv") == 404


def test_event_stream_keeps_its_session_alive(serve):
    app = serve()
    client = app.state.open_session()
    answer = opener().open(f"{app.address}merau/messages?token={client.token}", timeout=20)
    assert b'"cameras"' in answer.readline()
    client.last_seen_s -= 2 * CONNECT_S  # it was opened long ago
    for _ in range(6):  # sessions are checked before each status
        wait_for(lambda: answer.readline().startswith(b"data:"), "a status")
    assert client.token in app.state.clients
    answer.close()
    wait_for(lambda: client.token not in app.state.clients, "the session to expire", deadline_s=10)
