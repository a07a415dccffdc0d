"""Face detector and 468-point face mesh on LiteRT: images in, boxes and landmarks out, without state between frames.

Detector: Bazarevsky et al., BlazeFace, 2019 (arXiv:1907.05047). Mesh: Kartynnik et al., Real-time Facial Surface
Geometry from Monocular Video on Mobile GPUs, 2019 (arXiv:1907.06724). The nets are in `engine/nets` (see NOTICE);
`scripts/fetch_face_nets.py` downloads them.
"""

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Literal

import cv2
import numba
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from merau.engine.crop import warp

# Points of the mesh; left and right are the person's own.
RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER = 33, 133, 362, 263
NOSE_TIP, FOREHEAD, CHIN = 1, 10, 152

_LOADING = threading.Lock()  # standard error is the process's
_greeted = False  # whether LiteRT has written its greeting

MESH_SIDE_PX = 192
MESH_BOX_SCALE = 1.5
DETECTION_IOU = 0.3


@dataclass(frozen=True)
class Detection:
    """A detected face, in px of the frame.

    Attributes:
        box: (4,) float32: x0, y0, x1, y1.
        keypoints: (K, 2) float32: the person's right eye, left eye, nose tip, and further points of the detector; ours
            adds the mouth and both ears.
        score: 0 to 1.
    """

    box: np.ndarray
    keypoints: np.ndarray
    score: float


@dataclass(frozen=True)
class Mesh:
    """The mesh of a face.

    Attributes:
        landmarks: (468, 3) float32 px of the frame; z has the same scale and is smaller for nearer points.
        logit: The net's confidence in a face: negative for none, 16 to 36 for a face in full view, lower behind a hand.
    """

    landmarks: np.ndarray
    logit: float

    @property
    def presence(self) -> float:
        """The logit as a probability, 0 to 1."""
        return float(1 / (1 + np.exp(-self.logit)))


@dataclass(frozen=True)
class Layout:
    """A detector's net file, input side, and anchor grids as (stride in px, anchors per cell)."""

    net: str
    side_px: int
    grids: tuple[tuple[int, int], ...]


LAYOUTS = {
    "short": Layout("face_detection_short_range.tflite", 128, ((8, 2), (16, 6))),
    "wide": Layout("face_detection_full_range.tflite", 192, ((4, 1),)),
}


class FaceNets:
    """The detector and the mesh net. Not thread-safe: give each thread its own.

    Args:
        detector: "short" for faces within about 2 m of the camera, "wide" for smaller ones at 3.5 times the cost.
        threads: Number of threads of each net.
    """

    def __init__(self, detector: Literal["short", "wide"] = "short", threads: int = 1) -> None:
        self._threads = threads
        self._layout = LAYOUTS[detector]
        self._anchors = anchors(self._layout)
        self._mesh = _Net("face_landmark.tflite", threads)

    @cached_property
    def _detector(self) -> "_Net":  # loaded on first use: not needed with another detector
        return _Net(self._layout.net, self._threads)

    def detect(self, bgr: np.ndarray) -> list[Detection]:
        """Find all faces in an image (H, W, 3) uint8, best first."""
        side = self._layout.side_px
        square, scale, corner = letterbox(bgr, side)
        raw, logits = self._detector(cv2.cvtColor(square, cv2.COLOR_BGR2RGB) * np.float32(2 / 255) - np.float32(1))
        likely = np.flatnonzero(logits.ravel() > 0)  # that is, a score above 0.5
        if not len(likely):
            return []
        scores = 1 / (1 + np.exp(-logits.ravel()[likely]))
        points = raw.reshape(-1, 8, 2)[likely]  # box centre, box size, six keypoints
        points[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[likely, None]
        half = points[:, 1] / 2
        points = np.concatenate([(points[:, 0] - half)[:, None], (points[:, 0] + half)[:, None], points[:, 2:]], axis=1)
        return [
            Detection(merged[:2].ravel(), merged[2:], score)
            for merged, score in weighted_suppression((points - corner) / scale, scores)
        ]

    def mesh(self, bgr: np.ndarray, at: Detection | np.ndarray) -> Mesh:
        """Compute the mesh of the face at a detection, or at the landmarks (468, 3) of the previous frame."""
        to_frame = mesh_square(at)
        square = warp(bgr, to_frame, (MESH_SIDE_PX, MESH_SIDE_PX), border=cv2.BORDER_CONSTANT)
        raw, logit = self._mesh(cv2.cvtColor(square, cv2.COLOR_BGR2RGB) * np.float32(1 / 255))
        points = raw.reshape(468, 3).astype(np.float64)
        scale = float(np.hypot(to_frame[0, 0], to_frame[1, 0]))
        landmarks = np.empty((468, 3), np.float32)
        landmarks[:, :2] = points[:, :2] @ to_frame[:, :2].T + to_frame[:, 2]
        landmarks[:, 2] = points[:, 2] * scale
        return Mesh(landmarks, logit.item())


def mesh_square(at: Detection | np.ndarray) -> np.ndarray:
    """Return the input square of the mesh net: the map (2, 3) float64 from its px to those of the frame.

    The square is upright along the line between the eyes and centred on the face's box; its side is MESH_BOX_SCALE
    times the box's longer side.
    """
    if isinstance(at, Detection):
        right, left = at.keypoints[:2].astype(np.float64)
        corners = at.box.reshape(2, 2).astype(np.float64)
        centre, side = corners.mean(axis=0), np.ptp(corners, axis=0).max()
        along = (left - right) / np.linalg.norm(left - right)
        (x, y), (a, b) = centre.tolist(), along.tolist()
    else:
        x, y, side, a, b = _upright_box(at)
    a, b = MESH_BOX_SCALE * side / MESH_SIDE_PX * a, MESH_BOX_SCALE * side / MESH_SIDE_PX * b
    middle = MESH_SIDE_PX / 2
    return np.array([[a, -b, x - middle * (a - b)], [b, a, y - middle * (a + b)]])


@numba.njit(cache=True, nogil=True)
def _upright_box(landmarks):  # type: ignore[no-untyped-def]
    """Return the upright box of landmarks (468, 3): centre x and y, longer side, and unit vector along the eyes."""
    a = np.float64(landmarks[LEFT_EYE_OUTER, 0]) - np.float64(landmarks[RIGHT_EYE_OUTER, 0])
    b = np.float64(landmarks[LEFT_EYE_OUTER, 1]) - np.float64(landmarks[RIGHT_EYE_OUTER, 1])
    length = np.sqrt(a * a + b * b)  # numba looks hypot up by the platform's name
    a, b = a / length, b / length
    left = top = np.inf
    right = bottom = -np.inf
    for x, y, _ in landmarks:
        across, down = a * x + b * y, a * y - b * x
        left, right, top, bottom = min(left, across), max(right, across), min(top, down), max(bottom, down)
    across, down = (left + right) / 2, (top + bottom) / 2
    return a * across - b * down, b * across + a * down, max(right - left, bottom - top), a, b


def head_axes(landmarks: np.ndarray) -> np.ndarray:
    """Return the head's axes (3, 3) float64 as unit rows in image coordinates (x right, y down, z away).

    The axes point from the person's right eye to the left one, down the face, and into the head. They follow from the
    outer eye corners, the top of the forehead and the chin, which expressions hardly move, except for the jaw.
    `landmarks @ head_axes(landmarks).T` gives the landmarks in the face's own coordinates, free of pose.
    """
    right, left, forehead, chin = landmarks[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER, FOREHEAD, CHIN]].astype(np.float64)
    across = left - right
    inward = _cross(across, chin - forehead)
    across /= math.sqrt(across @ across)
    inward /= math.sqrt(inward @ inward)
    return np.stack([across, _cross(inward, across), inward])


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute np.cross of two vectors (3,), ten times faster."""
    (x, y, z), (u, v, w) = one.tolist(), other.tolist()
    return np.array([y * w - z * v, z * u - x * w, x * v - y * u])


def letterbox(bgr: np.ndarray, side_px: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Shrink an image into the middle of a black square; returns the square, the scale and the corner (2,)."""
    height, width = bgr.shape[:2]
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (side_px - size[0]) // 2, (side_px - size[1]) // 2
    square = np.zeros((side_px, side_px, 3), np.uint8)
    square[top : top + size[1], left : left + size[0]] = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return square, scale, np.array([left, top], np.float32)


def anchors(layout: Layout) -> np.ndarray:
    """Return the centres (N, 2) float32 of the detector's anchors in px of its input."""
    grids = []
    for stride, per_cell in layout.grids:
        line = (np.arange(layout.side_px // stride, dtype=np.float32) + 0.5) * stride
        x, y = np.meshgrid(line, line)
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), per_cell, axis=0))
    return np.concatenate(grids)


def weighted_suppression(points: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Blend overlapping detections by their scores, which is steadier than the best one (BlazeFace, section 4.3).

    Args:
        points: (N, 8, 2), the two corners of the box first.
        scores: (N,).

    Returns:
        For each face its points (8, 2) float32 and best score, best first.
    """
    faces = []
    order = np.argsort(-scores)
    while len(order):
        overlap = box_iou(points[order[0], :2].ravel(), points[order, :2].reshape(-1, 4))
        same = order[overlap >= DETECTION_IOU]
        weights = scores[same] / scores[same].sum()
        faces.append((np.tensordot(weights, points[same], axes=1).astype(np.float32), float(scores[order[0]])))
        order = order[overlap < DETECTION_IOU]
    return faces


def box_iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Compute the intersection over union (N,) of a box (4,) with boxes (N, 4), all x0, y0, x1, y1."""
    shared = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    intersection = shared.clip(min=0).prod(axis=1)
    return intersection / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - intersection)


class _Net:
    """A LiteRT net: call it with an image (H, W, 3) float32 to get its outputs."""

    def __init__(self, name: str, threads: int) -> None:
        net = (files("merau.engine") / "nets" / name).read_bytes()
        with _silent_greeting():
            self._interpreter = Interpreter(model_content=net, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, image: np.ndarray) -> Sequence[np.ndarray]:
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


@contextmanager
def _silent_greeting() -> Iterator[None]:
    """Keep LiteRT's greeting off standard error: it comes once in a process, and cannot be switched off."""
    global _greeted
    with _LOADING:
        try:
            kept = None if _greeted else os.dup(2)
        except OSError:  # stderr is closed
            kept = None
        if kept is None:
            yield
            return
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        try:
            yield
            _greeted = True
        finally:
            os.dup2(kept, 2)
            os.close(kept)
