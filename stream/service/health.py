"""Whether the service is well: what a watchdog, a load balancer and a person want to know."""

from collections.abc import Sequence
from dataclasses import dataclass

from merau.stream.service.events import CameraStatus

BROKEN = ("lost", "failed")  # states of a camera in which it sees nothing, though it should


@dataclass(frozen=True)
class Health:
    """What is wrong now; empty lists where nothing is.

    Attributes:
        faults: What a restart may mend: the store cannot be written, the queue neither, or a thread has died.
        cameras: Names of cameras that are lost or failed.
    """

    faults: tuple[str, ...]
    cameras: tuple[str, ...]

    @property
    def is_alive(self) -> bool:
        """Whether the service itself works."""
        return not self.faults

    @property
    def is_ready(self) -> bool:
        """Whether every camera that should be analysed is."""
        return self.is_alive and not self.cameras


def assess(cameras: Sequence[CameraStatus], errors: Sequence[str], threads: dict[str, bool]) -> Health:
    """Judge the state of the service.

    Args:
        cameras: State of each camera.
        errors: Why the store or the queue cannot be written; "" for what can.
        threads: Whether each thread that must run does, by its name.
    """
    dead = [f"The thread '{name}' has died." for name, is_alive in threads.items() if not is_alive]
    lost = tuple(camera.name for camera in cameras if camera.state in BROKEN)
    return Health((*filter(None, errors), *dead), lost)
