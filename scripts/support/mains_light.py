"""Mains light before a rolling shutter: the light swings at twice the mains' frequency, and rows see it in turn."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from merau.stream.sources import Frame

READOUT_S = 0.025  # from the first row to the last


def flickering(
    frames: Iterable[Frame], depth: float, *, mains_hz: float = 50.0, readout_s: float = READOUT_S
) -> Iterator[Frame]:
    """Yield the frames as this light shows them.

    Args:
        frames: Frames in steady light.
        depth: Amplitude as a share of the light.
        mains_hz: Frequency of the mains.
        readout_s: 0 for a global shutter, before which the light flickers evenly.
    """
    for frame in frames:
        height = len(frame.image)
        rows_s = frame.t_s + np.arange(height) / height * readout_s
        light = 1 + depth * np.cos(2 * np.pi * 2 * mains_hz * rows_s + 0.7)
        image = np.clip(frame.image * light[:, None, None] + 0.5, 0, 255).astype(np.uint8)
        yield replace(frame, image=image)
