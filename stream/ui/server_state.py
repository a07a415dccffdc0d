"""Who is here: the server's own desk, the visitors with theirs, places for webcams, and what is due by the clock."""

import asyncio
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from merau.engine.errors import UserError
from merau.stream.events import Consent
from merau.stream.pipeline import PipelineSettings
from merau.stream.ui.config import UiSettings
from merau.stream.ui.workspace import Desk, Load, PrivateDesk

PAGES = 100  # open at one time
TICK_S = 1.0  # between status lines
FORGET_EVERY_S = 60.0
GONE_S = 5.0  # a page that lost its socket may come back within this time
ARRIVING_S = 60.0  # a page that never opens its socket is forgotten


@dataclass
class Visitor:
    """One open page. Its token is the key to its desk; `sockets` are those, or streams of words, that it holds open."""

    token: str
    make_desk: Callable[[], PrivateDesk]
    sockets: int = 0
    seen_s: float = field(default_factory=time.monotonic)
    came: bool = False
    _desk: PrivateDesk | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def desk(self) -> PrivateDesk:
        """Made when it is first asked for."""
        with self._lock:
            if self._desk is None:
                self._desk = self.make_desk()
            return self._desk

    @property
    def consent(self) -> Consent | None:
        return self._desk.consent if self._desk else None

    @property
    def gone(self) -> bool:
        limit_s = GONE_S if self.came else ARRIVING_S
        return not self.sockets and time.monotonic() - self.seen_s > limit_s

    @contextmanager
    def staying(self) -> Iterator[None]:
        """While one of the page's sockets is open."""
        self.sockets, self.came = self.sockets + 1, True
        try:
            yield
        finally:
            self.sockets -= 1
            self.seen_s = time.monotonic()

    def tell_status(self) -> None:
        if self._desk:
            self._desk.tell_status()

    def close(self) -> None:
        with self._lock:
            if self._desk:
                self._desk.close()


class Places:
    """So many webcams at a time; who comes later waits in line. Used on the server's event loop only."""

    POLL_S = 0.5

    def __init__(self, count: int, waiting: int) -> None:
        self._count, self._waiting = count, waiting
        self._line: list[object] = []

    async def take(self, tell: Callable[[int], Awaitable[None]]) -> object:
        """Waits for a place, telling again and again how many are before; returns the ticket to hand back.

        Raises UserError when the line is full.
        """
        if len(self._line) >= self._count + self._waiting:
            people = f"{self._count} webcams are being analysed and {self._waiting} people wait"
            raise UserError(f"This machine is full: {people}. Please come back in a few minutes.")
        ticket = object()
        self._line.append(ticket)
        try:
            while (before := self._line.index(ticket) - self._count) >= 0:
                await tell(before)
                await asyncio.sleep(self.POLL_S)
        except BaseException:
            self.hand_back(ticket)
            raise
        return ticket

    def hand_back(self, ticket: object) -> None:
        with suppress(ValueError):
            self._line.remove(ticket)


class House:
    """Open until `close`. `shared` is the server's own desk: for those whom the settings trust."""

    def __init__(self, settings: UiSettings, store: Path, load: Load, pipeline: PipelineSettings) -> None:
        self.settings, self._load, self._pipeline = settings, load, pipeline
        self.folder = Path(tempfile.mkdtemp(prefix="merau-"))
        self._cutter = ThreadPoolExecutor(1, "clips", lambda: os.nice(10))  # of its thread: the analysis goes first
        self.shared = Desk(store, load, pipeline, self._cutter)
        self.places = Places(settings.visitors, settings.waiting)
        self.visitors: dict[str, Visitor] = {}
        self._closing = threading.Event()
        self._clock = threading.Thread(target=self._keep_time, name="house", daemon=True)
        self._clock.start()

    def arrive(self) -> Visitor:
        """A page was opened. Raises UserError when too many are."""
        if len(self.visitors) >= PAGES:
            raise UserError("Too many pages are open on this server: come back in a few minutes.")
        token = secrets.token_urlsafe(24)
        self.visitors[token] = visitor = Visitor(token, lambda: self._private_desk(token))
        return visitor

    def visitor(self, token: str) -> Visitor:
        """Raises UserError when there is no such page (any more)."""
        if token not in self.visitors:
            raise UserError("This page is no longer known: load it again.")
        return self.visitors[token]

    def desk(self, token: str, name: str) -> Desk:
        """The desk that a page asks for. Raises UserError where it may not have it."""
        visitor = self.visitor(token)
        if name == Desk.name and self.settings.trusted:
            return self.shared
        if name == PrivateDesk.name:
            return visitor.desk
        raise UserError("This server's own cameras are shown after a login only.")

    def _private_desk(self, token: str) -> PrivateDesk:
        folder = self.folder / token
        folder.mkdir(mode=0o700)
        return PrivateDesk(folder, self._load, self._pipeline, self._cutter)

    def _keep_time(self) -> None:
        forgot_s = -FORGET_EVERY_S
        while not self._closing.wait(TICK_S):
            self.shared.tell_status()
            self._look_after_visitors()
            if time.monotonic() - forgot_s > FORGET_EVERY_S:
                forgot_s = time.monotonic()
                self.shared.forget(self.settings.retention_h)

    def _look_after_visitors(self) -> None:
        """Not a loop of the clock itself, which would hold the last visitor between its ticks."""
        for visitor in list(self.visitors.values()):
            visitor.tell_status()
            if visitor.gone:
                del self.visitors[visitor.token]
                visitor.close()

    def close(self) -> None:
        """Everybody goes. Raises UserError when the shared store cannot be written."""
        self._closing.set()
        self._clock.join()
        for visitor in self.visitors.values():
            visitor.close()
        try:
            self.shared.close()
        finally:
            self._cutter.shutdown()
            shutil.rmtree(self.folder, ignore_errors=True)
