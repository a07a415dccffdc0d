"""Synthetic onset-apex flow fields, drawn without any image.

A sample is what `engine.flow.pair_flow` would give for a face of random geometry and layout: Action Units of a class
(or something that is no expression: rest, head motion, blink, gaze, speech, a tracking failure), as seen by a flow
estimator that blurs, misses areas without texture and makes errors of its own, and after the same head-motion fit as in
the live path.
Fields are on the grid of that fit: one value for 4 px, 45 x 42 for the full crop and 32 x 32 for its inner square.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from tqdm import tqdm

from merau.engine import flow as engine_flow
from merau.engine.crop import CropSpec
from merau.engine.validation import check, check_choice, check_range
from merau.trainers.data.synth import action_units as table
from merau.trainers.data.synth import faces

EXPRESSIONS = tuple(table.COMBINATIONS)
NO_EXPRESSION = "no expression"
CLASSES = (*EXPRESSIONS, NO_EXPRESSION)
SPEC = CropSpec()
CELL_PX = engine_flow.CELL_PX
TOP, SIDE, GRID = SPEC.top_px // CELL_PX, SPEC.side_px // CELL_PX, SPEC.size_px // CELL_PX
ROWS, COLUMNS = SPEC.full[0] // CELL_PX, SPEC.full[1] // CELL_PX
XS = (np.arange(COLUMNS) - SIDE + 0.5) / GRID  # cell centres, fractions of the inner square
YS = (np.arange(ROWS) - TOP + 0.5) / GRID
FACE_GRID = faces.Grid(XS, YS)
SAMPLES_PER_FACE = 10

# What samples of "no expression" show, with relative weights. "release" is a smile or an open mouth that ends: a
# movement whose reverse is no other expression.
NOTHING = {"rest": 0.26, "head": 0.26, "blink": 0.13, "gaze": 0.10, "speech": 0.13, "garbage": 0.08, "release": 0.04}
# Where heads differ in depth: distance from the middle, y from the centre, widths in x and y, standard deviation.
DEPTH_PARTS = (
    (0.0, -0.60, 0.40, 0.15, 0.20),  # forehead
    (0.28, -0.40, 0.14, 0.06, 0.10),  # brows
    (0.28, -0.25, 0.12, 0.07, 0.10),  # eyes
    (0.0, -0.25, 0.06, 0.10, 0.10),  # root of the nose
    (0.0, 0.05, 0.09, 0.09, 0.20),  # its tip
    (0.0, 0.18, 0.10, 0.06, 0.12),  # upper lip
    (0.30, 0.05, 0.12, 0.14, 0.15),  # cheeks
    (0.0, 0.32, 0.18, 0.07, 0.12),  # mouth
    (0.0, 0.50, 0.15, 0.08, 0.15),  # chin
)
FLATTEN = 0.6  # exponent of the table's shares: rare combinations are trained on, too
SPOKEN_PX = (1.5, 8.0)  # peak of speech and of expressions that end, px
STRONG_SMILE_PX = 2.5  # a stronger smile usually raises the cheeks and often opens the mouth, a weak one seldom
STRONG_SMILE = {6: 0.75, 25: 0.4, 26: 0.2}
JAW = (25, 26)  # alone they count as speech, not as surprise


@dataclass(frozen=True)
class Errors:
    """Blur and noise of a flow method, relative to DIS.

    `python scripts/bench_flow_error.py` measures them.
    """

    blur: float = 1.0
    noise: float = 1.0


ERRORS = {"dis": Errors(), "farneback": Errors(blur=0.7, noise=1.4)}


@dataclass(frozen=True)
class FlowSettings:
    """How difficult the samples are.

    Amplitudes are pixels of the 128-px square, drawn log-uniformly from (low, high).

    Attributes:
        flow: Flow method whose errors are imitated; `noise_px` and `blur_cells` are those of DIS.
        peak_px: Peak displacement of expressions.
        noise_px: Noise of the flow.
        head_px: Head motion that alignment leaves.
        shift_sd: Error of the crop's position, fractions of the square.
        scale_sd: Error of its scale.
        rotation_sd_deg: Error of its rotation.
        warp_sd: Variation of face shapes.
        blur_cells: Blur of the flow.
        no_expression: Share of samples without expression.
        variation: How faces differ from the Action Unit tables, and intensities from each other.
        combinations: The classes, as Action Units that move together.
        geometry: Geometry of the faces, one of `faces.GEOMETRIES`.
        held_out: Whether scans are of the people kept out of training.
    """

    flow: str = "dis"
    peak_px: tuple[float, float] = (0.4, 14.0)
    noise_px: tuple[float, float] = (0.015, 0.3)
    head_px: tuple[float, float] = (0.1, 6.0)
    shift_sd: float = 0.03
    scale_sd: float = 0.06
    rotation_sd_deg: float = 3.0
    warp_sd: float = 0.02
    blur_cells: tuple[float, float] = (0.4, 1.3)
    no_expression: float = 0.45
    variation: table.Variation = field(default_factory=table.Variation)
    combinations: table.Combinations = field(default_factory=lambda: table.COMBINATIONS)
    geometry: str = "mixed"
    held_out: bool = False

    def __post_init__(self) -> None:
        check_choice(self, "flow", ERRORS)
        check_choice(self, "geometry", faces.GEOMETRIES)
        for name in ("peak_px", "noise_px", "head_px", "blur_cells"):
            low, high = getattr(self, name)
            check(self, name, 0 < low <= high, "0 < low <= high")
        check_range(self, "no_expression", low=0, high=1)

    @property
    def variety(self) -> faces.Variety:
        """How faces and their crops differ."""
        layout = faces.Layout(
            squash=(1.0, 1.0),
            down=0.0,
            down_sd=self.shift_sd,
            across_sd=self.shift_sd,
            across_sigma=0.0,
            scale_sigma=self.scale_sd,
            rotation_sd_deg=self.rotation_sd_deg,
        )
        return faces.Variety(layout, self.variation, self.warp_sd)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that labels index, "no expression" last."""
        return (*self.combinations, NO_EXPRESSION)


LIVE_SHARE = 0.6  # share of no expression among the candidates that a spotter passes to the recognizer
# For calibration: cameras and faces are worse than in training, and confidence must not be too high for them.
HARDER = FlowSettings(
    no_expression=LIVE_SHARE,
    noise_px=(0.03, 0.35),
    shift_sd=0.035,
    scale_sd=0.07,
    warp_sd=0.025,
    variation=table.Variation(position_sd=0.029, width_sigma=0.28, direction_sigma=0.28, gain_sigma=0.4),
)


@dataclass(frozen=True)
class Flows:
    """N samples.

    Attributes:
        flow: (N, 2, 32, 32) float32 px.
        label: (N,) index into the settings' classes.
        aus: (N, 17) float32, 0 or 1, in the order of action_units.AUS.
        peak_px: (N,) true peak displacement of the facial motion.
        known: (N,) bool; where False the flow has unit spread and the magnitude is unknown, as in flow sets.
    """

    flow: np.ndarray
    label: np.ndarray
    aus: np.ndarray
    peak_px: np.ndarray
    known: np.ndarray


def flows(rng: np.random.Generator, samples: int, settings: FlowSettings) -> Flows:
    """Draw `samples` pairs; the same generator state gives the same samples."""
    none = len(settings.combinations)
    rng.random(samples)  # without use; the bundles that ship were trained on the draws that come after it
    label = np.where(rng.random(samples) < settings.no_expression, none, rng.integers(0, none, samples))
    nothing = np.where(label == none, rng.choice(list(NOTHING), samples, p=list(NOTHING.values())), "")
    mouths = np.isin(nothing, ("speech", "release"))
    peak = np.where(mouths, log_uniform(rng, SPOKEN_PX, samples), log_uniform(rng, settings.peak_px, samples))
    intensity, present = draw_intensities(rng, label, nothing, peak, settings.combinations)
    intensity *= np.exp(rng.normal(0, settings.variation.gain_sigma, (samples, len(table.MOVES), 1)))
    count = -(-samples // SAMPLES_PER_FACE)
    drawn = faces.draw_faces(rng, count, settings.geometry, FACE_GRID, settings.held_out, settings.variety)
    face = np.arange(samples) // SAMPLES_PER_FACE
    motion = drawn.motion(face, intensity)
    motion *= (peak / np.maximum(length(motion).max((1, 2)), 1e-6))[:, None, None, None]
    peak = np.where(intensity.any((1, 2)), peak, 0)
    # A disturbance that hides an expression would make its label wrong: beside one, disturbances are bounded.
    bound = np.where(label == none, np.inf, peak)
    motion += draw_eye_motion(rng, nothing, drawn, face, 1.5 * bound)
    motion += draw_failures(rng, nothing == "garbage")
    turn = np.where(nothing == "head", 2, 1) * log_uniform(rng, settings.head_px, samples)
    motion += draw_head_motion(rng, np.minimum(turn, 4 * bound))
    noise = np.minimum(ERRORS[settings.flow].noise * log_uniform(rng, settings.noise_px, samples), bound / 4)
    observed, trust = estimate(rng, motion, noise, settings)
    inner = (..., slice(TOP, TOP + GRID), slice(SIDE, SIDE + GRID))
    facial = remove_head(observed, trust)[inner].astype(np.float32)
    return Flows(facial, label, present, peak, np.ones(samples, bool))


def draw(seed: int, samples: int, settings: FlowSettings) -> Flows:
    """Draw many samples from one seed, with a progress bar."""
    rng, chunk = np.random.default_rng(seed), 500
    with tqdm(total=samples, desc="drawing flows", unit="pair", smoothing=0.05) as bar:
        parts = []
        for start in range(0, samples, chunk):
            parts.append(flows(rng, min(chunk, samples - start), settings))
            bar.update(len(parts[-1].label))
    return concatenate(parts)


def concatenate(parts: Sequence[Flows]) -> Flows:
    """Return the samples of all `parts`."""
    return Flows(*(np.concatenate(column) for column in zip(*(vars(part).values() for part in parts), strict=True)))


def draw_intensities(
    rng: np.random.Generator,
    label: np.ndarray,
    nothing: np.ndarray,
    peak_px: np.ndarray,
    combinations: table.Combinations = table.COMBINATIONS,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the intensity of each Action Unit.

    Args:
        rng: Source of the draws.
        label: (N,) index into `combinations`, and after them "no expression".
        nothing: (N,) what samples without expression show, keys of NOTHING.
        peak_px: (N,) strength, which decides what a smile shows.
        combinations: The classes.

    Returns:
        Intensities (N, moves, 2 sides), relative to 1, and which Action Units count as present, (N, 17) float32.
    """
    both = np.zeros((len(label), len(table.MOVES)))
    for i, (kind, other) in enumerate(zip(label, nothing, strict=True)):
        if kind < len(combinations):
            units = set(draw_combination(rng, list(combinations.values())[kind]))
            if 12 in units and peak_px[i] > STRONG_SMILE_PX:
                units = {*units, *(au for au, share in STRONG_SMILE.items() if rng.random() < share)}
            for au in sorted(units):
                both[i, table.MOVES.index(au)] = rng.uniform(0.5, 1.4)
        elif other == "speech":
            for au, amount in draw_syllable(rng).items():
                both[i, table.MOVES.index(au)] = amount
        elif other == "release":
            for au in ((12,), (6, 12), (25, 26))[rng.integers(3)]:
                both[i, table.MOVES.index(au)] = -rng.uniform(0.5, 1.4)
    cheek, lids = table.MOVES.index(6), table.MOVES.index(7)  # a raised cheek narrows the eye from above, too
    both[:, lids] = np.maximum(both[:, lids], both[:, cheek] * rng.uniform(0, 0.8, len(both)))
    expressive = label < len(combinations)
    extra = (rng.random(both.shape) < 0.06) * rng.uniform(0, 0.35, both.shape) * expressive[:, None]
    extra[:, table.MOVES.index(table.BLINK)] = 0
    both = np.where(both == 0, extra, both)
    sides = np.exp(rng.normal(0, 0.25, (*both.shape, 2)))
    one_sided = (rng.random(len(both)) < 0.2) & expressive
    sides[np.flatnonzero(one_sided), :, rng.integers(0, 2, one_sided.sum())] *= rng.uniform(0, 0.2)
    intensity = both[..., None] * sides
    return intensity, (intensity.max(-1)[:, : len(table.AUS)] >= 0.35).astype(np.float32)


def draw_combination(rng: np.random.Generator, combinations: table.Shares) -> tuple[int, ...]:
    """Draw Action Units that move together, by the flattened weights of the table."""
    units, weight = zip(*(row for row in combinations if not set(row[0]) <= set(JAW)), strict=True)
    share = np.array(weight) ** FLATTEN
    return units[rng.choice(len(units), p=share / share.sum())]


def draw_syllable(rng: np.random.Generator) -> dict[int, float]:
    """Draw Action Units of a mouth that opens or closes (negative).

    Lips may be spread, pursed or pressed.
    """
    jaw = rng.uniform(0.5, 1.2) * rng.choice((-1, 1))
    others = {20: rng.uniform(-0.5, 0.4), 17: rng.uniform(0, 0.3), 10: rng.uniform(-0.2, 0.3), 23: rng.uniform(0, 0.4)}
    shown = {au: amount for au, amount in others.items() if rng.random() < 0.4}
    return {26: jaw, 25: 0.7 * jaw * rng.uniform(0, 1), **shown}


def draw_eye_motion(
    rng: np.random.Generator, nothing: np.ndarray, drawn: faces.FaceFields, face: np.ndarray, most_px: np.ndarray
) -> np.ndarray:
    """Draw blinks and gaze shifts (N, 2, rows, columns) px, at most `most_px` (N,), of the faces `face` (N,).

    Samples of that name always have them, others sometimes.
    """
    samples = len(nothing)
    blink = np.where(nothing == "blink", 1, rng.random(samples) < 0.3)
    gain = blink * np.minimum(log_uniform(rng, (0.4, 8.0), samples), most_px) * rng.choice((1, 1, 1, -0.7), samples)
    intensity = np.zeros((samples, len(table.MOVES), 2))
    intensity[:, table.MOVES.index(table.BLINK)] = gain[:, None] * np.exp(rng.normal(0, 0.2, (samples, 2)))
    drags_brow = (rng.random(samples) < 0.3) * rng.uniform(0, 0.15, samples)
    intensity[:, table.MOVES.index(4)] = (gain * drags_brow)[:, None]
    looks = np.where(nothing == "gaze", 1, rng.random(samples) < 0.1)
    looks = looks * np.minimum(log_uniform(rng, (0.3, 4.0), samples), most_px)
    angle = rng.uniform(0, 2 * np.pi, samples)
    gaze = looks[:, None] * np.stack([np.cos(angle), 0.6 * np.sin(angle)], -1)  # both eyes go the same way
    return drawn.motion(face, intensity) + drawn.iris[face][:, None] * gaze[..., None, None]


def draw_failures(rng: np.random.Generator, chosen: np.ndarray) -> np.ndarray:
    """Draw the flow of a hand, a turn or a lost face.

    It is (N, 2, rows, columns) px, and zero where not `chosen` (N,).
    """
    result = np.zeros((len(chosen), 2, ROWS, COLUMNS))
    count = int(chosen.sum())
    if count:
        size = log_uniform(rng, (0.5, 12), count)[:, None, None, None]
        result[chosen] = size * smooth(rng, count, (4, 7)) * (smooth(rng, count, (3,)) > rng.uniform(-1, 0.5))
    return result


def draw_head_motion(rng: np.random.Generator, size: np.ndarray) -> np.ndarray:
    """Draw head motion that alignment leaves, (N, 2, rows, columns).

    Its size is about `size` (N,) px.

    It is affine, with the parallax of a head of individual depth; the background moves independently.
    """
    samples, size = len(size), size[:, None, None]
    part = rng.normal(0, 1, (samples, 2, 4)) * (1, 0.8, 0.8, 0.7) * size  # px per unit of [1, x, y, z]
    flat = np.tensordot(part[:, :, :3], cell_basis()[0][:3], axes=(2, 0))
    field = flat + part[:, :, 3, None, None] * draw_depth(rng, samples)
    behind = (((XS - 0.5) / 0.62) ** 2 + ((YS[:, None] - 0.52) / 0.75) ** 2) > rng.uniform(0.8, 1.4, (samples, 1, 1))
    return np.where(behind[:, None], rng.normal(0, 1, (samples, 2, 1, 1)) * size[..., None], field)


def draw_depth(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Draw the depth of each cell of a head, (N, 1, rows, columns).

    It is the generic depth of the fit plus individual differences: position of the crop, roundness, nose, brows,
    cheeks, mouth and chin.
    """
    generic = cell_basis()[0][3]
    down, across = np.gradient(generic)
    x, y = XS - 0.5, YS[:, None] - 0.5
    parts = [np.exp(-(((np.abs(x) - px) / sx) ** 2) - ((y - py) / sy) ** 2) for px, py, sx, sy, _ in DEPTH_PARTS]
    modes = np.stack([across, down, x**2 + 0 * y, y**2 + 0 * x, *parts])
    own = rng.normal(0, 1, (samples, len(modes))) * (2, 2, 0.6, 0.8, *(sd for *_, sd in DEPTH_PARTS))
    return (generic + np.tensordot(own, modes, axes=1))[:, None] + 0.07 * smooth(rng, samples, (4, 7))[:, :1]


def estimate(
    rng: np.random.Generator, motion: np.ndarray, noise: np.ndarray, settings: FlowSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Return `motion` as a flow method would estimate it.

    `motion` is (N, 2, rows, columns) px, and the method has errors of `noise` (N,) px.

    Where there is little texture the estimate comes from neighbours (a normalized convolution) and is too small; blocks
    that a codec skipped show no motion; errors are smooth, and larger where texture is poor.

    Returns:
        The estimate, and the texture (N, rows, columns).
    """
    samples = len(motion)
    detail = draw_texture(rng, samples)[:, None]
    sigma = ERRORS[settings.flow].blur * rng.uniform(*settings.blur_cells, samples)
    near = blur(np.concatenate([motion * detail, detail], 1), sigma)
    wide = blur(np.concatenate([motion * detail, detail], 1), 3 * sigma)
    seen = (near[:, :2] + 0.15 * wide[:, :2]) / (near[:, 2:] + 0.15 * wide[:, 2:] + 0.02)
    short = 1 - rng.uniform(0, 0.6, (samples, 1, 1, 1)) * (1 - detail)
    skipped = (rng.random((samples, 1, 1, 1)) < 0.15) & (smooth(rng, samples, (11,))[:, :1] > 1.0)
    noise = noise[:, None, None, None]
    error = noise * smooth(rng, samples, (4, 9, 18)) * (1.4 - detail)
    spots = (rng.random((samples, 1, 1, 1)) < 0.15) * (smooth(rng, samples, (12,)) > 2.2)
    spots = spots * rng.normal(0, 1, (samples, 2, 1, 1)) * 6 * noise
    return np.where(skipped, 0.1, 1) * seen * short + error + spots, detail[:, 0]


def draw_texture(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Draw texture 0..1 (N, rows, columns).

    It is high at brows, eyes, nose, lips and jaw, elsewhere that of skin and light.
    """
    spots = ((0.2, 0.1, 0.13, 0.05), (0.22, 0.25, 0.11, 0.05), (0.4, 0.55, 0.07, 0.06), (0.38, 0.82, 0.12, 0.06),
             (0.45, 0.98, 0.14, 0.05))  # fmt: skip
    parts = sum(
        np.exp(-0.5 * (((XS - x) / sx) ** 2 + ((YS[:, None] - y) / sy) ** 2))
        for left, y, sx, sy in spots
        for x in (left, 1 - left)
    )
    skin = rng.uniform(0.1, 0.9, (samples, 1, 1)) + 0.25 * smooth(rng, samples, (5, 9))[:, 0]
    return np.clip(skin + rng.uniform(0.3, 0.9, (samples, 1, 1)) * parts, 0.03, 1)


def remove_head(field: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Return `field` (N, 2, rows, columns) after the head-motion fit.

    The fit is that of `engine.flow`, on its cells.
    """
    basis, cells = cell_basis()
    fitted = np.stack([engine_flow.fit_motion(f, t, basis, cells) for f, t in zip(field, trust, strict=True)])
    return field - np.tensordot(fitted, basis, axes=(2, 0))


@lru_cache
def cell_basis() -> tuple[np.ndarray, np.ndarray]:
    """Return basis and cells of the head-motion fit.

    They are (4, rows, columns), and (n, 2) on the face.
    """
    basis = engine_flow.motion_basis(SPEC)[:, CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX]
    return np.ascontiguousarray(basis), engine_flow.face_cells(SPEC) // CELL_PX


def smooth(
    rng: np.random.Generator, samples: int, scales: tuple[int, ...], shape: tuple[int, int] = (ROWS, COLUMNS)
) -> np.ndarray:
    """Draw smooth fields (N, 2, rows, columns) of about unit variance.

    `scales` are the knots a side of coarse grids.
    """
    share = rng.dirichlet(np.ones(len(scales)), samples)
    total = np.zeros((samples, 2, *shape))
    for i, knots in enumerate(scales):
        down, across = interpolation(shape[0], knots), interpolation(shape[1], knots)
        field = down @ rng.normal(0, 1, (samples, 2, knots, knots)) @ across.T
        total += np.sqrt(share[:, i])[:, None, None, None] * field
    return total


@lru_cache
def interpolation(cells: int, knots: int) -> np.ndarray:
    """Return the matrix (cells, knots) of a Gaussian interpolation.

    Its rows have unit length, so that white knots give unit variance.
    """
    distance = np.linspace(0, knots - 1, cells)[:, None] - np.arange(knots)
    weight = np.exp(-0.5 * (distance / 0.6) ** 2)
    return weight / np.linalg.norm(weight, axis=1, keepdims=True)


def blur(field: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Blur (N, C, rows, columns) with a Gaussian of `sigma` (N,) cells.

    It is normalized at the edges.
    """

    def kernel(cells: int) -> np.ndarray:
        distance = np.arange(cells)[:, None] - np.arange(cells)
        weight = np.exp(-0.5 * (distance / sigma[:, None, None, None]) ** 2)
        return weight / weight.sum(-1, keepdims=True)

    return kernel(ROWS) @ field @ np.swapaxes(kernel(COLUMNS), -1, -2)


def length(field: np.ndarray) -> np.ndarray:
    """Return the length (N, H, W) of the vectors of (N, 2, H, W)."""
    return np.hypot(field[:, 0], field[:, 1])


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float], samples: int) -> np.ndarray:
    """Draw (N,) numbers whose logarithm is uniform within `bounds`."""
    low, high = np.log(bounds)
    return np.exp(rng.uniform(low, high, samples))
