"""How long each face of a source was seen and analysed."""

from merau.stream.pipeline import FrameResult
from merau.stream.store import FaceTime

MAX_STEP_S = 0.5  # a longer time between two frames is a gap, in which nothing was analysed


class Presence:
    """Adds up the time between frames for each face that is in them.

    Attributes:
        end_s: Time of the last frame.
    """

    def __init__(self) -> None:
        self.end_s: float | None = None
        self._faces: dict[int, FaceTime] = {}

    def add(self, result: FrameResult) -> None:
        """Add one frame."""
        if result.frame is None:
            return
        t_s = result.frame.t_s
        step_s = min(t_s - self.end_s, MAX_STEP_S) if self.end_s is not None else 0.0
        self.end_s = t_s
        for face in result.faces:
            known = self._faces.get(face.track_id) or FaceTime(face.track_id, t_s, t_s, 0.0, 0.0)
            analysed_s = known.analysed_s + (step_s if face.track_id in result.motion else 0.0)
            self._faces[face.track_id] = FaceTime(known.track, known.from_s, t_s, known.seen_s + step_s, analysed_s)

    @property
    def faces(self) -> list[FaceTime]:
        """The faces so far, by number."""
        return sorted(self._faces.values(), key=lambda face: face.track)
