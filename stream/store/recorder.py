"""What one session writes, taken down where there is no store, and written into one later."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from merau.stream.events import Event
from merau.stream.store.models import FaceTime, MotionCurve
from merau.stream.store.writer import Store


class SessionStore(Protocol):
    """What the analysis of one source needs of a store."""

    keep_pictures: bool

    @property
    def start_session(self) -> Callable[..., int]:
        """Start a session and return its number."""

    @property
    def update_session(self) -> Callable[..., None]:
        """Store how far the session has come."""

    def put(self, session: int, event: Event) -> None:
        """Insert or replace an event."""

    def put_curve(self, session: int, curve: MotionCurve) -> None:
        """Store the motion of a face."""

    def put_face(self, session: int, face: FaceTime) -> None:
        """Store how long a face was there."""


@dataclass(frozen=True)
class Write:
    """One call of a store, without the number of the session.

    Attributes:
        method: Name of the store's method.
        argument: Its source, event, curve or face; None where it has none.
        fields: Its other arguments, by name.
    """

    method: str
    argument: Any
    fields: dict[str, Any]

    def repeat(self, store: Store, session: int) -> None:
        """Make the call for a session."""
        arguments = () if self.argument is None else (self.argument,)
        getattr(store, self.method)(session, *arguments, **self.fields)


class SessionRecorder:
    """Takes down one session, whose number is 1 here. May be used from any thread.

    Attributes:
        keep_pictures: Whether the store will keep the events' images.
    """

    def __init__(self, *, keep_pictures: bool) -> None:
        self.keep_pictures = keep_pictures
        self._writes: list[Write] = []
        self._lock = threading.Lock()

    def start_session(self, source: str, **fields: Any) -> int:
        """Take down the session's beginning."""
        return self._add("start_session", source, fields)

    def update_session(self, session: int, **fields: Any) -> None:
        """Take down how far the session has come."""
        self._add("update_session", None, fields)

    def put(self, session: int, event: Event) -> None:
        """Take down a report of an event."""
        self._add("put", event, {})

    def put_curve(self, session: int, curve: MotionCurve) -> None:
        """Take down the motion of a face."""
        self._add("put_curve", curve, {})

    def put_face(self, session: int, face: FaceTime) -> None:
        """Take down how long a face was there."""
        self._add("put_face", face, {})

    def take(self) -> list[Write]:
        """Return what was taken down since the last time."""
        with self._lock:
            taken, self._writes = self._writes, []
        return taken

    def _add(self, method: str, argument: Any, fields: dict[str, Any]) -> int:
        with self._lock:
            self._writes.append(Write(method, argument, fields))
        return 1


def write_session(writes: Iterable[Write], store: Store) -> int:
    """Write a session that was taken down from its beginning into a store; returns its number there.

    Raises:
        UserError: The session cannot be written.
    """
    first, *others = writes
    session = store.start_session(first.argument, **first.fields)
    for write in others:
        write.repeat(store, session)
    return session
