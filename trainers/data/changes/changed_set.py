"""A flow set whose frames are changed: magnified, or corrupted."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.flow import pair_flow
from merau.trainers.baselines.frames import read_strip
from merau.trainers.data.flow_set import FlowSet, encode_flow, make_folder, read_crops

Square = tuple[slice, slice]  # rows and columns


class Change(Protocol):
    """What happens to the frames of a clip."""

    def __call__(self, frames: np.ndarray, square: Square, rng: np.random.Generator) -> np.ndarray:
        """Return changed frames (T, H, W) uint8.

        Args:
            frames: (T, H, W) uint8, the onset first.
            square: Where the crop's inner square lies in them.
            rng: In the same state for the strip of a sample and for its crops.
        """
        ...


def change_set(
    data: FlowSet, folder: Path, change: Change, rows: Sequence[int] | None = None, *, seed: int = 0
) -> FlowSet:
    """Return `data` with the frames of the samples `rows` (default: all) changed, and all flow measured anew, by DIS.

    Args:
        data: A flow set with strips of frames and of crops.
        folder: Where the changed strips are written.
        change: What happens to the frames of each sample.
        rows: Indices of the samples that are changed; the others keep their frames.
        seed: Seed of what `change` draws.

    Raises:
        UserError: The set lacks frames or crops, or `folder` cannot be written.
    """
    for column, paths in (("frames_png", data.frames), ("crops_png", data.crops)):
        if not all(paths):
            raise UserError(
                "To change frames every sample needs a strip of them, and this flow set has none in its column "
                f"{column}: prepare it with this version."
            )
    make_folder(folder)
    chosen = set(range(len(data)) if rows is None else rows)
    frames, crops, images = list[str](), list[str](), list[np.ndarray]()
    bar = tqdm(range(len(data)), desc="changing frames", unit="sample", leave=False, disable=None)
    for i in bar:
        strip, full = read_strip(data.frames[i]), np.stack(read_crops(data.crops[i]))
        if i in chosen:
            whole = slice(0, strip.shape[1])
            strip = change(strip, (whole, whole), np.random.default_rng((seed, i)))
            full = change(full, CropSpec().inner, np.random.default_rng((seed, i)))
        frames.append(write_strip(folder / f"frames-{i:05d}.png", strip))
        crops.append(write_strip(folder / f"crops-{i:05d}.png", full))
        images.append(encode_flow(pair_flow(full[0], full[1], spec=CropSpec(), method="dis")))
    return replace(data, frames=np.array(frames), crops=np.array(crops), image=np.stack(images))


def write_strip(path: Path, frames: np.ndarray) -> str:
    """Write frames (T, H, W) one above the other, and return the path. Raises UserError where that fails."""
    if not cv2.imwrite(str(path), frames.reshape(-1, frames.shape[-1])):
        raise UserError(f"{path} cannot be written: is the disk full?")
    return str(path)
