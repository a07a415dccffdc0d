"""Settings of face detection, tracking and quality."""

from dataclasses import dataclass

from merau.engine.errors import UserError
from merau.engine.validation import check, check_range

DETECTORS = ("short", "wide", "insightface")


@dataclass(frozen=True)
class FaceSettings:
    """How faces are found and tracked, and how good one must be to be analysed.

    Attributes:
        detector: "short" (near faces), "wide" (small and many faces), "insightface", or "yunet:PATH" with the path of a
            YuNet ONNX file.
        presence_gate: A mesh whose own probability of a face is lower is dropped.
        detect_every_s: Interval of the search for new faces while all known ones are in view. With nobody in view,
            every frame is searched.
        search_every_s: The interval for five seconds after a face was lost.
        forget_s: A track ends when its face has been away this long; a person who returns earlier keeps the id.
        min_size_px: Least distance between the outer eye corners. A face of 75 px width has about 50 px.
        min_sharpness: See Quality. At 0.2 the face is as soft as after a blur with a sigma of 4% of the distance
            between the eye corners.
        max_yaw_deg: Largest turn to the left or right.
        max_pitch_deg: Largest turn up or down.
        min_exposure: Least mean grey, 0 to 1.
        max_exposure: Largest mean grey, 0 to 1.
        min_presence: See Quality. About 0.7 when a hand covers the mouth or a cheek; whole faces stayed above 0.75.
        max_outside: Largest share of the face outside the frame.
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
                "Unknown face detector '{name}': choose short, wide, insightface, or yunet:PATH with the path of a"
                " YuNet ONNX file.",
                name=self.detector,
            )
        check_range(self, "presence_gate", "min_exposure", "max_exposure", "min_presence", "max_outside", low=0, high=1)
        check_range(self, "detect_every_s", "search_every_s", "forget_s", "min_size_px", "min_sharpness", low=0)
        check_range(self, "max_yaw_deg", "max_pitch_deg", above=0, high=90)
        check(
            self, "min_exposure", self.min_exposure < self.max_exposure, f"less than max_exposure, {self.max_exposure}"
        )
