"""Domain gauge: how far the expressions of a camera are from the recognizer's training data.

Measured is the maximum mean discrepancy (MMD) between embeddings, and its p-value: Gretton et al., A Kernel Two-Sample
Test (2012). It is 0 for samples of one distribution, and at most 2. MERAU compares data sets by it (equation 15).
"""

from dataclasses import dataclass

import numpy as np

from merau.engine.bundle import Bundle
from merau.engine.bundle_arrays import read_domain
from merau.engine.errors import UserError

MIN_SAMPLES = 10  # fewer give no usable estimate
MAX_SAMPLES = 300  # of each set; more are drawn from at random


@dataclass(frozen=True)
class DomainDistance:
    """Distance between two sets of samples.

    Attributes:
        mmd2: Squared maximum mean discrepancy.
        p_value: Probability of a distance as large between sets of one distribution.
        samples: Number of samples in the first set.
    """

    mmd2: float
    p_value: float
    samples: int


def domain_embeddings(bundle: Bundle) -> np.ndarray:
    """Read the embeddings (M, d) float32 of the bundle's own domain, which are synthetic expressions.

    Raises:
        UserError: The bundle has none.
    """
    known = read_domain(bundle)
    if known is None:
        raise UserError(f"Bundle {bundle.name} has no samples of its domain to compare with.")
    return known


def domain_distance(
    seen: np.ndarray, reference: np.ndarray, *, permutations: int = 200, seed: int = 0
) -> DomainDistance:
    """Measure the distance between two sets of embeddings.

    Args:
        seen: (N, d).
        reference: (M, d).
        permutations: Number of random splits that the p-value is estimated from.
        seed: Of the random draws.

    Raises:
        UserError: One of the sets has fewer than MIN_SAMPLES samples.
    """
    if min(len(seen), len(reference)) < MIN_SAMPLES:
        raise UserError(
            f"The domain gauge needs {MIN_SAMPLES} samples, but there are {min(len(seen), len(reference))}."
        )
    rng = np.random.default_rng(seed)
    a, b = (rows[rng.permutation(len(rows))[:MAX_SAMPLES]].astype(np.float64) for rows in (seen, reference))
    kernel = gaussian_kernel(np.concatenate([a, b]))
    first = np.arange(len(kernel)) < len(a)
    found = mmd2(kernel, first)
    chance = [mmd2(kernel, rng.permutation(first)) for _ in range(permutations)]
    return DomainDistance(found, (1 + sum(value >= found for value in chance)) / (1 + permutations), len(a))


def gaussian_kernel(points: np.ndarray) -> np.ndarray:
    """Compute exp(-|x - y|^2 / (2 s^2)) for each pair of `points` (N, d): (N, N).

    The bandwidth s is their median distance.
    """
    squares = (points**2).sum(1)
    distance2 = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)
    median = np.median(distance2[np.triu_indices(len(points), 1)])
    return np.exp(-distance2 / (2 * max(float(median), 1e-12)))


def mmd2(kernel: np.ndarray, first: np.ndarray) -> float:
    """Estimate the squared MMD between the samples where `first` (N,) is true and the others.

    The estimate is unbiased (three terms), so that it may be negative.
    """
    a, b = first.astype(float), (~first).astype(float)
    hollow = kernel - np.diag(np.diag(kernel))
    n, m = a.sum(), b.sum()
    within = a @ hollow @ a / (n * (n - 1)) + b @ hollow @ b / (m * (m - 1))
    return float(within - 2 * (a @ kernel @ b) / (n * m))
