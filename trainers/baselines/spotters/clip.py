"""What spotting methods of the field see of a video, what they say, and the steps that they have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
from scipy.signal import find_peaks

from merau.engine.crop import CropSpec
from merau.engine.flow import pair_flow
from merau.trainers.spotting.dataset import FaceClip

RATE = 30.0  # frames/s that all clips are brought to: what CAS(ME)^2 was recorded with
SIDE_PX = 96  # of the frames
FLOW_PX = 42  # of the flow, as SOFTNet has it
HALF = {"micro": 6, "macro": 17}  # frames; half of the mean length of an expression, the field's k
SPEC = CropSpec()


@dataclass(frozen=True)
class SteadyClip:
    """A clip of one face at RATE frames/s.

    Attributes:
        name: Its name.
        subject: Whose face it is.
        crops: (T, 180, 168) uint8, full crops.
        spans: The ground truth: kind, onset_s, apex_s, offset_s from the first frame.
    """

    name: str
    subject: str
    crops: np.ndarray
    spans: tuple[dict[str, Any], ...]
    flows: dict[int, np.ndarray] = field(default_factory=dict, repr=False)  # those measured, by distance

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def frames(self) -> np.ndarray:
        """The inner squares of the crops, (T, SIDE_PX, SIDE_PX) uint8."""
        inner = [np.ascontiguousarray(crop[SPEC.inner]) for crop in self.crops]
        return np.stack([cv2.resize(one, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for one in inner])

    def flow(self, distance: int) -> np.ndarray:
        """Return the flow to each frame from `distance` frames before, (T, 2, FLOW_PX, FLOW_PX) float32 px.

        Head motion is removed. The first frames have no flow: it is 0.
        """
        if distance not in self.flows:
            flow = np.zeros((len(self), 2, FLOW_PX, FLOW_PX), np.float32)
            for t in range(distance, len(self)):
                full = pair_flow(self.crops[t - distance], self.crops[t], spec=SPEC, method="dis")
                flow[t] = [cv2.resize(axis, (FLOW_PX, FLOW_PX), interpolation=cv2.INTER_AREA) for axis in full]
            self.flows[distance] = flow
        return self.flows[distance]


@dataclass(frozen=True)
class Spotted:
    """An interval that a method found, in frames.

    Attributes:
        kind: "micro" or "macro".
        onset: First frame.
        offset: Last frame.
    """

    kind: str
    onset: int
    offset: int


class SpottingMethod(Protocol):
    """A method of the field."""

    def fit(self, clips: Sequence[SteadyClip]) -> None:
        """Learn from clips of other people; methods with fixed rules learn nothing."""
        ...

    def __call__(self, clip: SteadyClip) -> list[Spotted]:
        """Return the expressions in `clip`."""
        ...


class Rules:
    """What methods without learning have in common."""

    def fit(self, clips: Sequence[SteadyClip]) -> None:
        """Learn nothing."""


def make_steady(clip: FaceClip) -> SteadyClip:
    """Return a clip at RATE frames/s: at each moment the crop that is nearest in time."""
    moments_s = clip.t_s[0] + np.arange(int(clip.duration_s * RATE) + 1) / RATE
    after = np.clip(np.searchsorted(clip.t_s, moments_s), 1, len(clip.t_s) - 1)
    nearest = np.where(moments_s - clip.t_s[after - 1] < clip.t_s[after] - moments_s, after - 1, after)
    times = ("onset_s", "apex_s", "offset_s")
    spans = tuple({**span, **{name: span[name] - clip.t_s[0] for name in times}} for span in clip.spans)
    return SteadyClip(clip.name, clip.identity, clip.grey[nearest], spans)


def contrast(values: np.ndarray, k: int) -> np.ndarray:
    """Return how far each of `values` (T,) is above the mean of those k before and k after, at least 0.

    It is eq. 2 of Li et al. 2018.
    """
    padded = np.pad(values, k, mode="edge")
    return np.maximum(values - (padded[: -2 * k] + padded[2 * k :]) / 2, 0)


def find_tops(values: np.ndarray, share: float, distance: int) -> list[int]:
    """Return the peaks of `values` (T,), `distance` apart, above mean + share (max - mean): eq. 3 of Li et al. 2018."""
    least = values.mean() + share * (values.max() - values.mean())
    return [int(t) for t in find_peaks(values, height=max(least, 1e-9), distance=distance)[0]]


def spans_around(tops: Sequence[int], kind: str, length: int) -> list[Spotted]:
    """Return the intervals of k frames on both sides of each of `tops`, in a clip of `length` frames."""
    k = HALF[kind]
    return [Spotted(kind, max(top - k, 0), min(top + k, length - 1)) for top in tops]


def top_third(blocks: np.ndarray) -> np.ndarray:
    """Return the mean of the largest third of each row of (T, B)."""
    count = max(1, blocks.shape[1] // 3)
    return np.asarray(np.sort(blocks, 1)[:, -count:].mean(1))


def pool(values: np.ndarray, blocks: int) -> np.ndarray:
    """Return the means of (..., S, S) over `blocks` x `blocks` parts, (..., blocks * blocks), without what is over."""
    side, before = values.shape[-1] // blocks, values.shape[:-2]
    part = values[..., : blocks * side, : blocks * side].reshape(*before, blocks, side, blocks, side)
    return np.asarray(part.mean((-3, -1)).reshape(*before, -1))
