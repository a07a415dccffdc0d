"""What one session writes, taken down where there is no store, and written into one later."""

from typing import Any, Protocol

from merau.stream.events import Event
from merau.stream.store.models import FaceTime, MotionCurve
from merau.stream.store.writer import Store


class SessionStore(Protocol):
    """What the analysis of one source needs of a store."""

    keep_pictures: bool

    def start_session(self, source: str, **fields: Any) -> int:
        """Start a session and return its number."""

    def update_session(self, session: int, **fields: Any) -> None:
        """Store how far the session has come."""

    def put(self, session: int, event: Event) -> None:
        """Insert or replace an event."""

    def put_curve(self, session: int, curve: MotionCurve) -> None:
        """Store the motion of a face."""

    def put_face(self, session: int, face: FaceTime) -> None:
        """Store how long a face was there."""


class SessionRecorder:
    """Takes down one session. It can be pickled.

    Attributes:
        keep_pictures: Whether the store will keep the events' images.
    """

    def __init__(self, *, keep_pictures: bool) -> None:
        self.keep_pictures = keep_pictures
        self._source, self._fields = "", dict[str, Any]()
        self._faces: dict[int, FaceTime] = {}
        self._writes: list[Event | MotionCurve] = []
        self._state: dict[str, Any] = {}

    def start_session(self, source: str, **fields: Any) -> int:
        """Take down the session's beginning; its number is 1 here."""
        self._source, self._fields = source, fields
        return 1

    def update_session(self, session: int, **fields: Any) -> None:
        """Take down how far the session has come; the last time counts."""
        self._state = fields

    def put(self, session: int, event: Event) -> None:
        """Take down a report of an event."""
        self._writes.append(event)

    def put_curve(self, session: int, curve: MotionCurve) -> None:
        """Take down the motion of a face."""
        self._writes.append(curve)

    def put_face(self, session: int, face: FaceTime) -> None:
        """Take down how long a face was there; the last time counts."""
        self._faces[face.track] = face

    def write(self, store: Store) -> int:
        """Write the session into a store and return its number there.

        Raises:
            UserError: The session cannot be written.
        """
        session = store.start_session(self._source, **self._fields)
        for write in self._writes:
            if isinstance(write, Event):
                store.put(session, write)
            else:
                store.put_curve(session, write)
        for face in self._faces.values():
            store.put_face(session, face)
        store.update_session(session, **self._state)
        return session
