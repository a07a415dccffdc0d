"""The guard on the real server: names, origins, proxies and the headers of answers."""

from http.client import HTTPConnection
from socket import create_connection
from urllib.parse import urlsplit
from urllib.request import Request

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from merau.stream.ui.config import Login
from merau.stream.ui.server import App
from tests.stream.ui.connections import open_socket, opener, receive, status


def ask(app: App, path: str = "", data: bytes | None = None, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status(opener(), Request(f"{app.address}{path}", data, named))


def test_host_foreign_name_is_refused_everywhere(serve):
    """DNS rebinding: a site's script asks its own name, which now points at this machine."""
    local, remote = serve(), serve(host="0.0.0.0", allowed_hosts=("merau.example",), login=Login("anna", "geheim"))
    for host in ("evil.example", "[evil", "127.0.0.1.evil.example:7860"):
        assert ask(local, Host=host) == ask(remote, Host=host) == 403
    assert [ask(local, Host=host) for host in ("localhost:7860", "127.0.0.1", "[::1]:7860")] == [200] * 3
    assert ask(local, Host="192.0.2.7") == 403
    assert ask(remote, Host="merau.example") == ask(remote, Host="192.0.2.7:7860") == 401  # the login page
    token = local.state.open_session().token
    with pytest.raises(InvalidStatus, match="403"):
        connect(
            f"ws://evil.example/merau/live?token={token}",
            sock=create_connection(("127.0.0.1", urlsplit(local.address).port)),
            origin="http://evil.example",
        )


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9"}, 403),  # another port
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 200),  # a link
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({}, 200),  # a script outside a browser
    ],
)
def test_request_of_another_site_is_refused(showing, headers, code):
    assert ask(showing, **headers) == code


def test_every_route_refuses_a_foreign_origin(showing):
    """All routes of the application and of Gradio's, as they are registered, by every method."""
    routes = {(method, route) for route, methods in registered(showing) for method in methods}
    assert len(routes) > 60
    connection = HTTPConnection(urlsplit(showing.address).netloc, timeout=20)
    for method, route in sorted(routes):
        connection.request(method, route, headers={"Origin": "http://evil.example"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 403, route
        assert not any(name.lower().startswith("access-control") for name, _ in answer.getheaders()), route
    connection.close()


def registered(app: App) -> list[tuple[str, set[str]]]:
    found = []
    pending = list(app.application.routes)
    while pending:
        route = pending.pop()
        pending += getattr(getattr(route, "original_router", route), "routes", None) or []
        pending += getattr(getattr(route, "app", None), "routes", [])
        if getattr(route, "methods", None):
            found.append((route.path.replace("{", "").replace("}", ""), route.methods | {"OPTIONS"}))
    return found


def test_socket_of_another_origin_is_refused(serve):
    app = serve()
    token = app.state.open_session().token
    for origin in ("http://evil.example", "http://127.0.0.1:9", "null"):
        with pytest.raises(InvalidStatus, match="403"):
            open_socket(app, "live", origin=origin, token=token)


def test_forwarded_headers_count_from_trusted_proxies_only(serve):
    proxied = {"origin": "https://merau.example", "forwarded": "merau.example, 10.0.0.7"}
    trusting = serve(trusted_proxies=("127.0.0.0/8",), allowed_hosts=("merau.example",))
    with open_socket(trusting, "live", token=trusting.state.open_session().token, **proxied) as live:
        assert receive(live)["workspace"] == "mine"
    wary = serve()
    with pytest.raises(InvalidStatus, match="403"):
        open_socket(wary, "live", token=wary.state.open_session().token, **proxied)


def test_answers_carry_the_security_headers(serve):
    app = serve(login=Login("anna", "geheim"), trusted_proxies=("127.0.0.1",))
    form = b"username=anna&password=geheim"
    for secure in ({}, {"X_Forwarded_Proto": "https"}):
        named = {name.replace("_", "-"): value for name, value in secure.items()}
        with opener().open(Request(f"{app.address}login", form, named), timeout=20) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
            assert ("Secure" in cookie) == cookie.startswith("__Host-") == bool(secure)
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
