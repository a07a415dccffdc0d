"""How far what a camera shows lies from what the recognizer was trained on: MMD between embeddings, and its chance.

Maximum mean discrepancy after Gretton et al., A Kernel Two-Sample Test (2012): 0 for samples of one distribution, at
most 2. MERAU compares data sets by it (eq. 15).
"""

from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load as deserialize

from merau.engine.bundle import DOMAIN, Bundle
from merau.engine.errors import UserError

MIN_SAMPLES = 10  # samples; of fewer nothing can be said
MAX_SAMPLES = 300  # samples taken of either side


@dataclass(frozen=True)
class DomainDistance:
    """`mmd2` between two sets of samples, and `p_value`: how often as large a gap comes about where there is none."""

    mmd2: float
    p_value: float
    samples: int


def domain_embeddings(bundle: Bundle) -> np.ndarray:
    """Embeddings (M, d) float32 of the bundle's own domain: synthetic expressions. UserError where it has none."""
    if DOMAIN not in bundle.content:
        raise UserError(f"Bundle {bundle.name} holds no samples of its domain: the gauge has nothing to compare with.")
    return deserialize(bundle.content[DOMAIN])["embedding"]


def domain_distance(
    seen: np.ndarray, reference: np.ndarray, *, permutations: int = 200, seed: int = 0
) -> DomainDistance:
    """Between embeddings `seen` (N, d) and `reference` (M, d); of more than 300 a random 300 are taken.

    Raises UserError for fewer than 10 of either.
    """
    if min(len(seen), len(reference)) < MIN_SAMPLES:
        raise UserError(f"The domain gauge needs {MIN_SAMPLES} samples, {min(len(seen), len(reference))} are there.")
    rng = np.random.default_rng(seed)
    a, b = (rows[rng.permutation(len(rows))[:MAX_SAMPLES]].astype(np.float64) for rows in (seen, reference))
    kernel = gaussian_kernel(np.concatenate([a, b]))
    first = np.arange(len(kernel)) < len(a)
    found = mmd2(kernel, first)
    chance = [mmd2(kernel, rng.permutation(first)) for _ in range(permutations)]
    return DomainDistance(found, (1 + sum(value >= found for value in chance)) / (1 + permutations), len(a))


def gaussian_kernel(points: np.ndarray) -> np.ndarray:
    """exp(-|x - y|^2 / (2 s^2)) of every pair of `points` (N, d): (N, N). The bandwidth s is their median distance."""
    squares = (points**2).sum(1)
    distance2 = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)
    median = np.median(distance2[np.triu_indices(len(points), 1)])
    return np.exp(-distance2 / (2 * max(float(median), 1e-12)))


def mmd2(kernel: np.ndarray, first: np.ndarray) -> float:
    """Unbiased MMD^2 (three terms) between the samples where `first` (N,) is true and the others; may be below 0."""
    a, b = first.astype(float), (~first).astype(float)
    hollow = kernel - np.diag(np.diag(kernel))
    n, m = a.sum(), b.sum()
    within = a @ hollow @ a / (n * (n - 1)) + b @ hollow @ b / (m * (m - 1))
    return float(within - 2 * (a @ kernel @ b) / (n * m))
