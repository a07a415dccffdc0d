"""How a face moves over time: pulses with onset, apex and offset, and the acts (expressions, blinks, ...) made of them.

A drive is one thing that can move: an Action Unit on one side ("12 left", what the Action Unit table is multiplied
with, pixels at a 128-px crop), an eyelid ("45 left", 1 is shut), the gaze ("gaze_x", "gaze_y", crop fractions) or the
head ("yaw", "pitch", "roll", degrees). Durations after Yan et al., How Fast are the Leaked Facial Expressions (2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from merau.trainers.data.synth.action_units import BLINK, BUMPS, COMBINATIONS, SIDES, Bumps, field

CROP_PX = 128
MICRO_S = (0.16, 0.50)  # onset to offset
DOME, DOME_PER_S = 0.03, 0.3  # a held apex still has one highest moment

Drives = dict[str, float]


@dataclass(frozen=True)
class Pulse:
    """One rise and fall of some drives: from 0 at onset to `amounts` at the apex, held for `hold_s`, to 0 at offset."""

    onset_s: float
    apex_s: float
    offset_s: float
    amounts: Drives
    hold_s: float = 0.0
    rise: float = 1.0  # below 1 starts fast, above 1 starts slowly
    fall: float = 1.0

    def level(self, t_s: float) -> float:
        """0..1 of the apex amounts at `t_s`."""
        from_apex, dome = t_s - self.apex_s, min(DOME, DOME_PER_S * self.hold_s)
        if not self.onset_s < t_s < self.offset_s:
            return 0.0
        if abs(from_apex) <= self.hold_s / 2:
            return 1 - dome * (1 - np.cos(np.pi * from_apex / self.hold_s)) if self.hold_s else 1.0
        top = 1 - dome
        if from_apex < 0:
            part = (t_s - self.onset_s) / (self.apex_s - self.hold_s / 2 - self.onset_s)
            return top * (1 - np.cos(np.pi * part**self.rise)) / 2
        part = (self.offset_s - t_s) / (self.offset_s - self.apex_s - self.hold_s / 2)
        return top * (1 - np.cos(np.pi * part**self.fall)) / 2


@dataclass(frozen=True)
class Act:
    """Something the face does. kind: micro, macro, blink, speech, head or other. label: its class, or ""."""

    kind: str
    pulses: tuple[Pulse, ...]
    label: str = ""
    peak_px: float = 0.0

    @property
    def onset_s(self) -> float:
        return min(pulse.onset_s for pulse in self.pulses)

    @property
    def apex_s(self) -> float:
        return max(self.pulses, key=lambda pulse: sum(map(abs, pulse.amounts.values()))).apex_s

    @property
    def offset_s(self) -> float:
        return max(pulse.offset_s for pulse in self.pulses)


def drives_at(acts: Sequence[Act], t_s: float) -> Drives:
    """Everything that is moved at `t_s`, pulses summed."""
    total: Drives = {}
    for act in acts:
        if act.onset_s < t_s < act.offset_s:
            for pulse in act.pulses:
                level = pulse.level(t_s)
                for drive, amount in pulse.amounts.items() if level else ():
                    total[drive] = total.get(drive, 0.0) + level * amount
    return total


def action_units(drives: Mapping[str, float]) -> dict[tuple[int, str], float]:
    """The Action Units among the drives, as `action_units.displacement` takes them (no blink, gaze or head)."""
    named = (name.split() for name in drives)
    return {
        (int(parts[0]), parts[1]): drives[" ".join(parts)]
        for parts in named
        if len(parts) == 2 and int(parts[0]) != BLINK
    }


def peak_px(drives: Mapping[str, float], bumps: Bumps = BUMPS) -> float:
    """Largest displacement anywhere on the face, in pixels at a 128-px crop."""
    grid = np.linspace(-0.1, 1.1, 97)
    return float(np.hypot(*field(grid, grid, action_units(drives), bumps)).max())


def expression(
    rng: np.random.Generator,
    aus: Sequence[int],
    to_px: float,
    *,
    bumps: Bumps = BUMPS,
    side: str | None = None,
    asymmetry: float = 0.15,
) -> Drives:
    """Amounts for `aus` together whose peak displacement is `to_px`; `side` "left" or "right" moves that half alone."""
    gains = {au: np.exp(rng.normal(0, 0.25)) for au in aus}
    drives = {
        f"{au} {half}": gain * np.exp(rng.normal(0, asymmetry))
        for au, gain in gains.items()
        for half in ([side] if side else SIDES)
    }
    scale = to_px / peak_px(drives, bumps)
    return {name: amount * scale for name, amount in drives.items()}


def micro(rng: np.random.Generator, onset_s: float, drives: Drives, label: str, to_px: float) -> Act:
    """A micro-expression: 0.16 to 0.5 s from onset to offset, its apex at 25 to 60% of the way."""
    while True:
        onset, hold, offset = rng.uniform(0.06, 0.25), rng.uniform(0, 0.1), rng.uniform(0.10, 0.35)
        total = onset + hold + offset
        if MICRO_S[0] <= total <= MICRO_S[1] and 0.25 <= (onset + hold / 2) / total <= 0.60:
            break
    return Act("micro", (_pulse(rng, onset_s, onset, hold, offset, drives),), label, to_px)


def macro(rng: np.random.Generator, onset_s: float, drives: Drives, label: str, to_px: float) -> Act:
    """An ordinary expression: 0.7 to 4 s."""
    onset, hold, offset = rng.uniform(0.2, 0.8), rng.uniform(0.2, 2.2), rng.uniform(0.3, 1.0)
    return Act("macro", (_pulse(rng, onset_s, onset, hold, offset, drives),), label, to_px)


def blink(rng: np.random.Generator, onset_s: float) -> Act:
    """Both lids, sometimes not all the way, 0.15 to 0.4 s: shut fast, opened slowly."""
    total = rng.uniform(0.15, 0.40)
    hold, depth = rng.uniform(0.0, 0.2) * total, rng.choice([1.0, rng.uniform(0.5, 1.0)])
    drives = {f"{BLINK} {side}": depth * np.exp(rng.normal(0, 0.03)) for side in SIDES}
    return Act("blink", (_pulse(rng, onset_s, 0.35 * (total - hold), hold, 0.65 * (total - hold), drives),))


def gaze(rng: np.random.Generator, onset_s: float) -> Act:
    """A glance aside and back: two saccades of 40 to 80 ms around a fixation."""
    drives = {"gaze_x": rng.choice([-1, 1]) * rng.uniform(0.015, 0.04), "gaze_y": rng.uniform(-0.008, 0.008)}
    out, stay, back = rng.uniform(0.04, 0.08), rng.uniform(0.2, 1.5), rng.uniform(0.04, 0.08)
    return Act("other", (_pulse(rng, onset_s, out, stay, back, drives),), "gaze")


def head(rng: np.random.Generator, onset_s: float) -> Act:
    """A nod of one to three dips, a turn aside and back, or a tilt."""
    drive = rng.choice(["pitch", "yaw", "roll"])
    size = rng.uniform(4, 9) * rng.choice([-1, 1])
    if drive == "pitch":
        beats, period = rng.integers(1, 4), rng.uniform(0.35, 0.7)
        pulses = [
            _pulse(rng, onset_s + 0.9 * period * i, period / 2, 0, period / 2, {"pitch": size * rng.uniform(0.7, 1)})
            for i in range(beats)
        ]
        return Act("head", tuple(pulses))
    go, stay, back = rng.uniform(0.25, 0.6), rng.uniform(0.1, 1.5), rng.uniform(0.25, 0.6)
    return Act("head", (_pulse(rng, onset_s, go, stay, back, {str(drive): size}),))


def speech(rng: np.random.Generator, onset_s: float, duration_s: float) -> Act:
    """Talking: phrases of 3 to 7 syllables a second, jaw and lips 2 to 10 px, pauses of 0.2 to 0.5 s between them."""
    rate, loudness = rng.uniform(3, 7), rng.uniform(2.5, 7)
    pulses: list[Pulse] = []
    t_s, end_s = onset_s, onset_s + duration_s
    while t_s < end_s - 0.12:
        for _ in range(rng.integers(3, 12)):
            length = min(np.exp(rng.normal(0, 0.25)) / rate, end_s - t_s)
            if length < 0.08:
                break
            pulses.append(_syllable(rng, t_s, length * rng.uniform(1.0, 1.35), loudness))
            t_s += length
        t_s += rng.uniform(0.2, 0.5)
    return Act("speech", tuple(pulses), peak_px=max(peak_px(pulse.amounts) for pulse in pulses))


def _syllable(rng: np.random.Generator, onset_s: float, length_s: float, loudness: float) -> Pulse:
    jaw = float(np.clip(loudness * np.exp(rng.normal(0, 0.4)), 2, 10)) / 2.9  # AU 26 peaks at 2.9 px a unit
    shape = {26: jaw, 25: 0.4 * jaw * rng.uniform(0, 1)}
    shape |= {20: 0.5 * jaw * rng.uniform(-1, 0.8), 17: 0.2 * jaw * rng.uniform(0, 1)}  # lips pursed or spread
    if rng.random() < 0.2:  # m, b, p: lips pressed instead
        shape = {24: 0.6 * jaw, 23: 0.5 * jaw * rng.uniform(0, 1)}
    drives = {f"{au} {side}": float(amount) for au, amount in shape.items() for side in SIDES}
    peak = rng.uniform(0.35, 0.6)
    return _pulse(rng, onset_s, peak * length_s, 0, (1 - peak) * length_s, drives)


def draw_expression(rng: np.random.Generator) -> tuple[str, tuple[int, ...]]:
    """A class and the Action Units it is shown with, classes equally often."""
    label = str(rng.choice(list(COMBINATIONS)))
    aus, share = zip(*COMBINATIONS[label], strict=True)
    return label, aus[rng.choice(len(aus), p=np.array(share) / sum(share))]


def _pulse(
    rng: np.random.Generator, onset_s: float, rise_s: float, hold_s: float, fall_s: float, drives: Drives
) -> Pulse:
    apex_s = float(onset_s + rise_s + hold_s / 2)
    rise, fall = (float(bend) for bend in rng.uniform(0.85, 1.25, 2))
    drives = {name: float(amount) for name, amount in drives.items()}
    return Pulse(float(onset_s), apex_s, float(apex_s + hold_s / 2 + fall_s), drives, float(hold_s), rise, fall)


class Drift:
    """A slow wander, a sum of sinusoids of 0.05 to 1.2 Hz: unlike filtered noise it has a value at any time."""

    def __init__(self, rng: np.random.Generator, amplitude: float, waves: int = 10):
        self._hz = np.exp(rng.uniform(np.log(0.05), np.log(1.2), waves))
        self._phase = rng.uniform(0, 2 * np.pi, waves)
        gain = rng.uniform(0.3, 1, waves) / np.sqrt(self._hz)
        self._gain = amplitude * gain / np.sqrt((gain**2).sum())  # root mean square is amplitude / sqrt(2)

    def __call__(self, t_s: float) -> float:
        return float(self._gain @ np.sin(2 * np.pi * self._hz * t_s + self._phase))
