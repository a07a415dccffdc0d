"""A portrait that can be animated.

Action Units, lids, mouth, gaze and head are rendered into frames.

The portrait is sampled once, at twice the output's resolution and band-limited, so that warping it by fractions of a
pixel changes its position and not its sharpness. Each frame is then one smooth displacement of that image, known
analytically on a 4-px grid of the resting face, inverted by fixed-point iteration and enlarged. Three places where skin
slides over something or parts (lids, lips, eyeball) are separate layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from merau.engine.crop import CropSpec, layout_transform
from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.trainers.data.synth.action_units import BLINK, BUMPS, SIDES, Skin, displacement
from merau.trainers.data.synth.timelines import CROP_PX, Channels, action_units

OVERSAMPLING = 2
GRID_PX = 4
MARGIN_PX = 48  # of the resting image around the frame, for parts that move into it
INVERSE_STEPS = 5
CENTRE = (0.5, 0.54)  # of the frame, where the face goes
LASH_PX = 0.008  # above the mesh's lid line, in face widths
JAW = ("25", "26")
FOLD = 0.02  # width of folds, in face widths
MOST_LIGHT = 0.25  # largest change of brightness by the skin's relief

# Curves of the 468-point mesh from image left to image right.
UPPER_LID = {
    "left": (33, 246, 161, 160, 159, 158, 157, 173, 133),
    "right": (362, 398, 384, 385, 386, 387, 388, 466, 263),
}
LOWER_LID = {"left": (33, 7, 163, 144, 145, 153, 154, 155, 133), "right": (362, 382, 381, 380, 374, 373, 390, 249, 263)}
BROW = {"left": (46, 53, 52, 65, 55), "right": (285, 295, 282, 283, 276)}
INNER_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
NO_MAP = np.empty(0, np.float32)  # cv2.remap has both coordinates in its first map
CHEEKS = (234, 454)  # as far apart as the face is wide


@dataclass(frozen=True)
class Pose:
    """The head's pose relative to rest.

    The shift is in frame pixels, scale is a factor, turns are in degrees (right, down).
    """

    shift_px: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0

    def turned(self, yaw_deg: float, pitch_deg: float, roll_deg: float) -> Pose:
        """Return this pose with the head turned further."""
        return Pose(
            self.shift_px, self.scale, self.yaw_deg + yaw_deg, self.pitch_deg + pitch_deg, self.roll_deg + roll_deg
        )

    def apply(self, points: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Move points (..., 2) about the pivot in weak perspective.

        They are `depth` (...) in front of it.
        """
        yaw, pitch, roll = np.radians((self.yaw_deg, self.pitch_deg, self.roll_deg))
        x = points[..., 0] * np.cos(yaw) + depth * np.sin(yaw)
        z = depth * np.cos(yaw) - points[..., 0] * np.sin(yaw)
        y = points[..., 1] * np.cos(pitch) + z * np.sin(pitch)
        turned = np.stack([x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)], axis=-1)
        return self.scale * turned + self.shift_px


REST = Pose()


@dataclass(frozen=True)
class Mouth:
    """How far a mouth is open at rest, in crop fractions.

    The Action Unit table is for a closed mouth.
    """

    centre: float
    half_width: float
    upper: float
    lower: float

    @classmethod
    def of(cls, landmarks: np.ndarray) -> Mouth:
        """Return the mouth of a mesh (468, 2) in crop fractions."""
        left, right = landmarks[[INNER_LOWER_LIP[0], INNER_LOWER_LIP[-1]], 0]
        upper, lower = (landmarks[lip[len(lip) // 2], 1] for lip in (INNER_UPPER_LIP, INNER_LOWER_LIP))
        return cls(float(left + right) / 2, float(right - left) / 2, float(upper), float(max(upper, lower)))

    def closed(self, points: np.ndarray) -> np.ndarray:
        """Return where `points` would be with a closed mouth.

        They are (..., 2) in crop fractions; those below the lips go up.
        """
        aside = ((np.abs(points[..., 0] - self.centre) / self.half_width - 1) / 0.6).clip(0, 1)
        rise = (points[..., 1] - self.upper).clip(0, self.lower - self.upper) * (1 + np.cos(np.pi * aside)) / 2
        return np.stack([points[..., 0], points[..., 1] - rise], axis=-1)


def find_face(picture: np.ndarray, nets: FaceNets, which: int = 0) -> np.ndarray:
    """Return the landmarks (468, 3) of one face of a BGR picture.

    They are in pixels; `which` counts the faces from the left.

    Raises UserError where the picture has no such face.
    """
    if not nets.detect(picture):  # the face may be too near for the detector
        pad = max(picture.shape) // 3
        padded = cv2.copyMakeBorder(picture, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        if nets.detect(padded):
            return find_face(padded, nets, which) - (pad, pad, 0)
    faces = sorted(nets.detect(picture), key=lambda face: face.box[0])
    if which >= len(faces):
        raise UserError(f"The picture has {len(faces)} face(s), and face number {which} is not among them.")
    mesh = nets.mesh(picture, faces[which])
    for _ in range(3):  # the mesh's square is steadier than the detector's
        mesh = nets.mesh(picture, mesh.landmarks)
    if mesh.presence < 0.5:
        raise UserError("The mesh finds no face where the detector does: use a clearer, more frontal portrait.")
    return mesh.landmarks.astype(np.float64)


class Portrait:
    """A picture with one face, placed in a frame.

    The face goes to the middle of the frame as far as the picture fills it.

    Args:
        picture: (H, W, 3) uint8 BGR.
        landmarks: (468, 3) in the picture's pixels.
        size: Width and height of the frame.
        face_px: Width of the face; None makes the picture the frame.
        bumps: How the person's face moves.
        shading: How far skin rises where it is pressed together, in face widths; light from above then shows bulges and
            furrows. 0.02 looks natural.
    """

    def __init__(
        self,
        picture: np.ndarray,
        landmarks: np.ndarray,
        *,
        size: tuple[int, int] = (640, 480),
        face_px: float | None = 240.0,
        bumps: Skin = BUMPS,
        shading: float = 0.0,
    ):
        width_px = float(np.linalg.norm(np.subtract(*landmarks[list(CHEEKS), :2])))
        self._face_px = width_px if face_px is None else face_px
        scale, shift = self._face_px / width_px, np.zeros(2)
        if face_px is not None:
            shift = _covering(np.multiply(CENTRE, size) - scale * landmarks[:, :2].mean(0), picture, scale, size)
        self.landmarks = landmarks * scale + (*shift, 0)  # (468, 3) frame pixels at rest
        self._canvas = _Canvas(_oversample(picture, scale, shift, size), size)
        self._points = self._canvas.points  # (h, w, 2) frame pixels
        self._crop = _unit_crop(self.landmarks)  # (2, 3) frame pixels -> crop fractions
        self._to_frame = np.linalg.inv(self._crop[:, :2])
        self.mouth = Mouth.of(self._inside(self.landmarks[:, :2]))
        self._bumps, self._shading = bumps, shading
        self._fields: dict[str, np.ndarray] = {}

    def frame(self, channels: Channels, pose: Pose = REST) -> np.ndarray:
        """Render the face with `channels` and the head at `pose`.

        See `timelines` for channels. The result is (height, width, 3) uint8 BGR.
        """
        pose = _driven(pose, channels)
        moved = self._moved(channels)
        skin = self._posed(moved, pose)
        seen = self._canvas.inverse(skin)
        image = self._canvas.render(seen)
        if self._shading:
            image = self._lit(image, moved, seen)
        gaze = (channels.get("gaze_x", 0.0), channels.get("gaze_y", 0.0))
        if any(gaze):
            self._turn_eyes(image, skin, seen, gaze)
        for side in SIDES:
            if closure := channels.get(f"{BLINK} {side}", 0.0):
                self._close_lid(image, skin, seen, side, closure)
        if jaw := {name: amount for name, amount in channels.items() if name.split()[0] in JAW and amount}:
            rest = {name: amount for name, amount in channels.items() if name not in jaw}
            self._part_lips(image, skin, seen, self._posed(self._moved(rest), pose), jaw)
        return image

    def flow(self, start: tuple[Channels, Pose], end: tuple[Channels, Pose]) -> np.ndarray:
        """Return how far each pixel moves from `start` to `end`.

        The result is (2, height, width) float32 px, right and down positive. Only skin and head count:
        lids, eyes and the inside of the mouth are treated as moving with the skin.
        """
        before, after = (self._posed(self._moved(channels), _driven(pose, channels)) for channels, pose in (start, end))
        moved = _sample(after - before, self._canvas.inverse(before))
        return np.moveaxis(self._canvas.whole(moved), -1, 0)

    def _moved(self, channels: Channels) -> np.ndarray:
        """Return the displacement (h, w, 2) of the skin by its Action Units."""
        units = action_units(channels).items()
        return sum((amount * self._field(f"{au} {side}") for (au, side), amount in units), np.zeros_like(self._points))

    def _lit(self, image: np.ndarray, moved: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Return `image` with light from above on skin that rises where `moved` (h, w, 2) presses it together."""
        pressed = -(np.gradient(moved[..., 0], axis=1) + np.gradient(moved[..., 1], axis=0)) / GRID_PX
        height = cv2.GaussianBlur(self._shading * self._face_px * pressed, (0, 0), FOLD * self._face_px / GRID_PX)
        slope = np.gradient(height, axis=0) / GRID_PX  # positive faces up, towards the light
        light = _sample(np.dstack([slope, slope]), seen)
        gain = 1 + np.clip(self._canvas.whole(light)[..., :1], -MOST_LIGHT, MOST_LIGHT)
        return np.clip(image * gain + 0.5, 0, 255).astype(np.uint8)

    def _field(self, name: str) -> np.ndarray:
        """Return how one pixel (at a 128-px crop) of an Action Unit moves the grid: (h, w, 2) frame pixels."""
        if name not in self._fields:
            self._fields[name] = self._skin_motion(name, self._points) * self._mask[..., None]
        return self._fields[name]

    def _skin_motion(self, name: str, points: np.ndarray) -> np.ndarray:
        au, side = name.split()
        inside = self.mouth.closed(self._inside(points))
        return displacement(inside, {(int(au), side): 1 / CROP_PX}, self._bumps) @ self._to_frame.T

    def _inside(self, points: np.ndarray) -> np.ndarray:
        """Return frame pixels (..., 2) as crop fractions."""
        return points @ self._crop[:, :2].T + self._crop[:, 2]

    @cached_property
    def _mask(self) -> np.ndarray:
        return _oval_mask(self.landmarks, self._points, self._face_px)

    @cached_property
    def _head(self) -> np.ndarray:
        return _head_weight(self.landmarks, self._points, self._face_px)

    @cached_property
    def _depth(self) -> np.ndarray:
        return _depth(self.landmarks, self._points, self._face_px)

    def _posed(self, skin: np.ndarray, pose: Pose) -> np.ndarray:
        """Return the displacement (h, w, 2) of the resting image by the skin's motion, then the head's."""
        if pose == REST:
            return skin
        moved = self._points + skin
        pivot = self.landmarks[list(CHEEKS), :2].mean(0)
        return skin + self._head[..., None] * (pose.apply(moved - pivot, self._depth) + pivot - moved)

    def _turn_eyes(self, image: np.ndarray, skin: np.ndarray, seen: np.ndarray, gaze: tuple[float, float]) -> None:
        """Turn the eyeballs behind the lids, `gaze` in crop fractions."""
        shift, sigma = self._to_frame @ gaze, np.abs(self._to_frame) @ (0.055, 0.035)
        for side in SIDES:
            upper, lower = self._curve(UPPER_LID[side]), self._curve(LOWER_LID[side])
            near = np.exp(
                -0.5 * (((seen - np.concatenate([upper, lower]).mean(0)) / sigma) ** 2).sum(-1, keepdims=True)
            )
            edges = (self._canvas.place(curve, skin) for curve in (upper, lower))
            self._canvas.paste(image, seen - near * shift, *edges)

    def _close_lid(self, image: np.ndarray, skin: np.ndarray, seen: np.ndarray, side: str, closure: float) -> None:
        """Draw the skin between brow and lashes down over the eye; `closure` 1 is shut."""
        lower, upper = self._curve(LOWER_LID[side]), self._curve(UPPER_LID[side]) - (0, LASH_PX * self._face_px)
        gap = (np.interp(upper[:, 0], *lower.T) - upper[:, 1]).clip(0) * np.sin(
            np.linspace(0, np.pi, len(upper))
        ) ** 0.3
        gap *= 1.12  # the lower lid's edge lies a little below the mesh's line
        reach = 0.9 * (upper[:, 1].mean() - self.landmarks[list(BROW[side]), 1].mean())
        stretch = 1 + closure * _along(gap, upper, seen) / reach
        crease = _along(upper[:, 1], upper, seen) - reach
        lid = seen.copy()
        lid[..., 1] = np.where(seen[..., 1] > crease, crease + (seen[..., 1] - crease) / stretch, seen[..., 1])
        margin = upper + closure * gap[:, None] * (0, 1)
        self._canvas.paste(image, lid, *(self._canvas.place(curve, skin) for curve in (upper - (0, reach), margin)))

    def _part_lips(
        self, image: np.ndarray, skin: np.ndarray, seen: np.ndarray, skull: np.ndarray, jaw: Channels
    ) -> None:
        """Open the mouth: teeth stay with the skull, the lower lip moves with the jaw, and darkness is between them.

        `skull` is the displacement without the jaw's. The lower lip's edge moves with the skin below it; the table's
        smooth field would put it between both lips.
        """
        roof, line = self._curve(INNER_UPPER_LIP), self._curve(INNER_LOWER_LIP)
        crop_px = np.linalg.norm(self._to_frame[:, 1])
        below = line + (0, 0.07 * crop_px)
        extra = sum(
            amount * (self._skin_motion(au, below) - self._skin_motion(au, line))[:, 1] for au, amount in jaw.items()
        )
        gap = np.clip(extra, 0, None) * np.sin(np.linspace(0, np.pi, len(line))) ** 0.6
        depth = 0.25 * crop_px
        start, shift = _along(line[:, 1], line, seen), _along(gap, line, seen)
        part = (seen[..., 1] - start - shift) / (depth - shift)
        lip = seen.copy()
        lip[..., 1] = np.where(part < 1, start + part * depth, seen[..., 1])
        floor, chin = line + gap[:, None] * (0, 1), line + (0, depth)
        teeth = self._canvas.place(line, skull)
        self._canvas.paste(image, self._canvas.inverse(skull), self._canvas.place(roof, skin), teeth)
        _shade_mouth(image, teeth, self._canvas.place(floor, skin))
        self._canvas.paste(image, lip, *(self._canvas.place(curve, skin) for curve in (floor, chin)))

    def _curve(self, indices: tuple[int, ...]) -> np.ndarray:
        return self.landmarks[list(indices), :2]


class _Canvas:
    """Warps one oversampled image by displacements on a coarse grid of the resting frame."""

    def __init__(self, picture: np.ndarray, size: tuple[int, int]):
        self._picture, self._size = picture, size
        self.points = _grid(size)

    def place(self, curve: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Return where resting points (n, 2) are after the displacement `moved` (h, w, 2)."""
        return curve + _sample(moved, curve[None].astype(np.float32))[0]

    def inverse(self, moved: np.ndarray) -> np.ndarray:
        """Return the resting point (h, w, 2) that is seen at each grid point.

        `moved` is the displacement.
        """
        field = moved.astype(np.float32)
        seen = self.points - field
        for _ in range(INVERSE_STEPS):
            seen = self.points - _sample(field, seen)
        return seen

    def whole(self, field: np.ndarray) -> np.ndarray:
        """Interpolate `field` (h, w, 2) float32 to every pixel.

        The result is (height, width, 2).
        """
        fine = cv2.resize(field, None, fx=GRID_PX, fy=GRID_PX, interpolation=cv2.INTER_CUBIC)
        return fine[MARGIN_PX : MARGIN_PX + self._size[1], MARGIN_PX : MARGIN_PX + self._size[0]]

    def render(self, seen: np.ndarray) -> np.ndarray:
        """Return the whole frame (height, width, 3) uint8."""
        return self._remap(seen, slice(0, self._size[1]), slice(0, self._size[0]))

    def paste(self, image: np.ndarray, seen: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> None:
        """Draw the points `seen` into `image` between two curves.

        The curves (n, 2) run from left to right.
        """
        region = _between(image, top, bottom)
        if region is None:
            return
        rows, columns, alpha = region
        image[rows, columns] = _blend(image[rows, columns], self._remap(seen, rows, columns), alpha)

    def _remap(self, seen: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        first = [max(0, (edge + MARGIN_PX) // GRID_PX - 2) for edge in (rows.start, columns.start)]
        last = [(edge + MARGIN_PX) // GRID_PX + 3 for edge in (rows.stop, columns.stop)]
        block = seen[first[0] : last[0], first[1] : last[1]].astype(np.float32)
        block = (block + (MARGIN_PX + 0.5)) * OVERSAMPLING - 0.5  # pixels of the oversampled picture
        fine = cv2.resize(block, None, fx=GRID_PX, fy=GRID_PX, interpolation=cv2.INTER_CUBIC)
        y, x = (
            edge + MARGIN_PX - GRID_PX * start for edge, start in zip((rows.start, columns.start), first, strict=True)
        )
        fine = fine[y : y + rows.stop - rows.start, x : x + columns.stop - columns.start]
        return cv2.remap(self._picture, fine, NO_MAP, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _driven(pose: Pose, channels: Channels) -> Pose:
    return pose.turned(channels.get("yaw", 0.0), channels.get("pitch", 0.0), channels.get("roll", 0.0))


def _grid(size: tuple[int, int]) -> np.ndarray:
    """Return points (h, w, 2) float32 every GRID_PX over the frame and its margin, as cv2.resize places pixels."""
    axes = [np.arange(-MARGIN_PX + (GRID_PX - 1) / 2, length + MARGIN_PX, GRID_PX, dtype=np.float32) for length in size]
    return np.stack(np.meshgrid(*axes), axis=-1)


def _sample(field: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Sample `field` (h, w, 2) at frame points `at` (h', w', 2) float32."""
    index = (at + (MARGIN_PX - (GRID_PX - 1) / 2)) / GRID_PX
    return cv2.remap(field.astype(np.float32), index, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _covering(shift: np.ndarray, picture: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
    """Change `shift` (2,) so that the picture fills the frame, or is at its lower edge if it is too small."""
    spare = np.array(size) - scale * np.array(picture.shape[1::-1])  # negative where the picture is the larger
    x = np.clip(shift[0], spare[0], 0) if spare[0] < 0 else shift[0]
    y = np.clip(shift[1], spare[1], 0) if spare[1] < 0 else spare[1]
    return np.array([x, y])


def _oversample(picture: np.ndarray, scale: float, shift: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the resting frame and its margin at OVERSAMPLING times the output's resolution, band-limited to it."""
    if scale < 2 and scale != 1:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.45 / scale)
    total = OVERSAMPLING * scale
    corner = (np.asarray(shift) + MARGIN_PX + 0.5 * scale) * OVERSAMPLING - 0.5  # pixel centres, not corners
    matrix = np.array([[total, 0, corner[0]], [0, total, corner[1]]])
    width, height = ((length + 2 * MARGIN_PX) * OVERSAMPLING for length in size)
    large = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    if scale < 1.5:
        return large
    pores = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (height, width)), (0, 0), 1.2)
    return np.clip(large + (2.5 / pores.std()) * pores[..., None], 0, 255).astype(np.uint8)  # enlarged skin has none


def _along(values: np.ndarray, curve: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Interpolate `values` (n,) along a curve (n, 2) from left to right, at the columns of `at` (h, w, 2)."""
    return np.interp(at[..., 0], curve[:, 0], values)


def _unit_crop(landmarks: np.ndarray) -> np.ndarray:
    spec = CropSpec(size_px=CROP_PX)
    matrix = layout_transform(landmarks, spec)
    return np.column_stack([matrix[:, :2], matrix[:, 2] - (spec.side_px, spec.top_px)]) / CROP_PX


def _oval_mask(landmarks: np.ndarray, points: np.ndarray, face_px: float) -> np.ndarray:
    """Return (h, w), 1 on the face and falling smoothly to 0 outside it."""
    oval = landmarks[list(OVAL), :2]
    oval = oval.mean(0) + 1.08 * (oval - oval.mean(0))
    cells = (oval - points[0, 0]) / GRID_PX
    mask = cv2.fillPoly(np.zeros(points.shape[:2], np.float32), [np.round(cells).astype(np.int32)], 1.0)
    return cv2.GaussianBlur(mask, (0, 0), 0.04 * face_px / GRID_PX)


def _head_weight(landmarks: np.ndarray, points: np.ndarray, face_px: float) -> np.ndarray:
    """Return (h, w), 1 where the image moves with the head, 0 in the background; neck and hair are in between."""
    centre = landmarks[list(CHEEKS), :2].mean(0) - (0, 0.1 * face_px)
    radius = np.linalg.norm((points - centre) / (0.72 * face_px, 0.95 * face_px), axis=-1)
    part = ((1.75 - radius) / 0.75).clip(0, 1)
    return part * part * (3 - 2 * part)


def _depth(landmarks: np.ndarray, points: np.ndarray, face_px: float) -> np.ndarray:
    """Return (h, w), how far each point is in front of the head's axis of rotation, from the mesh, in frame pixels."""
    z = -landmarks[:, 2]
    edge = z[list(OVAL)].mean()
    at, near = ((p / (0.07 * face_px)).astype(np.float32) for p in (points, landmarks[:, :2]))
    share = np.exp(at @ near.T - ((at**2).sum(-1, keepdims=True) + (near**2).sum(-1)) / 2)  # Gaussian of the distance
    blended = (share @ z + 0.3 * edge) / (share.sum(-1) + 0.3)
    return blended - edge + 0.25 * face_px


def _between(image: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> tuple[slice, slice, np.ndarray] | None:
    """Return rows, columns and coverage (h, w, 1) of the area between two curves; None where it is empty."""
    height, width = image.shape[:2]
    x0, x1 = max(0, int(top[0, 0])), min(width, int(np.ceil(top[-1, 0])) + 1)
    y0, y1 = max(0, int(top[:, 1].min()) - 1), min(height, int(np.ceil(bottom[:, 1].max())) + 2)
    if x1 <= x0 or y1 <= y0:
        return None
    x, y = np.arange(x0, x1), np.arange(y0, y1)[:, None]
    alpha = (y - np.interp(x, *top.T) + 0.5).clip(0, 1) * (np.interp(x, *bottom.T) - y + 0.5).clip(0, 1)
    return slice(y0, y1), slice(x0, x1), alpha[..., None]


def _blend(under: np.ndarray, over: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.round(under + alpha * (over.astype(np.float32) - under)).astype(np.uint8)


def _shade_mouth(image: np.ndarray, roof: np.ndarray, floor: np.ndarray) -> None:
    """Shade the inside of the mouth between two curves: dark below the roof, red like the tongue near the floor."""
    region = _between(image, roof, floor)
    if region is None:
        return
    rows, columns, alpha = region
    y, x = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)
    above, below = np.interp(x, *roof.T), np.interp(x, *floor.T)
    part = ((y - above) / np.maximum(below - above, 1)).clip(0, 1)[..., None]
    dark, tongue = np.array([22.0, 20, 38]), np.array([52.0, 48, 96])
    image[rows, columns] = _blend(image[rows, columns], dark + part**2 * (tongue - dark), alpha)
