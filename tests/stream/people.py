"""Clips in which it is known who is where: people cut out of real footage and moved over a moving background."""

from collections.abc import Callable, Iterator
from functools import cache

import av
import cv2
import numpy as np

from merau.engine.face_mesh import FaceNets
from merau.stream.sources import Frame
from scripts.support.footage import footage

# The outline of the mesh, in order.
OUTLINE = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149]
OUTLINE += [150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
HEAD_EYES_PX = 90.0  # between the outer eye corners of a cut-out head
HEAD_BETWEEN_EYES = np.array([128.0, 110.0])

Place = tuple[float, float, float]  # x and y between the eyes, outer-eye distance, px
Path = Callable[[float], Place | None]  # where somebody is at a time, None for not there


@cache
def clip(name: str) -> list[np.ndarray]:
    """(H, W, 3) uint8 BGR frames of a clip or the one picture of a portrait."""
    with av.open(str(footage(name))) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


@cache
def head(name: str, which: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """A person's head in each picture, (288, 256, 3) and its (288, 256, 1) alpha: `which` face from the left."""
    nets = FaceNets("wide")
    pictures = clip(name)
    first = sorted(nets.detect(pictures[0]), key=lambda detection: detection.box[0])[which]
    landmarks = nets.mesh(pictures[0], first).landmarks
    heads = []
    for picture in pictures:
        landmarks = nets.mesh(picture, landmarks).landmarks
        right, left = landmarks[[33, 263], :2].astype(np.float64)
        to_head = similarity((right + left) / 2, left - right, HEAD_BETWEEN_EYES, np.array([HEAD_EYES_PX, 0.0]))
        outline = landmarks[OUTLINE, :2] @ to_head[:, :2].T + to_head[:, 2]
        outline = outline.mean(axis=0) + 1.25 * (outline - outline.mean(axis=0))
        alpha = cv2.fillPoly(np.zeros((288, 256), np.uint8), [outline.astype(np.int32)], 255)
        cut = cv2.warpAffine(picture, to_head, (256, 288), borderMode=cv2.BORDER_REPLICATE)
        heads.append((cut, cv2.GaussianBlur(alpha, (0, 0), 4)[..., None] / np.float32(255)))
    return heads


def similarity(at: np.ndarray, along: np.ndarray, to: np.ndarray, to_along: np.ndarray) -> np.ndarray:
    """(2, 3) float64: the transform that takes a point and a vector to others."""
    turn = complex(*to_along) / complex(*along)
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([matrix, to - matrix @ at])


def scene(people: list[tuple[str, int, Path]], duration_s: float, fps: int = 15) -> Iterator[Frame]:
    """640x480 frames of people, the last one in front, on their paths: noise, sway and nods, expressions go on."""
    rng = np.random.default_rng(0)
    background = [cv2.resize(picture, (640, 480)) for picture in clip("no_face.mp4")]
    for index in range(round(duration_s * fps)):
        t_s = index / fps
        film = round(t_s * 30)
        picture = background[film % len(background)].astype(np.float32)
        for order, (name, which, path) in enumerate(people):
            place = path(t_s)
            if place:
                paste(picture, head(name, which), film, place, phase=order)
        picture += rng.normal(0, 3, picture.shape)
        yield Frame(picture.clip(0, 255).astype(np.uint8), t_s, index, 0.0)


def paste(picture: np.ndarray, heads: list[tuple[np.ndarray, np.ndarray]], film: int, at: Place, phase: int) -> None:
    turn = film % (2 * len(heads))
    cut, alpha = heads[min(turn, 2 * len(heads) - 1 - turn)]  # forth and back
    x, y, size = at
    t_s = film / 30 + phase
    roll = np.radians(5 * np.sin(2.3 * t_s))
    size *= 1 + 0.03 * np.sin(2 * t_s)
    centre = np.array([x + 3 * np.sin(5 * t_s), y + 4 * np.sin(3.1 * t_s)])
    along = np.array([HEAD_EYES_PX, 0.0])
    to_picture = similarity(HEAD_BETWEEN_EYES, along, centre, size * np.array([np.cos(roll), np.sin(roll)]))
    shape = picture.shape[1::-1]
    shown = cv2.warpAffine(alpha, to_picture, shape)[..., None]
    picture += shown * (cv2.warpAffine(cut, to_picture, shape) - picture)
