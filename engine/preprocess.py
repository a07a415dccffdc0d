"""The input contract of a trunk, shared by training and recognition: what a pair of crops becomes before inference."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np

from merau.engine.clip import ClipSpec
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.flow import METHODS

GRID = 32  # the trunk sees the flow of the inner square as 32 x 32 means
APEX_PX = 64  # default side of the apex image, for trunks that use one; MERAU's authors use 256
APEX_SIDES_PX = (32, 64, 128, 256)
FLOOR_PX = 0.02  # an axis of a flow with a smaller spread is noise; it is divided by this instead
LIMIT = 6.0  # of a pattern, in spreads of its axis
NORMALIZATION = "channel"  # each axis of the flow by its own median and spread
UNKNOWN_MAGNITUDE = 8.0  # log2 px, that is 256 px: no real flow is that large


def input_spec(
    spec: CropSpec, flow_methods: Sequence[str], *, apex_px: int = 0, clip: ClipSpec | None = None
) -> dict[str, Any]:
    """Describe the input of a trunk in the form of the card's "input".

    Args:
        spec: Layout of the crops.
        flow_methods: Of engine.flow.METHODS, those that the trunk was trained for; the CPU computes the first.
        apex_px: Side of the apex image in pixels; 0 for a trunk without one.
        clip: What a trunk takes that sees frames instead of flow.

    Raises:
        UserError: A flow method or the side of the apex image is not supported.
    """
    if apex_px not in (0, *APEX_SIDES_PX):
        raise UserError(
            "The bundle needs apex images of {size} px; this version supports 32, 64, 128 or 256.", size=repr(apex_px)
        )
    if not flow_methods or not all(method in METHODS for method in flow_methods):
        raise UserError(
            "The bundle needs flow method {method}; this version has {methods}.",
            method=", ".join(map(repr, flow_methods)) or "none",
            methods=", ".join(METHODS),
        )
    return {
        "crop": asdict(spec),
        "flow": list(flow_methods),
        "normalization": NORMALIZATION,
        "head_motion": "affine+depth",
        "grid": GRID,
        "apex_px": apex_px,
        "floor_px": FLOOR_PX,
        **({"clip": clip.to_card()} if clip else {}),
    }


def downsample(flow: np.ndarray) -> np.ndarray:
    """Average a flow (2, S, S) down to (2, 32, 32) float32, still in px of the original square."""
    return np.stack([cv2.resize(axis, (GRID, GRID), interpolation=cv2.INTER_AREA) for axis in flow])


def apex_image(apex: np.ndarray, spec: CropSpec, size_px: int = APEX_PX) -> np.ndarray:
    """Resize the inner square of a full crop (H, W) uint8 to (1, size_px, size_px) float32 in 0..1."""
    inner = np.ascontiguousarray(apex[spec.inner])
    interpolation = cv2.INTER_AREA if size_px < spec.size_px else cv2.INTER_LINEAR
    return cv2.resize(inner, (size_px, size_px), interpolation=interpolation)[None].astype(np.float32) / 255


def split_pattern_and_magnitude(flow: np.ndarray, known: np.ndarray | bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Split flows into their pattern, which shows the expression, and their magnitude, which shows its strength.

    The pattern is `channel_pattern`; the magnitude is the standard deviation of both axes together as log2 px. Trunks
    are also trained with UNKNOWN_MAGNITUDE and then classify by the pattern alone.

    Args:
        flow: (N, 2, G, G) px.
        known: Whether the magnitude is known, (N,) or one for all. It is not in flow sets that are scaled sample by
            sample; their magnitude is UNKNOWN_MAGNITUDE.

    Returns:
        Pattern (N, 2, G, G) and magnitude (N, 1), both float32.
    """
    centred = flow - np.median(flow, axis=(2, 3), keepdims=True)
    spread = np.maximum(centred.std(axis=(1, 2, 3)), FLOOR_PX)[:, None]
    magnitude = np.where(np.reshape(known, (-1, 1)), np.log2(spread), UNKNOWN_MAGNITUDE)
    return channel_pattern(flow), magnitude.astype(np.float32)


def channel_pattern(flow: np.ndarray) -> np.ndarray:
    """Normalize each axis of flows (..., 2, G, G) by itself: less its spatial median, divided by its spread.

    The spread is the standard deviation, at least FLOOR_PX; the result, float32, is cut off at LIMIT. Flow sets store
    each axis in a unit of its own, so that nothing else of them can be compared.
    """
    centred = flow - np.median(flow, axis=(-2, -1), keepdims=True)
    spread = np.maximum(centred.std(axis=(-2, -1), keepdims=True), FLOOR_PX)
    return np.clip(centred / spread, -LIMIT, LIMIT).astype(np.float32)
