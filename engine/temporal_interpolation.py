"""TIM, the temporal interpolation model: clips of one length.

Ziheng Zhou, Guoying Zhao and Matti Pietikainen, Towards a Practical Lipreading System, CVPR 2011; used for
micro-expressions since Pfister et al., ICCV 2011. Frames are points of a path graph, and the eigenvectors of its
Laplacian are cosines of the frame's number: a clip becomes a curve through its frames that is sampled anew.
"""

import numpy as np


def interpolate_clip(frames: np.ndarray, count: int) -> np.ndarray:
    """Return `count` frames (count, H, W) float32 along the curve through `frames` (T, H, W).

    First and last frame stay. A single frame is repeated.
    """
    clip = np.asarray(frames, np.float32)
    length = len(clip)
    if length == 1:
        return np.repeat(clip, count, 0)
    flat = clip.reshape(length, -1)
    basis, mean = path_curve(np.arange(length), length), flat.mean(0)
    weights = np.linalg.lstsq(basis, flat - mean, rcond=None)[0]  # (T - 1, H W)
    sampled = path_curve(np.linspace(0, length - 1, count), length) @ weights + mean
    return np.asarray(sampled.reshape(count, *clip.shape[1:]), np.float32)


def path_curve(at: np.ndarray, length: int) -> np.ndarray:
    """Return the curve of a path graph of `length` nodes at the positions `at` (n,), (n, length - 1).

    Column k is sin(pi k t + pi (length - k) / (2 length)), Zhou et al. 2011, eq. 9, with t = (at + 1) / length.
    """
    k = np.arange(1, length)
    t = (np.asarray(at, float)[:, None] + 1) / length
    return np.asarray(np.sin(np.pi * k * t + np.pi * (length - k) / (2 * length)))
