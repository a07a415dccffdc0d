"""What can be set about faces."""

from dataclasses import dataclass

from merau.engine.errors import UserError

DETECTORS = ("short", "wide", "insightface")


@dataclass(frozen=True)
class FaceSettings:
    """How faces are found and followed, and below which quality one is not analysed.

    detector: "short" (near faces), "wide" (small and many faces), "insightface", or "yunet:PATH" of a YuNet ONNX file.
    presence_gate: the mesh's own probability that it is on a face, below which there is none.
    detect_every_s: look for new faces this often while all known ones are in view; with nobody in view, in every frame.
    search_every_s: this often for the first five seconds after a face was lost.
    forget_s: a track ends when its face has been away this long; who comes back sooner keeps the id.
    min_size_px: between the outer eye corners. A face of 75 px width has about 50 px.
    min_sharpness: see Quality. At 0.2 the face is as soft as after a blur of sigma 4 % of the eye corners' distance.
    min_presence: see Quality. 0.7 is about where a hand covers the mouth or a cheek; whole faces stayed above 0.75.
    """

    detector: str = "short"
    presence_gate: float = 0.5
    detect_every_s: float = 1.0
    search_every_s: float = 0.1
    forget_s: float = 60.0
    min_size_px: float = 45.0
    min_sharpness: float = 0.2
    max_yaw_deg: float = 35.0
    max_pitch_deg: float = 30.0
    min_exposure: float = 0.08
    max_exposure: float = 0.92
    min_presence: float = 0.7
    max_outside: float = 0.05

    def __post_init__(self) -> None:
        kind, _, path = self.detector.partition(":")
        if self.detector not in DETECTORS and not (kind == "yunet" and path):
            raise UserError(
                f"The face detector {self.detector!r} is not known: choose short, wide, insightface, or yunet: and the"
                " path of a YuNet ONNX file."
            )
        for name in ("presence_gate", "min_exposure", "max_exposure", "min_presence", "max_outside"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"FaceSettings.{name} is {getattr(self, name)}: choose a number from 0 to 1.")
        for name in ("detect_every_s", "search_every_s", "forget_s", "min_size_px", "min_sharpness"):
            if not getattr(self, name) >= 0:
                raise UserError(f"FaceSettings.{name} is {getattr(self, name)}: choose 0 or more.")
        for name in ("max_yaw_deg", "max_pitch_deg"):
            if not 0 < getattr(self, name) <= 90:
                raise UserError(f"FaceSettings.{name} is {getattr(self, name)}: choose an angle of 1 to 90 degrees.")
        if self.min_exposure >= self.max_exposure:
            raise UserError(
                f"FaceSettings.min_exposure is {self.min_exposure}: choose less than max_exposure, {self.max_exposure}."
            )
