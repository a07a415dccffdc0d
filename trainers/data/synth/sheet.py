"""A picture of every Action Unit at three intensities, to check the table by eye."""

from pathlib import Path

import cv2
import numpy as np

from merau.engine.errors import UserError
from merau.trainers.data.synth import timelines
from merau.trainers.data.synth.action_units import AUS, SIDES
from merau.trainers.data.synth.clips import ClipPlan, bumps_of, portraits
from merau.trainers.data.synth.timelines import Channels

SHEET_PX = 1440  # width of the sheet


def draw_sheet(source: Path, out: Path, face: int = 0, geometry: str = "table") -> None:
    """Draw every Action Unit at three strengths as one picture, as faces of `geometry` do them.

    They are 1, 3 and 6 px of a 128-px crop; blinks, gaze and head follow.
    """
    plan = ClipPlan((), face=face, geometry=geometry)
    portrait, bumps = next(iter(portraits(source, plan, 1))), bumps_of(plan)
    left, top = portrait.landmarks[:, :2].min(0).astype(int) - 25
    right, bottom = portrait.landmarks[:, :2].max(0).astype(int) + 25
    window = slice(max(top, 0), bottom), slice(max(left, 0), right)

    def cell(name: str, channels: Channels) -> np.ndarray:
        image = np.ascontiguousarray(portrait.frame(channels)[window])
        size = image.shape[1] / 230
        at = (4, int(24 * size))
        return cv2.putText(image, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.8 * size, (255, 255, 255), 2, cv2.LINE_AA)

    rng = np.random.default_rng(0)
    strips = [
        [cell(f"AU {au}, {px} px", timelines.expression(rng, (au,), px, bumps=bumps, asymmetry=0)) for px in (1, 3, 6)]
        for au in AUS
    ]
    strips.append([cell(f"lids {part:.0%} shut", {f"45 {side}": part for side in SIDES}) for part in (0.3, 0.6, 1.0)])
    gazes = ({"gaze_x": -0.03}, {"gaze_x": 0.03}, {"gaze_x": 0.02, "gaze_y": -0.01})
    strips.append([cell("gaze", channels) for channels in gazes])
    strips.append([cell("at rest", {}), cell("yaw 8", {"yaw": 8.0}), cell("pitch 8", {"pitch": 8.0})])
    rows = [np.hstack([picture for strip in strips[i : i + 4] for picture in strip]) for i in range(0, len(strips), 4)]
    whole = np.vstack(rows)
    scale = SHEET_PX / whole.shape[1]
    if not cv2.imwrite(str(out), cv2.resize(whole, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)):
        raise UserError(f"The sheet cannot be written to {out}: give a .png in an existing folder.")
