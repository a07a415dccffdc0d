"""State of the server: the shared workspace, client sessions, the webcam queue, and periodic jobs."""

import asyncio
import os
import secrets
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from merau.engine.errors import UserError
from merau.stream.events import Consent
from merau.stream.guard import Guard
from merau.stream.pipeline import PipelineSettings
from merau.stream.store import Store, read_labels, read_sessions
from merau.stream.ui.camera_worker import STOP_LIMIT_S, consent_required
from merau.stream.ui.config import UiSettings
from merau.stream.ui.server_folder import ServerFolder
from merau.stream.ui.teaching import Load
from merau.stream.ui.workspace import PRIVATE, SHARED, Workspace, forget_uploads

MAX_SESSIONS = 100  # open pages
MAX_OF_ADDRESS = 25  # open pages of one address, where there is no login
KEPT = "recordings"  # the folder beside a private store that keeps the upload; that of the server's is in its folder
HEADS = "heads"  # the folder beside a private store that keeps the heads of a visitor who went
MAX_CLOSERS = 8  # pages that went and whose workspaces are closed at a time
TICK_S = 1.0  # between two status messages
PURGE_EVERY_S = 60.0
REJOIN_S = 5.0  # a page that comes back waits so long while its workspace is being closed
RECONNECT_S = 5.0  # a page that lost its connection may come back within this time
CONNECT_S = 60.0  # a page has this long to open its first connection


@dataclass
class ClientSession:
    """One open page.

    Attributes:
        token: The secret that gives access to the page's private workspace.
        folder: Holds the private workspace.
        address: Where the page was opened.
        connections: Sockets and event streams that the page holds open.
        last_seen_s: When the last of them was closed, on the monotonic clock.
        was_connected: Whether the page has opened a connection at least once.
    """

    token: str
    folder: Path
    make_workspace: Callable[[Path], Workspace]
    address: str = ""
    connections: int = 0
    last_seen_s: float = field(default_factory=time.monotonic)
    was_connected: bool = False
    _workspace: Workspace | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def workspace(self) -> Workspace:
        """The page's private workspace, created at the first access."""
        with self._lock:
            if self._workspace is None:
                _make_folder(self.folder)
                self._workspace = self.make_workspace(self.folder)
            return self._workspace

    @property
    def consent(self) -> Consent | None:
        """The consent recorded for the page's own webcam."""
        return self._workspace.consent if self._workspace else None

    def require_consent(self) -> None:
        """Raise UserError unless consent is recorded."""
        if self.consent is None:
            raise consent_required()

    @property
    def expired(self) -> bool:
        """Whether the page has been without a connection for too long."""
        limit_s = RECONNECT_S if self.was_connected else CONNECT_S
        return not self.connections and time.monotonic() - self.last_seen_s > limit_s

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Keep the session from expiring while a connection of the page is open."""
        self.connections, self.was_connected = self.connections + 1, True
        try:
            yield
        finally:
            self.connections -= 1
            self.last_seen_s = time.monotonic()

    def send_status(self) -> None:
        """Send the status of the page's own cameras to the page."""
        if self._workspace:
            self._workspace.send_status()

    def purge(self) -> None:
        """Delete what is older than its retention."""
        if self._workspace:
            self._workspace.purge()

    def leave(self) -> None:
        """Close the private workspace of a page that went, and delete it unless it holds an upload or a label.

        Those are kept for their retention, with the heads: the page may have been reloaded, or its computer may be
        asleep.
        """
        with self._lock:
            try:
                if self._workspace:
                    try:
                        self._workspace.teaching.keep(self.folder / HEADS)
                    finally:
                        self._workspace.close()
            finally:
                if not (self._workspace and holds_work(self._workspace.store.path)):
                    shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Delete the private workspace."""
        with self._lock:
            try:
                if self._workspace:
                    self._workspace.close()
            finally:
                shutil.rmtree(self.folder, ignore_errors=True)


def holds_work(store: Path) -> bool:
    """Whether a private store holds what a visitor made: an analysed recording, or a label in a session."""
    sessions = {session.id: session for session in read_sessions(store)}
    labelled = any(label.session in sessions for label in read_labels(store))
    return labelled or any(session.consented is None for session in sessions.values())


def _make_folder(folder: Path) -> None:
    """Make the folder of a private workspace; it is there already when the page comes back."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError("This server has no room for another page: {reason}.", reason=error.strerror) from error


class AdmissionQueue:
    """Limits how many webcams are analysed at a time; later ones queue. Used on the server's event loop only."""

    POLL_S = 0.5

    def __init__(self, slots: int, max_waiting: int) -> None:
        self._slots, self._max_waiting = slots, max_waiting
        self._tickets: list[object] = []

    async def enter(self, notify: Callable[[int], Awaitable[None]]) -> object:
        """Wait for a free slot.

        Args:
            notify: Called repeatedly while waiting, with the number of people ahead in the queue.

        Returns:
            The ticket to pass to `release`.

        Raises:
            UserError: The queue is full.
        """
        if len(self._tickets) >= self._slots + self._max_waiting:
            raise UserError(
                "The server is full: {webcams} webcams are being analysed and {waiting} people are waiting. "
                "Please come back in a few minutes.",
                webcams=self._slots,
                waiting=self._max_waiting,
            )
        ticket = object()
        self._tickets.append(ticket)
        try:
            while (ahead := self._tickets.index(ticket) - self._slots) >= 0:
                await notify(ahead)
                await asyncio.sleep(self.POLL_S)
        except BaseException:
            self.release(ticket)
            raise
        return ticket

    def release(self, ticket: object) -> None:
        """Free the slot, or the place in the queue, of a ticket. Does nothing when that has been done."""
        with suppress(ValueError):
            self._tickets.remove(ticket)


class ServerState:
    """All state behind the page, held until `close`.

    Attributes:
        shared: The workspace of the server's own cameras; only trusted clients may use it.
        clients: The open pages by token.
        admission: The queue for webcams of clients.
        folder: Holds the private workspaces and uploads; deleted by `close`.
        save_cameras: Saves the cameras that were added on a page; None where there is no configuration.
    """

    save_cameras: Callable[[], None] | None = None

    def __init__(self, settings: UiSettings, store: Path, load: Load, pipeline: PipelineSettings) -> None:
        self.settings, self._load, self._pipeline = settings, load, pipeline
        self._folder = ServerFolder()
        self.folder = self._folder.path
        os.environ["GRADIO_TEMP_DIR"] = str(self._folder.uploads)  # read when the page is built
        # One encoder thread of low priority: the analysis goes first.
        self._clip_encoder = ThreadPoolExecutor(1, "clips", _lower_priority)
        try:
            self.shared = Workspace(
                SHARED,
                store,
                load,
                pipeline,
                self._clip_encoder,
                settings.retention_h,
                self.folder / KEPT,
                remembers=settings.remembers,
            )
        except BaseException:
            self._folder.close()
            raise
        self.shared.store.settle_ages()
        self.admission = AdmissionQueue(settings.visitors, settings.waiting)
        self.clients: dict[str, ClientSession] = {}
        self._absent: set[str] = set()  # tokens of pages that went, and whose folders are kept
        self._leaving: dict[str, threading.Event] = {}  # those whose folders are being closed or purged
        self._closers = ThreadPoolExecutor(MAX_CLOSERS, "leaving")  # no page waits for that of another
        self._clients_lock = threading.Lock()
        self._closing = threading.Event()
        self._guard = Guard("periodic jobs")
        self._ticker = threading.Thread(target=self._run_periodic_jobs, name="periodic jobs", daemon=True)
        self._ticker.start()

    @property
    def failed(self) -> bool:
        """Whether an internal error cost something: periodic jobs, or the analysis of a camera of this server."""
        return self._guard.failed or any(camera.failed for camera in list(self.shared.cameras.values()))

    def open_session(self, earlier: str = "", address: str = "") -> ClientSession:
        """Register a page that was opened. Raises UserError when too many are open.

        Args:
            earlier: The token that the page had before it was reloaded; its private workspace is opened again.
            address: Where the page is; one address may not keep everybody else out.
        """
        if (leaving := self._leaving.get(earlier)) and not leaving.wait(REJOIN_S):
            raise UserError("Your earlier page is still being closed. Please reload in a minute.")
        with self._clients_lock:
            if earlier in self.clients:
                client = self.clients[earlier]
                client.last_seen_s = time.monotonic()
                client.was_connected = False
                return client
            of_address = sum(client.address == address for client in self.clients.values())
            is_crowded = not self.settings.is_trusted and bool(address) and of_address >= MAX_OF_ADDRESS
            if len(self.clients) >= MAX_SESSIONS or is_crowded:
                raise UserError("Too many pages are open on this server. Please come back in a few minutes.")
            token = earlier if earlier in self._absent else secrets.token_urlsafe(24)
            self._absent.discard(token)
            client = ClientSession(token, self.folder / token, self._make_workspace, address)
            self.clients[token] = client
            return client

    def client(self, token: str) -> ClientSession:
        """Return the session of a page. Raises UserError when the token is unknown or expired."""
        if token not in self.clients:
            raise UserError("This page has expired. Please reload it.")
        return self.clients[token]

    def workspace(self, token: str, name: str) -> Workspace:
        """Return the workspace `name` for a page. Raises UserError when the page may not use it."""
        client = self.client(token)
        if name == SHARED and self.settings.is_trusted:
            return self.shared
        if name == PRIVATE:
            return client.workspace
        raise UserError("Log in to see the cameras of this server.")

    def _make_workspace(self, folder: Path) -> Workspace:
        store, retention_h = folder / "merau.db", self.settings.retention_h
        workspace = Workspace(
            PRIVATE, store, self._load, self._pipeline, self._clip_encoder, retention_h, folder / KEPT
        )
        workspace.teaching.restore(folder / HEADS)
        return workspace

    def _run_periodic_jobs(self) -> None:
        last_purge_s = -PURGE_EVERY_S
        while not self._closing.wait(TICK_S):
            with self._guard.item():
                self.shared.send_status()
            for token in list(self.clients):
                with self._guard.item():
                    self._update_client(token)
            if time.monotonic() - last_purge_s > PURGE_EVERY_S:
                last_purge_s = time.monotonic()
                self.purge()

    def _update_client(self, token: str) -> None:
        # A method of its own: a loop variable of the periodic thread would keep the last client alive between ticks.
        client = self.clients[token]
        client.send_status()
        with self._clients_lock:
            if not client.expired:
                return
            del self.clients[token]
            self._leaving[token] = threading.Event()
        self._closers.submit(self._settle, token, client.leave)

    def _settle(self, token: str, work: Callable[[], None]) -> None:
        """Work on the folder of a page that is leaving or absent, and note whether the folder is kept."""
        try:
            with self._guard.item():
                work()
        finally:
            with self._clients_lock:
                if (self.folder / token).exists():
                    self._absent.add(token)
                self._leaving.pop(token).set()

    def purge(self) -> None:
        """Delete what is older than its retention, and what is left of broken uploads. A failure costs one store."""
        with self._guard.item():
            self.shared.purge()
        with self._guard.item():
            self._folder.delete_broken_uploads()
        for client in list(self.clients.values()):
            with self._guard.item():
                client.purge()
        for token in list(self._absent):
            with self._clients_lock:
                if token not in self._absent:  # the page came back
                    continue
                self._absent.remove(token)
                self._leaving[token] = threading.Event()
            self._settle(token, partial(self._purge_absent, self.folder / token))

    def _purge_absent(self, folder: Path) -> None:
        """Purge the store of a page that went, and delete the folder when nothing is left."""
        path = folder / "merau.db"
        try:
            store = Store(path)
            store.purge_expired()
            store.close(waits=False)
            forget_uploads(folder / KEPT, [session.id for session in read_sessions(path)])
            is_left = holds_work(path)
        except UserError:  # a damaged store goes as a whole
            is_left = time.time() - path.stat().st_mtime < 3600 * self.settings.retention_h
        if not is_left:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Close all workspaces and delete the private ones.

        Raises:
            UserError: The shared store cannot be written.
        """
        self._closing.set()
        with ExitStack() as closing:  # each is closed, whatever happens to another
            closing.callback(self._folder.close)
            closing.callback(self._clip_encoder.shutdown)
            closing.callback(self.shared.close)
            self._ticker.join(STOP_LIMIT_S)
            self._closers.shutdown()
            for client in list(self.clients.values()):
                with self._guard.item():
                    client.close()


def _lower_priority() -> None:
    """Let the analysis go before this thread, where the system can."""
    if hasattr(os, "nice"):  # on Linux it concerns the thread only; Windows has none
        os.nice(10)
