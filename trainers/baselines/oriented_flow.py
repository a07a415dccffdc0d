"""Histograms of the direction of flow, by blocks of the face, each with a linear SVM.

* HOOF: Rizwan Chaudhry, Avinash Ravichandran, Gregory Hager and Rene Vidal, Histograms of Oriented Optical Flow and
  Binet-Cauchy Kernels on Nonlinear Dynamical Systems, CVPR 2009. Mirrored directions share a bin.
* FHOFO: S. L. Happy and Aurobinda Routray, Fuzzy Histogram of Optical Flow Orientations for Micro-Expression
  Recognition, IEEE Transactions on Affective Computing 10, 2019. Each direction belongs to near bins as well, whatever
  its length.
* Bi-WOOF: Sze-Teng Liong, John See, KokSheik Wong and Raphael Phan, Less is More: Micro-Expression Recognition from
  Video using Apex Frame, Signal Processing: Image Communication 62, 2018. Directions weigh by length, blocks by strain.
* MDMO: Yong-Jin Liu, Jin-Kai Zhang, Wen-Jing Yan, Su-Jing Wang, Guoying Zhao and Xiaolan Fu, A Main Directional Mean
  Optical Flow Feature for Spontaneous Micro-Expression Recognition, IEEE Transactions on Affective Computing 7, 2016:
  of each region the mean of the flow whose direction is in the fullest bin. Its 36 regions, which follow landmarks,
  are a grid of 6 x 6 here.
"""

import numpy as np

from merau.trainers.baselines.svm import FeatureSvm, hellinger
from merau.trainers.data.flow_set import SIDE_PX
from merau.trainers.evaluate.task import Task

BLOCKS = 5  # a side
BINS = 8
FUZZY_SIGMA = np.pi / 8  # of the membership of a direction in its bins
REGIONS = 6  # a side, of MDMO
DIRECTION_WEIGHT = 0.9  # of MDMO's direction beside its length (the paper's alpha)


def polar(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return length and direction (N, H, W) of flow (N, 2, H, W); directions are 0..2 pi, from right to down."""
    return np.hypot(flow[:, 0], flow[:, 1]), np.mod(np.arctan2(flow[:, 1], flow[:, 0]), 2 * np.pi)


def pool_blocks(values: np.ndarray, blocks: int) -> np.ndarray:
    """Return the mean of values (N, ..., H, W) over `blocks` x `blocks` parts, (N, ..., blocks, blocks)."""
    rows, columns = (np.array_split(np.arange(size), blocks) for size in values.shape[-2:])
    means = [[values[..., r[0] : r[-1] + 1, c[0] : c[-1] + 1].mean((-2, -1)) for c in columns] for r in rows]
    return np.moveaxis(np.array(means), (0, 1), (-2, -1))


def histograms(weight: np.ndarray, member: np.ndarray, blocks: int = BLOCKS) -> np.ndarray:
    """Return histograms (N, blocks, blocks, B) of membership (N, B, H, W), each cell with its `weight` (N, H, W)."""
    return np.moveaxis(pool_blocks(weight[:, None] * member, blocks), 1, -1)


def in_bins(direction: np.ndarray, bins: int) -> np.ndarray:
    """Return which of `bins` equal sectors the directions (N, H, W) are in, (N, bins, H, W) of 0 and 1."""
    index = np.floor(direction / (2 * np.pi) * bins).astype(int) % bins
    return np.asarray(index[:, None] == np.arange(bins)[:, None, None], float)


def hoof(flow: np.ndarray) -> np.ndarray:
    """Return HOOF (N, 5, 5, 8) of flow (N, 2, H, W)."""
    length, _ = polar(flow)
    mirrored = np.arctan2(flow[:, 1], np.abs(flow[:, 0]))  # -pi/2..pi/2
    index = np.clip(((mirrored / np.pi + 0.5) * BINS).astype(int), 0, BINS - 1)
    return histograms(length, np.asarray(index[:, None] == np.arange(BINS)[:, None, None], float))


def fhofo(flow: np.ndarray) -> np.ndarray:
    """Return FHOFO (N, 5, 5, 8) of flow (N, 2, H, W); cells that hardly move count less."""
    length, direction = polar(flow)
    away = direction[:, None] - ((np.arange(BINS) + 0.5) * 2 * np.pi / BINS)[:, None, None]
    away = np.abs((away + np.pi) % (2 * np.pi) - np.pi)
    moves = length > np.median(length, (1, 2), keepdims=True)
    return histograms(moves.astype(float), np.exp(-0.5 * (away / FUZZY_SIGMA) ** 2))


def bi_woof(flow: np.ndarray, strain: np.ndarray) -> np.ndarray:
    """Return Bi-WOOF (N, 5, 5, 8) of flow (N, 2, H, W) and its strain (N, S, S)."""
    length, direction = polar(flow)
    local = histograms(length, in_bins(direction, BINS))
    return np.asarray(local * pool_blocks(strain, BLOCKS)[..., None])


def mdmo(flow: np.ndarray) -> np.ndarray:
    """Return MDMO (N, 6 * 6 * 2) of flow (N, 2, H, W): length and direction of each region's main flow."""
    _, direction = polar(flow)
    member = in_bins(direction, BINS)
    counts = pool_blocks(member, REGIONS)  # (N, 8, 6, 6)
    main = counts.argmax(1)[:, None]
    shares = np.take_along_axis(counts, main, 1)[:, 0]
    across, down = (
        np.take_along_axis(pool_blocks(member * axis[:, None], REGIONS), main, 1)[:, 0] / np.maximum(shares, 1e-9)
        for axis in (flow[:, 0], flow[:, 1])
    )
    length = np.hypot(across, down)
    relative = length / np.maximum(length.max((1, 2), keepdims=True), 1e-9)
    angle = np.arctan2(down, across)
    parts = ((1 - DIRECTION_WEIGHT) * relative, DIRECTION_WEIGHT * np.cos(angle), DIRECTION_WEIGHT * np.sin(angle))
    return np.stack(parts, -1).reshape(len(flow), -1)


def make_hoof(task: Task) -> FeatureSvm:
    """Return HOOF + SVM on the flow of `task`."""
    return FeatureSvm(task, hellinger(hoof(task.flow)), "HOOF")


def make_fhofo(task: Task) -> FeatureSvm:
    """Return FHOFO + SVM on the flow of `task`."""
    return FeatureSvm(task, hellinger(fhofo(task.flow)), "FHOFO")


def make_bi_woof(task: Task) -> FeatureSvm:
    """Return Bi-WOOF + SVM on the flow of `task`."""
    weighted = bi_woof(task.flow, task.data.image[..., 0].astype(float))
    total = weighted.sum((1, 2, 3), keepdims=True)  # the blocks' weights stay
    return FeatureSvm(task, np.sqrt(weighted / np.maximum(total, 1e-9)).reshape(len(task), -1) * BLOCKS, "Bi-WOOF")


def make_mdmo(task: Task) -> FeatureSvm:
    """Return MDMO + SVM on the flow of `task`."""
    return FeatureSvm(task, mdmo(task.flow), "MDMO")


def make_strain(task: Task) -> FeatureSvm:
    """Return optical strain + SVM.

    Matthew Shreve et al., Macro- and Micro-Expression Spotting in Long Videos Using Spatio-Temporal Strain, FG 2011;
    as features: Sze-Teng Liong et al., Optical Strain Based Recognition of Subtle Emotions, ISPACS 2014.
    """
    strain = task.data.image[..., 0].reshape(len(task), SIDE_PX, SIDE_PX).astype(float) / 255
    pooled = pool_blocks(strain, SIDE_PX // 2).reshape(len(task), -1)
    return FeatureSvm(task, pooled - pooled.mean(1, keepdims=True), "Optical strain")
