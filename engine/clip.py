"""The frames of a movement as trunks see them that take a clip, or a pair, rather than flow.

They are those of a flow set's strips: up to eight frames, evenly from onset to apex, the crop's inner square on 96 px.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.temporal_interpolation import interpolate_clip
from merau.engine.validation import check_range

STEPS = 8  # frames of a strip, evenly from onset to apex
STRIP_PX = 96  # side of a strip's frames
PAIR = 2  # frames of a pair: onset and apex


@dataclass(frozen=True)
class ClipSpec:
    """What a trunk that takes frames asks for; it is "clip" in a card's "input".

    Attributes:
        frames: Frames from onset to apex; two are a pair, more are made by TIM.
        size_px: Side of the frames.
        flow: Whether it takes the flow from the first to each frame as well.
    """

    frames: int
    size_px: int
    flow: bool = False

    def __post_init__(self) -> None:
        check_range(self, "frames", low=PAIR, high=64)
        check_range(self, "size_px", low=16, high=256)

    @classmethod
    def of(cls, card_input: dict[str, Any]) -> "ClipSpec | None":
        """Return what the card's "input" states; None for a trunk that takes flow.

        Raises:
            UserError: It is malformed.
        """
        stated = card_input.get("clip")
        if stated is None:
            return None
        try:
            return cls(int(stated["frames"]), int(stated["size_px"]), bool(stated["flow"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError("The bundle's card does not state frames, size_px and flow of its clip.") from error

    @property
    def is_pair(self) -> bool:
        """Whether onset and apex are all that the trunk sees."""
        return self.frames == PAIR

    def inputs(self, strips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the trunk's inputs for N strips (T, S, S) uint8, onset first and apex last.

        They are "clip", (N, frames, size_px, size_px) float32 in 0..1, and with `flow` "clip_flow",
        (N, 2, frames, size_px, size_px) float32 px.
        """
        clips = np.stack([self.resize(strip) for strip in strips])
        return {"clip": clips, "clip_flow": clip_flow(clips)} if self.flow else {"clip": clips}

    def resize(self, strip: np.ndarray) -> np.ndarray:
        """Return a strip as (frames, size_px, size_px) float32 in 0..1."""
        chosen = strip[[0, -1]] if self.is_pair else strip
        size = (self.size_px, self.size_px)
        small = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in chosen])
        clip = small if self.is_pair else interpolate_clip(small, self.frames)
        return np.clip(clip / 255, 0, 1).astype(np.float32)

    def to_card(self) -> dict[str, Any]:
        """Return the form of the card."""
        return asdict(self)


def make_strip(crops: Sequence[np.ndarray], spec: CropSpec) -> np.ndarray:
    """Return the inner squares (T, STRIP_PX, STRIP_PX) uint8 of full crops, at most STEPS of them, evenly chosen."""
    which = np.unique(np.linspace(0, len(crops) - 1, min(STEPS, len(crops))).round().astype(int))
    inner = (np.ascontiguousarray(crops[i][spec.inner]) for i in which)
    return np.stack([cv2.resize(crop, (STRIP_PX, STRIP_PX), interpolation=cv2.INTER_AREA) for crop in inner])


def clip_flow(clips: np.ndarray) -> np.ndarray:
    """Return Farneback's flow from the first to each frame of clips (N, T, S, S), (N, 2, T, S, S) float32 px.

    The movement between neighbouring frames of a micro-expression is below the method's noise.
    """
    flow = np.zeros((len(clips), 2, *clips.shape[1:]), np.float32)
    for sample, clip in zip(flow, np.round(255 * clips).astype(np.uint8), strict=True):
        for t in range(1, len(clip)):
            field = cv2.calcOpticalFlowFarneback(clip[0], clip[t], None, 0.5, 3, 9, 3, 5, 1.1, 0)
            sample[:, t] = field.transpose(2, 0, 1)
    return flow
