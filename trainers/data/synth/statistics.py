"""What flow looks like in numbers, to compare a generator with real recordings."""

from pathlib import Path

import numpy as np
from scipy.fft import dctn

from merau.engine.crop import CropSpec
from merau.engine.flow import motion_basis
from merau.trainers.data.flow_set import SIDE_PX
from merau.trainers.data.synth.action_units import MOVES

EDGES = (0.0, 1.5, 3.0, 5.0, 8.0, 12.0, np.inf)  # of the bands, half-waves across the crop
STRIP = 9  # rows that count as top and bottom
# Of 309 real micro-expressions (SMIC and CASME II) in the public set: what a generator must reach.
REAL_SHARES = (0.565, 0.247, 0.188)  # of negative, positive and surprise in the composite set
REAL = {
    "beyond_8": {"u": (0.12, 0.14), "v": (0.16, 0.22)},
    "kurtosis": {"u": (6.8, 7.5), "v": (8.6, 9.3)},
    "head_share": {"u": (0.25, 0.35), "v": (0.25, 0.35)},
    "symmetric": {"u": (0.55, 0.65), "v": (0.75, 0.85)},
}


def flow_statistics(flow: np.ndarray) -> dict[str, dict[str, float | list[float]]]:
    """Return mean statistics of flows (N, 2, 28, 28), each channel in any unit.

    For "u" and "v": `bands`, shares of the energy in bands of the DCT by EDGES, without the mean; `beyond_8`, the sum
    of the last two; `kurtosis` (3 for a normal distribution); `affine_share`, `head_share`: shares of the energy that
    an affine field, and one with a head's depth, explain; `symmetric`: share of the energy that is left-right
    symmetric; `top`, `bottom`: shares of the energy in the upper and lower 9 rows.
    """
    centred = flow - np.median(flow, axis=(2, 3), keepdims=True)
    scaled = centred / np.maximum(centred.std((2, 3), keepdims=True), 1e-9)
    mirror = scaled[..., ::-1] * np.array([-1, 1])[:, None, None]
    energy = np.maximum((scaled**2).sum((2, 3)), 1e-9)
    rest = scaled - scaled.mean((2, 3), keepdims=True)
    values = {
        "kurtosis": (rest**4).mean((2, 3)) / np.maximum((rest**2).mean((2, 3)) ** 2, 1e-9),
        "affine_share": _explained(scaled, 3),
        "head_share": _explained(scaled, 4),
        "symmetric": (((scaled + mirror) / 2) ** 2).sum((2, 3)) / energy,
        "top": (scaled[:, :, :STRIP] ** 2).sum((2, 3)) / energy,
        "bottom": (scaled[:, :, -STRIP:] ** 2).sum((2, 3)) / energy,
    }
    bands = _bands(scaled)
    result: dict[str, dict[str, float | list[float]]] = {}
    for i, channel in enumerate("uv"):
        means = {name: float(value[:, i].mean()) for name, value in values.items()}
        shares = [float(share) for share in bands[:, i].mean(0)]
        result[channel] = {**means, "beyond_8": sum(shares[-2:]), "bands": shares}
    return result


def _bands(flow: np.ndarray) -> np.ndarray:
    """Return shares of the DCT's energy in the bands of EDGES, (N, 2, 6)."""
    energy = dctn(flow, axes=(2, 3), norm="ortho") ** 2
    energy[:, :, 0, 0] = 0
    radius = np.hypot(*np.indices(flow.shape[2:]))
    band = np.digitize(radius, EDGES[1:-1])
    parts = np.stack([energy[..., band == i].sum(-1) for i in range(len(EDGES) - 1)], -1)
    return parts / np.maximum(parts.sum(-1, keepdims=True), 1e-9)


def _explained(flow: np.ndarray, terms: int) -> np.ndarray:
    """Return which share of the energy about the mean the first `terms` of [1, x, y, z] explain, (N, 2)."""
    spec = CropSpec()
    inner = motion_basis(spec)[:terms][:, *spec.inner].astype(np.float64)
    step = spec.size_px / SIDE_PX
    at = ((np.arange(SIDE_PX) + 0.5) * step).astype(int)
    basis = np.linalg.qr(inner[:, at][:, :, at].reshape(terms, -1).T)[0]
    values = flow.reshape(*flow.shape[:2], -1)
    values = values - values.mean(-1, keepdims=True)
    return ((values @ basis) ** 2).sum(-1) / np.maximum((values**2).sum(-1), 1e-9)


def au_cosines(fields: np.ndarray, aggregate: Path) -> dict[str, float]:
    """Compare mean fields per Action Unit with those of real clips.

    Args:
        fields: (18, 2, 28, 28), how each of MOVES moves the crop, both sides together.
        aggregate: .npz with `au` (A,), `samples` (A,) and `field` (A, 2, 28, 28): mean real flow per Action Unit.

    Returns:
        The cosine of each Action Unit by number, and "mean", weighted by the square root of its clips.
    """
    with np.load(aggregate) as real:
        aus, samples, wanted = real["au"], real["samples"], real["field"].astype(np.float64)
    cosines = {}
    for au, target in zip(aus.tolist(), wanted, strict=True):
        mean = fields[MOVES.index(au)].astype(np.float64)
        mean = mean - np.median(mean, axis=(1, 2), keepdims=True)
        cosines[str(au)] = float((mean * target).sum() / np.sqrt((mean**2).sum() * (target**2).sum()))
    weight = np.sqrt(samples)
    return {**cosines, "mean": float(weight @ list(cosines.values()) / weight.sum())}
