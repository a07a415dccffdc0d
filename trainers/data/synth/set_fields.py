"""Synthetic onset-apex flow as flow sets made by others hold it.

Crops of many layouts, head motion left in, a flow method that misses plain skin, and errors that are smooth, patchy and
fine. A sample is drawn at the 28 x 28 cells of the public set and passes the same reader as a real image. Amounts are
relative to the peak of an Action Unit: flow sets store no magnitude.
"""

from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from merau.engine.validation import check, check_choice, check_range
from merau.trainers.data.flow_set import SIDE_PX, UNLABELLED, encode_flow, read_flow
from merau.trainers.data.synth import action_units as table
from merau.trainers.data.synth import faces
from merau.trainers.data.synth.flow_fields import Flows, smooth

AXIS = (np.arange(SIDE_PX) + 0.5) / SIDE_PX
GRID = faces.Grid(AXIS, AXIS)
SHAPE = (SIDE_PX, SIDE_PX)
PRESENT = 0.35  # intensity of its stronger side from which an Action Unit counts as present
RIGID_SHARES = (0.8, 0.8, 0.6, 1.0, 1.0, 0.8)  # of faces.RIGID
# Where faces have texture, on both sides: (x, y, width x, width y)
TEXTURE = (
    (0.2, 0.1, 0.13, 0.05),  # brows
    (0.22, 0.25, 0.11, 0.05),  # eyes
    (0.4, 0.55, 0.07, 0.06),  # wings of the nose
    (0.38, 0.82, 0.12, 0.06),  # mouth
    (0.45, 0.98, 0.14, 0.05),  # chin
    (0.12, 0.6, 0.1, 0.1),  # cheeks
)
BOX = np.array([1.0, 1.0, 1.0]) / 3
BINOMIAL = np.array([1.0, 2.0, 1.0]) / 4


@dataclass(frozen=True)
class SetSettings:
    """What flow sets show, and how badly.

    Attributes:
        geometry: One of faces.GEOMETRIES.
        held_out: Whether scans are of the people kept out of training.
        samples_per_face: Samples of one face.
        variety: How faces and crops differ.
        combinations: The classes, as Action Units that move together; drawn by their weights.
        shares: Of each class; empty draws them equally.
        free: Share of samples with Action Units of no class.
        free_au: Probability of each Action Unit in them.
        gain_sigma: Sigma of the lognormal intensity of Action Units.
        gain: Bounds of the gain of a whole sample.
        extra: Probability of each other Action Unit.
        extra_most: Largest intensity of these.
        side_sigma: Sigma of the lognormal intensity of a side.
        one_sided: Share of samples with one side only.
        blink: Share of samples with moving lids.
        blink_most: Largest motion of these.
        gaze: Share of samples with moving eyes.
        rigid: Scale of head motion.
        mask: Largest share of motion that is lost where there is no texture.
        residual: Largest head translation that is seen at textured parts only, in half of the samples.
        smooth: Scale of smooth errors.
        blob: Share of samples with a spot that moves on its own.
        fine: Scale of fine errors.
        fine_down: How much larger they are in v: most lines of a face run across, and show motion down in detail.
        patches: Share of samples in which only patches move.
        dead_zone: Largest length of motion of which half is lost, as codecs and flow methods lose small motion.
        box: Share of samples that are blurred.
        boxes: How often these are blurred.
    """

    geometry: str = "mixed"
    held_out: bool = False
    samples_per_face: int = 40
    variety: faces.Variety = field(default_factory=faces.Variety)
    combinations: table.Combinations = field(default_factory=lambda: table.CODED)
    shares: tuple[float, ...] = ()
    free: float = 0.15
    free_au: float = 0.13
    gain_sigma: float = 0.35
    gain: tuple[float, float] = (0.5, 1.4)
    extra: float = 0.06
    extra_most: float = 0.35
    side_sigma: float = 0.4
    one_sided: float = 0.15
    blink: float = 0.45
    blink_most: float = 0.8
    gaze: float = 0.15
    rigid: float = 0.25
    mask: float = 0.6
    residual: float = 0.4
    smooth: float = 0.12
    blob: float = 0.3
    fine: float = 0.18
    fine_down: float = 1.0
    patches: float = 0.0
    dead_zone: float = 0.0
    box: float = 0.4
    boxes: int = 1

    def __post_init__(self) -> None:
        check_choice(self, "geometry", faces.GEOMETRIES)
        check_range(self, "samples_per_face", "boxes", low=1)
        check_range(self, "free", "free_au", "extra", "one_sided", "blink", "gaze", "mask", low=0, high=1)
        check_range(self, "blob", "patches", "box", low=0, high=1)
        check_range(self, "gain_sigma", "extra_most", "side_sigma", "rigid", "residual", "smooth", "fine", low=0)
        check_range(self, "blink_most", "fine_down", "dead_zone", low=0)
        classes = len(self.combinations)
        check(self, "shares", len(self.shares) in (0, classes), f"one share for each of {classes} classes, or none")
        check(self, "gain", 0 < self.gain[0] <= self.gain[1], "0 < low <= high")


SHARPER = SetSettings(box=0.1, fine=0.25, patches=0.25)
# As patchy and as sharp in numbers as real flow (`statistics.REAL`). Two causes make up what SetSettings() lacks: lids
# move in most real pairs, and far; and small motion is lost to codecs and flow methods, so that few places move.
PATCHY = SetSettings(
    blink=0.75, blink_most=3.5, rigid=0.29, smooth=0.09, fine=0.088, fine_down=1.5, dead_zone=0.4, box=0.0
)
# Evaluation on people and geometry kept out of training: hard conditions, and combinations as coders count them.
ICT_HARD = SetSettings(
    geometry="scans", held_out=True, combinations=table.COMBINATIONS, free=0, smooth=0.35, rigid=0.5, residual=0.8,
    mask=0.9, gain=(0.25, 1.0), extra=0.12, extra_most=0.6, fine=0, box=1.0, boxes=2,
)  # fmt: skip
R1 = SetSettings(
    geometry="scans", held_out=True, free=0, smooth=0.25, rigid=0.4, residual=0.6, mask=0.8, gain=(0.3, 1.0)
)


def draw_set(seed: int, samples: int, settings: SetSettings) -> Flows:
    """Draw `samples` pairs in the form of a flow set, with a progress bar.

    Labels index `settings.combinations`; samples with Action Units of no class are UNLABELLED.
    """
    image, label, present = draw_images(seed, samples, settings)
    flow = np.stack([read_flow(one) for one in image])
    return Flows(flow, label, present, np.zeros(samples), np.zeros(samples, bool))


def draw_images(seed: int, samples: int, settings: SetSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw `samples` images of a flow set, with a progress bar.

    Returns:
        Images (N, 28, 28, 3) uint8 with the channels strain, v, u; labels (N,) and Action Units (N, 17) as
        in `draw_set`.
    """
    rng, chunk = np.random.default_rng(seed), 10 * settings.samples_per_face
    parts = []
    with tqdm(total=samples, desc="drawing flow sets", unit="pair", smoothing=0.05) as bar:
        for start in range(0, samples, chunk):
            parts.append(_draw(rng, min(chunk, samples - start), settings))
            bar.update(len(parts[-1][1]))
    image, label, present = (np.concatenate(column) for column in zip(*parts, strict=True))
    return image, label, present


def _draw(rng: np.random.Generator, samples: int, settings: SetSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = -(-samples // settings.samples_per_face)
    drawn = faces.draw_faces(rng, count, settings.geometry, GRID, settings.held_out, settings.variety)
    face = np.arange(samples) // settings.samples_per_face
    free = rng.random(samples) < settings.free
    label = np.where(free, UNLABELLED, rng.choice(len(settings.combinations), samples, p=settings.shares or None))
    intensity, present = draw_intensities(rng, label, settings)
    motion = drawn.motion(face, intensity).astype(np.float64)
    angle = rng.uniform(0, 2 * np.pi, samples)
    looks = (rng.random(samples) < settings.gaze) * rng.uniform(0, 0.5, samples)
    motion += drawn.iris[face][:, None] * (looks * (np.cos(angle), np.sin(angle))).T[..., None, None]
    turn = np.abs(rng.normal(0, settings.rigid, (samples, 1))) * rng.normal(0, 1, (samples, 6)) * RIGID_SHARES
    motion += np.einsum("nr,nrcyx->ncyx", turn, drawn.rigid[face])
    seen = observe(rng, motion, settings).astype(np.float32)
    return np.stack([encode_flow(one) for one in seen]), label, present


def draw_intensities(
    rng: np.random.Generator, label: np.ndarray, settings: SetSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the intensity of each movement.

    Args:
        rng: Source of the draws.
        label: (N,) index into the settings' combinations, or UNLABELLED for Action Units of no class.
        settings: What is shown.

    Returns:
        Intensities (N, 18 moves, 2 sides), and which Action Units count as present, (N, 17) float32.
    """
    samples, aus = len(label), len(table.AUS)
    main = np.zeros((samples, aus), bool)
    for i, kind in enumerate(label):
        if kind == UNLABELLED:
            main[i] = rng.random(aus) < settings.free_au
            main[i, rng.integers(aus)] = True
        else:
            units, weight = zip(*list(settings.combinations.values())[kind], strict=True)
            chosen = units[rng.choice(len(units), p=np.array(weight) / sum(weight))]
            main[i, [table.AUS.index(au) for au in chosen]] = True
    gain = np.exp(rng.normal(0, settings.gain_sigma, main.shape))
    extra = (rng.random(main.shape) < settings.extra) * rng.uniform(0, settings.extra_most, main.shape)
    sides = np.exp(rng.normal(0, settings.side_sigma, (*main.shape, 2)))
    one_sided = np.flatnonzero(rng.random(samples) < settings.one_sided)
    sides[one_sided, :, rng.integers(0, 2, len(one_sided))] *= rng.uniform(0, 0.2, (len(one_sided), 1))
    both = np.where(main, gain, extra)[..., None] * sides
    lids = (rng.random(samples) < settings.blink) * rng.uniform(0, settings.blink_most, samples)
    lids *= rng.choice((1, 1, 1, -1), samples)
    overall = rng.uniform(*settings.gain, samples)
    shown = np.concatenate([both * overall[:, None, None], np.repeat(lids[:, None, None], 2, 2)], axis=1)
    return shown, (both.max(-1) >= PRESENT).astype(np.float32)


def observe(rng: np.random.Generator, motion: np.ndarray, settings: SetSettings) -> np.ndarray:
    """Return `motion` (N, 2, 28, 28) as a flow method sees it in a compressed recording."""
    samples, one = len(motion), (len(motion), 1, 1, 1)
    texture = _texture()
    seen = np.clip(texture + 0.35 * _smooth(rng, samples, (5, 9))[:, :1] + rng.uniform(0, 0.6, one), 0, 1)
    field = motion * (1 - rng.uniform(0, settings.mask, one) * (1 - seen))
    parts = np.clip(texture + 0.3 * _smooth(rng, samples, (5, 9))[:, :1], 0, 1)
    angle = rng.uniform(0, 2 * np.pi, samples)
    shift = (rng.random(samples) < 0.5) * rng.uniform(0, settings.residual, samples)
    field += (shift * (np.cos(angle), np.sin(angle))).T[..., None, None] * parts
    field += np.abs(rng.normal(0, settings.smooth, one)) * _smooth(rng, samples, (4, 8, 14))
    field += _blobs(rng, samples, settings.blob)
    rough = np.exp(0.9 * _smooth(rng, samples, (8, 14))[:, :1])
    grain = rough * filtered(rng.normal(0, 1, motion.shape), BINOMIAL) * np.array([[[1.0]], [[settings.fine_down]]])
    field += np.abs(rng.normal(0, settings.fine, one)) * grain
    patchy = rng.random(one) < settings.patches
    field *= np.where(patchy, 1 / (1 + np.exp(-6 * _smooth(rng, samples, (6, 9))[:, :1])), 1)
    squared = (field**2).sum(1, keepdims=True)
    field *= squared / (squared + rng.uniform(0, settings.dead_zone, one) ** 2 + 1e-12)
    blurred = field
    for _ in range(settings.boxes):
        blurred = filtered(blurred, BOX)
    return np.where(rng.random(one) < settings.box, blurred, field)


def _texture() -> np.ndarray:
    """Return how much texture each cell of a face has, (28, 28)."""
    spots = [
        np.exp(-0.5 * (((AXIS - x) / sx) ** 2 + ((AXIS[:, None] - y) / sy) ** 2))
        for left, y, sx, sy in TEXTURE
        for x in (left, 1 - left)
    ]
    return np.sum(spots, axis=0)


def _smooth(rng: np.random.Generator, samples: int, scales: tuple[int, ...]) -> np.ndarray:
    return smooth(rng, samples, scales, SHAPE)


def _blobs(rng: np.random.Generator, samples: int, share: float) -> np.ndarray:
    """Draw spots that move on their own, (N, 2, 28, 28), in a share of the samples."""
    size = (rng.random((samples, 1)) < share) * rng.normal(0, 0.5, (samples, 2))
    width = rng.uniform(0.04, 0.12, (samples, 1))
    along = [np.exp(-0.5 * ((AXIS - rng.uniform(0, 1, (samples, 1))) / width) ** 2) for _ in range(2)]
    return size[..., None, None] * along[0][:, None, :, None] * along[1][:, None, None, :]


def filtered(fields: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return `fields` (..., H, W) after a symmetric filter of three taps down and across, with edges repeated."""
    for axis in (-2, -1):
        at = np.arange(fields.shape[axis])
        near = [np.take(fields, np.clip(at + step, 0, at[-1]), axis) for step in (-1, 0, 1)]
        fields = sum(share * shifted for share, shifted in zip(kernel, near, strict=True))
    return fields
