"""What the clips of a spotter's data set show: expressions of measured durations, and what is taken for them."""

from typing import Any

import numpy as np

from merau.trainers.data.synth import timelines
from merau.trainers.data.synth.action_units import SIDES, Skin
from merau.trainers.data.synth.clips import LIDS, ClipPlan, HeadMotion, bumps_of
from merau.trainers.data.synth.timelines import Action, Ramp

MODELS = ("table", "corrected", "warps", "scans")  # how skin moves: geometries of `clips.PERSONS`
# What follows what in each sort of clip.
FOLLOW = {
    "micro": ("micro",) * 5 + ("gaze",),
    "neutral": ("head", "bob", "gaze", "gaze", "rest"),
    "macro": ("macro", "macro", "micro"),
    "speech": ("speech", "speech", "micro"),
    "mouth": ("chew", "sniff", "micro"),
    "mixed": ("micro", "micro", "macro", "speech", "head", "bob", "gaze"),
}
SORT_WEIGHTS = {"micro": 0.28, "neutral": 0.2, "macro": 0.12, "speech": 0.16, "mouth": 0.04, "mixed": 0.2}
FACE_PX = (120.0, 260.0)  # width of the face in the video
WIDTH, HEIGHT = 1.75, 1.5  # of the picture, in widths of the face
BITS_PER_S = (8.0, 75.0)  # of a square as wide as the face, for each of its pixels
RATES = (15.0, 25.0, 30.0, 30.0, 30.0, 30.0, 50.0, 60.0, 100.0)
# Spans of SAMM Long Videos and CAS(ME)^2: micro .40 s median, 10 % below .20; the apex at .27, .44, .67 of the span.
MICRO_MEDIAN_S, MICRO_SIGMA, MICRO_S = 0.38, 0.30, (0.14, 0.5)
MACRO_MEDIAN_S, MACRO_SIGMA, MACRO_S = 1.1, 0.45, (0.6, 3.3)
APEX_BETA = (4.4, 5.4)


def draw_plan(rng: np.random.Generator, model: str, face: int = 0, **settings: Any) -> ClipPlan:
    """Draw the plan of one clip.

    Args:
        rng: Source of the draws.
        model: Motion model, one of MODELS.
        face: Which face of the picture, from the left.
        **settings: Fields of ClipPlan that replace the drawn ones.
    """
    sort = str(rng.choice(list(SORT_WEIGHTS), p=list(SORT_WEIGHTS.values())))
    rate, gain = float(rng.choice(RATES)), float(np.exp(rng.normal(0, 0.5)))
    motion = HeadMotion(0.02 * gain, 0.01 * gain, gain, 1.5 * gain, 1.2 * gain, float(rng.uniform(0, 0.001)))
    face_px = float(rng.uniform(*FACE_PX))
    drawn: dict[str, Any] = {
        "duration_s": 5.0 if rate > 50 else 9.0,
        "rate": rate,
        "jitter": 0.1 if rng.random() < 0.15 else 0.0,
        "size": (2 * round(WIDTH * face_px / 2), 2 * round(HEIGHT * face_px / 2)),
        "face": face,
        "face_px": face_px,
        "person": int(rng.integers(2**31)),
        "geometry": model,
        "motion": motion,
        "noise": float(rng.uniform(0.8, 3)),
        "light": float(rng.uniform(0.005, 0.05)),
        "blur_px": float(rng.uniform(0, 0.8)),
        "bit_rate": int(face_px**2 * np.exp(rng.uniform(*np.log(BITS_PER_S)))),
    } | settings
    skin = bumps_of(ClipPlan((), **drawn))
    return ClipPlan(draw_actions(rng, sort, drawn["duration_s"], skin), **drawn)


def draw_actions(rng: np.random.Generator, sort: str, duration_s: float, skin: Skin) -> tuple[Action, ...]:
    """Draw actions one after the other, with blinks in between.

    Args:
        rng: Source of the draws.
        sort: A key of `FOLLOW`.
        duration_s: Length of the clip.
        skin: How the person's face moves.
    """
    actions: list[Action] = []
    t_s = rng.uniform(0.6, 1.2)
    while t_s < duration_s - 0.8:
        action = _draw_action(rng, str(rng.choice(FOLLOW[sort])), t_s, skin)
        if action and action.offset_s < duration_s - 0.3:
            actions.append(action)
        t_s = (action.offset_s if action else t_s) + rng.uniform(0.3, 1.5)
    t_s = rng.uniform(0.5, 4)
    while t_s < duration_s - 0.4:
        actions.append(timelines.blink(rng, t_s))
        t_s = actions[-1].offset_s + (rng.uniform(0.05, 0.2) if rng.random() < 0.15 else rng.uniform(1.5, 5))
    return tuple(actions)


def _draw_action(rng: np.random.Generator, sort: str, t_s: float, skin: Skin) -> Action | None:
    if sort in ("micro", "macro"):
        return draw_expression(rng, sort, t_s, skin)
    if sort == "speech":
        return timelines.speech(rng, t_s, rng.uniform(0.5, 3))
    makers = {"gaze": timelines.gaze, "head": timelines.head, "bob": bob, "chew": chew, "sniff": sniff}
    return makers[sort](rng, t_s) if sort in makers else None


def draw_expression(rng: np.random.Generator, kind: str, t_s: float, skin: Skin) -> Action:
    """Draw a micro- or macro-expression with the durations of the field's data sets."""
    label, aus = timelines.draw_expression(rng)
    side = str(rng.choice(SIDES)) if rng.random() < 0.15 else None
    most = 2.5 if set(aus) <= LIDS else 7.0  # lids cannot move further
    to_px = np.exp(rng.uniform(np.log(0.35), np.log(2.5))) if kind == "micro" else rng.uniform(1.2, most)
    channels = timelines.expression(rng, aus, to_px, bumps=skin, side=side)
    if kind == "micro":
        total_s = np.clip(MICRO_MEDIAN_S * np.exp(rng.normal(0, MICRO_SIGMA)), *MICRO_S)
        hold_s = total_s * rng.uniform(0, 0.3)
    else:
        total_s = np.clip(MACRO_MEDIAN_S * np.exp(rng.normal(0, MACRO_SIGMA)), *MACRO_S)
        hold_s = max(total_s - rng.uniform(0.5, 1.4), 0.1 * total_s)
    apex_s = t_s + np.clip(rng.beta(*APEX_BETA) * total_s, hold_s / 2 + 0.04, total_s - hold_s / 2 - 0.06)
    rise, fall = np.exp(rng.uniform(-0.5, 0.5, 2))
    ramp = Ramp(float(t_s), float(apex_s), float(t_s + total_s), channels, float(hold_s), float(rise), float(fall))
    return Action(kind, (ramp,), label, float(to_px))


def bob(rng: np.random.Generator, onset_s: float) -> Action:
    """Draw a head that bobs: small nods or turns, one to four, there and back."""
    channel, size, period_s = str(rng.choice(["pitch", "yaw", "roll"])), rng.uniform(0.7, 4), rng.uniform(0.25, 0.6)
    ramps = []
    for i in range(rng.integers(1, 5)):
        start_s, amount = onset_s + period_s * i, size * rng.uniform(0.5, 1) * rng.choice([-1, 1])
        ramps.append(Ramp(start_s, start_s + period_s / 2, start_s + period_s, {channel: float(amount)}))
    return Action("head", tuple(ramps))


def chew(rng: np.random.Generator, onset_s: float) -> Action:
    """Draw chewing: two to six strokes of the jaw with closed lips, more on one side."""
    period_s, size, side = rng.uniform(0.4, 0.8), rng.uniform(1, 3), str(rng.choice(SIDES))
    ramps = []
    for i in range(rng.integers(2, 7)):
        jaw = size * rng.uniform(0.6, 1)
        channels = {f"26 {s}": float(jaw) for s in SIDES} | {f"20 {side}": float(0.4 * jaw * rng.uniform(0, 1))}
        start_s = onset_s + period_s * i
        ramps.append(Ramp(start_s, start_s + 0.5 * period_s, start_s + period_s, channels))
    return Action("other", tuple(ramps), "chew")


def sniff(rng: np.random.Generator, onset_s: float) -> Action:
    """Draw sniffing: nose and upper lip go up two to four times in a row, and the head with them."""
    period_s, size = rng.uniform(0.3, 0.5), rng.uniform(0.4, 1.2)
    ramps = []
    for i in range(rng.integers(2, 5)):
        channels = {f"{au} {side}": float(size * rng.uniform(0.7, 1)) for au in (9, 10) for side in SIDES}
        start_s = onset_s + period_s * i
        ramp = Ramp(start_s, start_s + 0.5 * period_s, start_s + period_s, channels | {"pitch": rng.uniform(-0.8, 0.8)})
        ramps.append(ramp)
    return Action("other", tuple(ramps), "sniff")
