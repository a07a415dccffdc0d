"""A port and a thread that serves an application there."""

import errno
import socket
import threading
import time

import uvicorn
from starlette.types import ASGIApp

from merau.engine.errors import UserError
from merau.stream.ui.config import UiSettings
from merau.stream.ui.connection_limits import BoundedProtocol, allow_open_files
from merau.stream.ui.sockets import MAX_PACKET_BYTES

START_S, STOP_S = 20.0, 10.0  # the server's thread may take so long
EVERYWHERE = ("0.0.0.0", "::")  # hosts that stand for all addresses of this machine


class PageServer:
    """A port, and a thread that serves an application there from `start` until `close`.

    Attributes:
        host: Address that it listens on.
        port: Port that it listens on.

    Raises:
        UserError: The address or the port is not available.
    """

    def __init__(self, settings: UiSettings) -> None:
        self._root_path = settings.root_path
        self.host = settings.host.strip("[]")  # around an IPv6 address
        self._listener = _listen(self.host, settings.port)
        self.port = int(self._listener.getsockname()[1])
        self._server: uvicorn.Server | None = None

    def start(self, application: ASGIApp) -> None:
        """Serve an application. Raises UserError when that fails."""
        allow_open_files()
        config = uvicorn.Config(
            application,
            log_level="warning",
            http=BoundedProtocol,
            ws_max_size=MAX_PACKET_BYTES,
            proxy_headers=False,  # the guard decides whom to believe
            server_header=False,
            ws_per_message_deflate=False,  # frames are compressed already
            timeout_graceful_shutdown=1,
        )
        server = self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, args=([self._listener],), name="server", daemon=True)
        self._thread.start()
        deadline_s = time.monotonic() + START_S
        while not server.started:
            self._thread.join(0.01)
            if not self._thread.is_alive() or time.monotonic() > deadline_s:
                raise UserError("The page could not be started.")

    @property
    def address(self) -> str:
        """Where this machine reaches the page."""
        name = "localhost" if self.host in EVERYWHERE else self.host
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}{self._root_path}/"

    @property
    def remote_address(self) -> str | None:
        """Where other machines reach the page that is served on all addresses of this one."""
        return f"http://{_remote_name()}:{self.port}{self._root_path}/" if self.host in EVERYWHERE else None

    def close(self) -> None:
        """Close all connections and stop."""
        if self._server:
            self._server.should_exit = True
            self._thread.join(STOP_S)
        self._listener.close()


def check_host(host: str) -> None:
    """Raise UserError unless `host` is an address of this machine.

    Raises:
        UserError: The page cannot be served there.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UserError("--host '{host}' is neither an address nor a known name.", host=host) from None
    try:
        with socket.socket(found[0][0]) as trial:
            trial.bind(found[0][4])
    except OSError:
        raise UserError(
            "--host {host} is no address of this machine: choose 127.0.0.1, or 0.0.0.0 for all its addresses.",
            host=host,
        ) from None


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()  # only now no other program can listen there
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError("The port {port} is in use: choose another with --port.", port=port) from error
        raise
    return listener


def _remote_name() -> str:
    """Return the address under which this machine meets other networks; its name where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(("192.0.2.1", 9))  # sends nothing, and chooses the address to send from
        except OSError:
            return socket.gethostname()
        return str(trial.getsockname()[0])
