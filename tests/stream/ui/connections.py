"""How tests connect to a served page without a browser."""

import json
import time
from urllib.error import HTTPError
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from websockets.sync.client import ClientConnection, connect

from merau.stream.ui.server import App
from merau.stream.ui.server_state import ServerState


def opener() -> OpenerDirector:
    """An opener that ignores the proxies of the environment."""
    return build_opener(ProxyHandler({}))


def status(asking: OpenerDirector, request: str | Request, data: bytes | None = None) -> int:
    """The HTTP status of a request."""
    try:
        with asking.open(request, data, timeout=20) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def open_socket(
    app: App,
    path: str,
    *,
    origin: str | None = None,
    cookie: str = "",
    token: str = "",
    forwarded: str = "",
    max_queue: int | None = None,  # frames that nobody takes must not keep the socket from closing
) -> ClientConnection:
    address = app.address.rstrip("/")
    return connect(
        f"{address.replace('http', 'ws')}/merau/{path}?token={token}",
        origin=address if origin is None else origin,
        additional_headers={"Cookie": cookie, "X-Forwarded-Host": forwarded},
        proxy=None,
        max_queue=max_queue,
    )


def consenting_client(state: ServerState) -> str:
    """Open a session with recorded consent; returns its token."""
    client = state.open_session()
    client.workspace.record_consent("a test")
    return client.token


def start_webcam(app: App, token: str) -> ClientConnection:
    """Open a webcam's socket and send its greeting."""
    webcam = open_socket(app, "webcam", token=token)
    webcam.send(json.dumps({"zero_ms": 1000 * time.time()}))
    return webcam


def receive(connection: ClientConnection) -> dict:
    """The next JSON message."""
    return json.loads(connection.recv(timeout=20))
