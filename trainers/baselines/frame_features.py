"""Hand-crafted features of a clip's frames, each with a linear SVM.

* LBP-SIP: Yandan Wang, John See, Raphael Phan and Yee-Hui Oh, LBP with Six Intersection Points: Reducing Redundant
  Information in LBP-TOP for Micro-Expression Recognition, ACCV 2014.
* HOG-TOP and HIGO-TOP: Xiaobai Li, Xiaopeng Hong, Antti Moilanen, Xiaohua Huang, Tomas Pfister, Guoying Zhao and Matti
  Pietikainen, Towards Reading Hidden Emotions, IEEE Transactions on Affective Computing 9, 2018. HIGO counts gradients
  without their length.
* Dynamic image: Hakan Bilen, Basura Fernando, Efstratios Gavves, Andrea Vedaldi and Stephen Gould, Dynamic Image
  Networks for Action Recognition, CVPR 2016: one picture that ranks the frames; by approximate rank pooling.
"""

import cv2
import numba
import numpy as np

from merau.engine.errors import UserError
from merau.trainers.baselines.frames import read_strips
from merau.trainers.baselines.svm import FeatureSvm, hellinger
from merau.trainers.evaluate.task import Task

BLOCKS = 5  # a side
BINS = 8  # of gradients' directions
MIN_FRAMES = 3
STRENGTH = 30.0  # of the SVM on histograms: at 1 it does not even fit 40 clips
DYNAMIC_PX = 32  # side of the dynamic image


@numba.njit(cache=True)
def lbp_sip(frames, blocks):  # type: ignore[no-untyped-def]
    """Return histograms (blocks, blocks, 64) float64 of frames (T, H, W) uint8.

    The six neighbours of a voxel are those to the left, right, above, below, before and after.
    """
    count, height, width = frames.shape
    histograms = np.zeros((blocks, blocks, 64))
    for t in range(1, count - 1):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                centre = frames[t, y, x]
                code = (frames[t, y, x - 1] >= centre) | (frames[t, y, x + 1] >= centre) << 1
                code |= (frames[t, y - 1, x] >= centre) << 2 | (frames[t, y + 1, x] >= centre) << 3
                code |= (frames[t - 1, y, x] >= centre) << 4 | (frames[t + 1, y, x] >= centre) << 5
                histograms[y * blocks // height, x * blocks // width, code] += 1
    return histograms


def gradient_histograms(frames: np.ndarray, *, weighted: bool) -> np.ndarray:
    """Return histograms (5, 5, 3, 8) of the gradients' directions in the planes XY, XT and YT of frames (T, H, W).

    Args:
        frames: A clip.
        weighted: Whether a gradient weighs its length (HOG) or 1 (HIGO).
    """
    smooth = np.stack([cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 1) for frame in frames])
    by_t, by_y, by_x = np.gradient(smooth)
    histograms = np.zeros((BLOCKS, BLOCKS, 3, BINS))
    rows = np.arange(frames.shape[1]) * BLOCKS // frames.shape[1]
    columns = np.arange(frames.shape[2]) * BLOCKS // frames.shape[2]
    block = np.broadcast_to(rows[:, None] * BLOCKS + columns, frames.shape)
    for plane, (a, b) in enumerate(((by_x, by_y), (by_x, by_t), (by_y, by_t))):
        direction = np.mod(np.arctan2(b, a), 2 * np.pi)
        index = np.minimum((direction / (2 * np.pi) * BINS).astype(int), BINS - 1)
        weight = np.hypot(a, b) if weighted else np.ones_like(a)
        counts = np.bincount((block * BINS + index).ravel(), weight.ravel(), minlength=BLOCKS * BLOCKS * BINS)
        histograms[:, :, plane] = counts.reshape(BLOCKS, BLOCKS, BINS)
    return histograms


def dynamic_image(frames: np.ndarray) -> np.ndarray:
    """Return the dynamic image (H, W) float32 of frames (T, H, W): the sum of (2 t - T - 1) times frame t."""
    count = len(frames)
    weight = 2 * np.arange(1, count + 1) - count - 1
    return np.asarray(np.tensordot(weight, frames.astype(np.float32), 1), np.float32)


def read_clips(task: Task, name: str) -> list[np.ndarray]:
    """Return the frames of every sample. Raises UserError where there are none, or too few in a strip."""
    clips = read_strips(task.data, name)
    if min(map(len, clips)) < MIN_FRAMES:
        raise UserError(f"{name} needs {MIN_FRAMES} frames or more in every strip of frames_png.")
    return clips


def make_lbp_sip(task: Task) -> FeatureSvm:
    """Return LBP-SIP + SVM on the frames of `task`."""
    counts = np.stack([lbp_sip(clip, BLOCKS) for clip in read_clips(task, "lbp-sip")])
    return FeatureSvm(task, hellinger(counts), "LBP-SIP", STRENGTH)


def make_hog_top(task: Task) -> FeatureSvm:
    """Return HOG-TOP + SVM on the frames of `task`."""
    counts = np.stack([gradient_histograms(clip, weighted=True) for clip in read_clips(task, "hog-top")])
    return FeatureSvm(task, hellinger(counts), "HOG-TOP", STRENGTH)


def make_higo_top(task: Task) -> FeatureSvm:
    """Return HIGO-TOP + SVM on the frames of `task`."""
    counts = np.stack([gradient_histograms(clip, weighted=False) for clip in read_clips(task, "higo-top")])
    return FeatureSvm(task, hellinger(counts), "HIGO-TOP", STRENGTH)


def make_dynamic_image(task: Task) -> FeatureSvm:
    """Return the dynamic image + SVM on the frames of `task`."""
    images = [dynamic_image(clip) for clip in read_clips(task, "dynamic-image")]
    small = np.stack([cv2.resize(image, (DYNAMIC_PX, DYNAMIC_PX), interpolation=cv2.INTER_AREA) for image in images])
    flat = small.reshape(len(small), -1)
    return FeatureSvm(task, flat / np.maximum(flat.std(1, keepdims=True), 1e-6), "Dynamic image")
