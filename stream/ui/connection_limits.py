"""Bounds on connections, before a request is read: how many, and how long its head may take."""

import asyncio
import sys
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if sys.platform != "win32":
    import resource

HEAD_S = 15.0  # a request's head must be complete within this time
MAX_CONNECTIONS = 1000
MAX_OF_ADDRESS = 300  # a proxy's visitors share its address
OPEN_FILES = 4096  # for the connections, and for the stores, uploads and cameras of 100 pages


class BoundedProtocol(H11Protocol):
    """A connection that is closed when there are too many, or when no request arrives on it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or close it."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        same = sum(_address(connection) == address for connection in self.connections)
        if len(self.connections) > MAX_CONNECTIONS or same > MAX_OF_ADDRESS:
            transport.close()
            return
        self.loop.call_later(HEAD_S, self._check_progress, None)

    def _check_progress(self, last_request: object) -> None:
        """Close the connection unless it answers a request, or has begun one since the last check."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # it became a socket
            return
        is_busy = self.cycle is not None and not self.cycle.response_complete
        if self.cycle is last_request and not is_busy:
            self.transport.close()
            return
        self.loop.call_later(HEAD_S, self._check_progress, self.cycle)


def allow_open_files() -> None:
    """Let this process open as many files as the connections leave over for all else; shells set a limit of 1024."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _address(connection: Any) -> str:
    client = getattr(connection, "client", None)
    return client[0] if client else ""
