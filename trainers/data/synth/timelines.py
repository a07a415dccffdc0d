"""How a face moves over time.

Ramps have onset, apex and offset; actions (expressions, blinks, ...) are made of them.

A channel is one thing that can move: an Action Unit on one side ("12 left", the factor of the Action Unit table, pixels
at a 128-px crop), an eyelid ("45 left", 1 is shut), the gaze ("gaze_x", "gaze_y", crop fractions) or the head ("yaw",
"pitch", "roll", degrees). Durations as in Yan et al., How Fast Are the Leaked Facial Expressions: The Duration of
Micro-Expressions (2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from merau.trainers.data.synth.action_units import BLINK, BUMPS, COMBINATIONS, SIDES, Skin, field

CROP_PX = 128
MICRO_S = (0.16, 0.50)  # onset to offset
DOME, DOME_PER_S = 0.03, 0.3  # even a held apex has one highest moment

Channels = dict[str, float]


@dataclass(frozen=True)
class Ramp:
    """One rise and fall of some channels.

    Attributes:
        onset_s: When the rise begins.
        apex_s: When `amounts` are reached, the middle of the hold.
        offset_s: When the fall ends.
        amounts: Amount of each channel at the apex.
        hold_s: How long the apex is held.
        rise: Shape of the rise: below 1 starts fast, above 1 starts slowly.
        fall: Shape of the fall, seen from its end.
    """

    onset_s: float
    apex_s: float
    offset_s: float
    amounts: Channels
    hold_s: float = 0.0
    rise: float = 1.0
    fall: float = 1.0

    def level(self, t_s: float) -> float:
        """Return the share 0..1 of the apex amounts at `t_s`."""
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
class Action:
    """Something the face does.

    Attributes:
        kind: micro, macro, blink, speech, head or other.
        ramps: The movements.
        label: The class of an expression, else "".
        peak_px: Strength, in px of a 128-px crop.
    """

    kind: str
    ramps: tuple[Ramp, ...]
    label: str = ""
    peak_px: float = 0.0

    @property
    def onset_s(self) -> float:
        """When the first movement begins."""
        return min(ramp.onset_s for ramp in self.ramps)

    @property
    def apex_s(self) -> float:
        """When the strongest movement is strongest."""
        return max(self.ramps, key=lambda ramp: sum(map(abs, ramp.amounts.values()))).apex_s

    @property
    def offset_s(self) -> float:
        """When the last movement ends."""
        return max(ramp.offset_s for ramp in self.ramps)


def channels_at(actions: Sequence[Action], t_s: float) -> Channels:
    """Return all channels that are moved at `t_s`, with ramps summed."""
    total: Channels = {}
    for action in actions:
        if action.onset_s < t_s < action.offset_s:
            for ramp in action.ramps:
                level = ramp.level(t_s)
                for channel, amount in ramp.amounts.items() if level else ():
                    total[channel] = total.get(channel, 0.0) + level * amount
    return total


def action_units(channels: Mapping[str, float]) -> dict[tuple[int, str], float]:
    """Return the Action Units among the channels, without blink, gaze and head.

    `action_units.displacement` takes them.
    """
    named = (name.split() for name in channels)
    return {
        (int(parts[0]), parts[1]): channels[" ".join(parts)]
        for parts in named
        if len(parts) == 2 and int(parts[0]) != BLINK
    }


def peak_px(channels: Mapping[str, float], bumps: Skin = BUMPS) -> float:
    """Return the largest displacement on the face, in px of a 128-px crop."""
    grid = np.linspace(-0.1, 1.1, 97)
    return float(np.hypot(*field(grid, grid, action_units(channels), bumps)).max())


def expression(
    rng: np.random.Generator,
    aus: Sequence[int],
    to_px: float,
    *,
    bumps: Skin = BUMPS,
    side: str | None = None,
    asymmetry: float = 0.15,
) -> Channels:
    """Draw amounts for `aus` together whose peak displacement is `to_px`.

    With `side` "left" or "right" only that half of the face moves.
    """
    gains = {au: np.exp(rng.normal(0, 0.25)) for au in aus}
    channels = {
        f"{au} {half}": gain * np.exp(rng.normal(0, asymmetry))
        for au, gain in gains.items()
        for half in ([side] if side else SIDES)
    }
    scale = to_px / peak_px(channels, bumps)
    return {name: amount * scale for name, amount in channels.items()}


def micro(rng: np.random.Generator, onset_s: float, channels: Channels, label: str, to_px: float) -> Action:
    """Draw a micro-expression.

    It takes 0.16 to 0.5 s from onset to offset, with the apex at 25 to 60% of the way.
    """
    while True:
        onset, hold, offset = rng.uniform(0.06, 0.25), rng.uniform(0, 0.1), rng.uniform(0.10, 0.35)
        total = onset + hold + offset
        if MICRO_S[0] <= total <= MICRO_S[1] and 0.25 <= (onset + hold / 2) / total <= 0.60:
            break
    return Action("micro", (_ramp(rng, onset_s, onset, hold, offset, channels),), label, to_px)


def macro(rng: np.random.Generator, onset_s: float, channels: Channels, label: str, to_px: float) -> Action:
    """Draw a macro-expression of 0.7 to 4 s."""
    onset, hold, offset = rng.uniform(0.2, 0.8), rng.uniform(0.2, 2.2), rng.uniform(0.3, 1.0)
    return Action("macro", (_ramp(rng, onset_s, onset, hold, offset, channels),), label, to_px)


def blink(rng: np.random.Generator, onset_s: float) -> Action:
    """Draw a blink of 0.15 to 0.4 s.

    It shuts fast and opens slowly, sometimes not completely.
    """
    total = rng.uniform(0.15, 0.40)
    hold, depth = rng.uniform(0.0, 0.2) * total, rng.choice([1.0, rng.uniform(0.5, 1.0)])
    channels = {f"{BLINK} {side}": depth * np.exp(rng.normal(0, 0.03)) for side in SIDES}
    return Action("blink", (_ramp(rng, onset_s, 0.35 * (total - hold), hold, 0.65 * (total - hold), channels),))


def gaze(rng: np.random.Generator, onset_s: float) -> Action:
    """Draw a glance aside and back: two saccades of 40 to 80 ms around a fixation."""
    channels = {"gaze_x": rng.choice([-1, 1]) * rng.uniform(0.015, 0.04), "gaze_y": rng.uniform(-0.008, 0.008)}
    out, stay, back = rng.uniform(0.04, 0.08), rng.uniform(0.2, 1.5), rng.uniform(0.04, 0.08)
    return Action("other", (_ramp(rng, onset_s, out, stay, back, channels),), "gaze")


def head(rng: np.random.Generator, onset_s: float) -> Action:
    """Draw a nod of one to three dips, a turn aside and back, or a tilt."""
    channel = rng.choice(["pitch", "yaw", "roll"])
    size = rng.uniform(4, 9) * rng.choice([-1, 1])
    if channel == "pitch":
        beats, period = rng.integers(1, 4), rng.uniform(0.35, 0.7)
        ramps = [
            _ramp(rng, onset_s + 0.9 * period * i, period / 2, 0, period / 2, {"pitch": size * rng.uniform(0.7, 1)})
            for i in range(beats)
        ]
        return Action("head", tuple(ramps))
    go, stay, back = rng.uniform(0.25, 0.6), rng.uniform(0.1, 1.5), rng.uniform(0.25, 0.6)
    return Action("head", (_ramp(rng, onset_s, go, stay, back, {str(channel): size}),))


def speech(rng: np.random.Generator, onset_s: float, duration_s: float) -> Action:
    """Draw speech.

    Phrases have 3 to 7 syllables a second, jaw and lips move 2 to 10 px, and pauses last 0.2 to 0.5 s.
    """
    rate, loudness = rng.uniform(3, 7), rng.uniform(2.5, 7)
    ramps: list[Ramp] = []
    t_s, end_s = onset_s, onset_s + duration_s
    while t_s < end_s - 0.12:
        for _ in range(rng.integers(3, 12)):
            length = min(np.exp(rng.normal(0, 0.25)) / rate, end_s - t_s)
            if length < 0.08:
                break
            ramps.append(_syllable(rng, t_s, length * rng.uniform(1.0, 1.35), loudness))
            t_s += length
        t_s += rng.uniform(0.2, 0.5)
    return Action("speech", tuple(ramps), peak_px=max(peak_px(ramp.amounts) for ramp in ramps))


def _syllable(rng: np.random.Generator, onset_s: float, length_s: float, loudness: float) -> Ramp:
    jaw = float(np.clip(loudness * np.exp(rng.normal(0, 0.4)), 2, 10)) / 2.9  # AU 26 peaks at 2.9 px a unit
    shape = {26: jaw, 25: 0.4 * jaw * rng.uniform(0, 1)}
    shape |= {20: 0.5 * jaw * rng.uniform(-1, 0.8), 17: 0.2 * jaw * rng.uniform(0, 1)}  # lips pursed or spread
    if rng.random() < 0.2:  # m, b, p: lips pressed instead
        shape = {24: 0.6 * jaw, 23: 0.5 * jaw * rng.uniform(0, 1)}
    channels = {f"{au} {side}": float(amount) for au, amount in shape.items() for side in SIDES}
    peak = rng.uniform(0.35, 0.6)
    return _ramp(rng, onset_s, peak * length_s, 0, (1 - peak) * length_s, channels)


def draw_expression(rng: np.random.Generator) -> tuple[str, tuple[int, ...]]:
    """Draw a class, all equally likely, and the Action Units that show it."""
    label = str(rng.choice(list(COMBINATIONS)))
    aus, share = zip(*COMBINATIONS[label], strict=True)
    return label, aus[rng.choice(len(aus), p=np.array(share) / sum(share))]


def _ramp(
    rng: np.random.Generator, onset_s: float, rise_s: float, hold_s: float, fall_s: float, channels: Channels
) -> Ramp:
    apex_s = float(onset_s + rise_s + hold_s / 2)
    rise, fall = (float(bend) for bend in rng.uniform(0.85, 1.25, 2))
    channels = {name: float(amount) for name, amount in channels.items()}
    return Ramp(float(onset_s), apex_s, float(apex_s + hold_s / 2 + fall_s), channels, float(hold_s), rise, fall)


class Drift:
    """A slow drift, a sum of sinusoids of 0.05 to 1.2 Hz.

    Unlike filtered noise it has a value at any time.
    """

    def __init__(self, rng: np.random.Generator, amplitude: float, waves: int = 10):
        self._hz = np.exp(rng.uniform(np.log(0.05), np.log(1.2), waves))
        self._phase = rng.uniform(0, 2 * np.pi, waves)
        gain = rng.uniform(0.3, 1, waves) / np.sqrt(self._hz)
        self._gain = amplitude * gain / np.sqrt((gain**2).sum())  # root mean square is amplitude / sqrt(2)

    def __call__(self, t_s: float) -> float:
        """Return the value at `t_s`."""
        return float(self._gain @ np.sin(2 * np.pi * self._hz * t_s + self._phase))
