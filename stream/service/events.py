"""What a supervisor tells others: each event as it is reported, and the state of each camera."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from merau.stream.events import Event

CameraState = Literal["connecting", "live", "lost", "off", "waiting", "ended", "failed"]


@dataclass(frozen=True)
class CameraEvent:
    """One report of an event of a camera: provisional at its apex, final after its offset, under one `event.id`.

    Attributes:
        camera: Name of the camera.
        group: Its group; "" for none.
        session: Number of the stored session.
        event: The event.
        wall: Clock time of the onset, UTC.
    """

    camera: str
    group: str
    session: int
    event: Event
    wall: datetime


@dataclass(frozen=True)
class CameraStatus:
    """State of a camera at one moment.

    Attributes:
        name: Name of the camera.
        group: Its group; "" for none.
        state: "connecting" until the first frame, "live", "lost" while no frame comes, "off" outside its schedule,
            "waiting" for consent, "ended" for a recording that is over, "failed" by an error, until it is tried again.
        since: Start of the state, UTC.
        error: Why it is not live; "" if there is no reason to give.
        session: Number of the newest session; None before the first.
        fps: Frames that the camera gives in a second.
        analysed_fps: Frames that are analysed in a second.
        dropped: Frames of this session that were dropped because the analysis was late.
        degraded: What the analysis does without because the machine is too busy; "" for nothing.
    """

    name: str
    group: str
    state: CameraState
    since: datetime
    error: str
    session: int | None
    fps: float
    analysed_fps: float
    dropped: int
    degraded: str = ""
