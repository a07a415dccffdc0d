"""Clips of an animated face with ground truth: for demos, tests and benchmarks.

The ground truth is OUT.truth.json: the plan's settings and "spans", each with kind, label, onset_s, apex_s, offset_s,
peak_px (at a 128-px crop), "aus" (see `aus_of`) and "pulses", ramps with the amount of each channel (see `timelines`).
Times are seconds from the first frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import repeat, takewhile
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.engine.validation import check, check_choice, check_range
from merau.trainers.data.synth import action_units, timelines
from merau.trainers.data.synth.action_units import SIDES, Skin, Variation
from merau.trainers.data.synth.faces import GEOMETRIES, draw_skin
from merau.trainers.data.synth.portrait import REST, Portrait, Pose, find_face
from merau.trainers.data.synth.timelines import Action, Channels, Drift, channels_at
from merau.trainers.data.synth.warps import draw_warp

ASTRONAUT = Path(__file__).with_name("astronaut.png")  # NASA, public domain; the upper part of scikit-image's picture
DEMO = Path(__file__).parents[3] / "stream" / "demo" / "demo.mp4"
PERSON = Variation(position_sd=0.012, width_sigma=0.12, direction_sigma=0.12, gain_sigma=0.0)
VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm"}
TIME_BASE = Fraction(1, 90000)
PERSONS = (*GEOMETRIES, "warps")  # geometries of animated faces
LIDS = {5, 6, 7}
H264 = {"preset": "veryfast"}
EXPRESSIONS = ("micro", "macro")


@dataclass(frozen=True)
class HeadMotion:
    """How head and camera drift: root mean squares of slow drifts.

    Attributes:
        shift: In face widths.
        scale: As a factor.
        roll_deg: Degrees.
        yaw_deg: Degrees.
        pitch_deg: Degrees.
        tremor: Faster drift, in face widths.
    """

    shift: float = 0.025
    scale: float = 0.012
    roll_deg: float = 1.2
    yaw_deg: float = 1.5
    pitch_deg: float = 1.2
    tremor: float = 0.0004


STILL = HeadMotion(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class ClipPlan:
    """All that a clip shows.

    A video as source gives its frames from `start_s` to before `stop_s`: a single one is a portrait; several are played
    forward and back until the clip is long enough. They bring their own motion, so give the video's rate and size, and
    leave `motion` STILL and `face_px` None.

    Attributes:
        actions: What the face does.
        duration_s: Length of the clip.
        rate: Frames per second.
        jitter: Sigma of lognormal frame intervals; above 0 some frames are also missing.
        size: Width and height, both even.
        face: Which face of the picture, from the left.
        face_px: Width of the face; None keeps the picture as it is.
        person: Seed of how this person's face moves.
        geometry: Geometry of this person's face, one of PERSONS.
        held_out: Whether its scans are of the people kept out of training.
        shading: How far skin rises where it is pressed together, in face widths; see `portrait.Portrait`.
        motion: How the head drifts.
        light: Root mean square of the brightness drift.
        noise: Sensor noise in grey levels, at mid grey.
        blur_px: Lens blur.
        bit_rate: Of the video, bits per second.
        start_s: First frame taken from a video.
        stop_s: End of the frames taken from a video.
    """

    actions: tuple[Action, ...]
    duration_s: float = 20.0
    rate: float = 30.0
    jitter: float = 0.0
    size: tuple[int, int] = (640, 480)
    face: int = 0
    face_px: float | None = 240.0
    person: int = 0
    geometry: str = "table"
    held_out: bool = False
    shading: float = 0.0
    motion: HeadMotion = field(default_factory=HeadMotion)
    light: float = 0.03
    noise: float = 2.0
    blur_px: float = 0.0
    bit_rate: int = 1_500_000
    start_s: float = 0.0
    stop_s: float = float("inf")

    def __post_init__(self) -> None:
        check_range(self, "duration_s", above=0)
        check_choice(self, "geometry", PERSONS)
        check_range(self, "rate", low=1, high=1000)
        check_range(self, "shading", low=0, high=0.1)
        check(self, "size", not any(length % 2 for length in self.size), "an even width and height, as H.264 needs")


def make_clip(
    source: Path, plan: ClipPlan, out: Path, seed: int, *, frames: bool = False, flow: bool = False
) -> dict[str, Any]:
    """Render `plan` on the face of `source` to the H.264 file `out`.

    OUT.truth.json is written beside it.

    Args:
        source: Picture or video with a face.
        plan: What the clip shows.
        out: Video to write.
        seed: Seed of all random draws.
        frames: Whether to write the frames without loss as well, to OUT/00000.png, 00001.png, ...
        flow: Whether to write the true motion of every micro- and macro-expression to OUT.flow.npz: arrays
            (2, height, width) float32 px, right and down positive, from the frame nearest to the onset to the one
            nearest to the apex, head motion included.

    Returns:
        The ground truth; it names frames and flow.

    Raises:
        UserError: `source` cannot be read or shows no face, or is a video and `flow` is asked for.
    """
    if flow and source.suffix.lower() in VIDEO_SUFFIXES:
        raise UserError(f"The motion of the face in {source} itself is unknown: for true flow animate a picture.")
    if frames:
        out.with_suffix("").mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    times_s = frame_times(plan, rng)
    pose, light, sensor = _pose_timeline(plan, rng), Drift(rng, plan.light), _Sensor(plan, rng)
    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(plan.rate).limit_denominator(1001), options=H264)
        stream.width, stream.height = plan.size
        stream.pix_fmt, stream.bit_rate, stream.thread_count = "yuv420p", plan.bit_rate, 1
        stream.codec_context.time_base = TIME_BASE
        shown = zip(times_s, portraits(source, plan, len(times_s)), strict=False)
        progress = tqdm(shown, total=len(times_s), desc=out.name, unit="frame", leave=False, disable=None)
        for i, (t_s, portrait) in enumerate(progress):
            image = sensor(portrait.frame(channels_at(plan.actions, t_s), pose(t_s)), 1 + light(t_s))
            if frames:
                cv2.imwrite(str(out.with_suffix("") / f"{i:05d}.png"), image)
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts, frame.time_base = round(t_s / TIME_BASE), TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    truth = truth_of(source, plan, seed) | {"mouth": _rounded(asdict(portrait.mouth))}
    if frames:
        truth["frames"] = {"folder": out.stem, "count": len(times_s)}
    if flow:
        truth["flow"] = out.with_suffix(".flow.npz").name
        fields = _flows(truth["spans"], portrait, times_s, lambda t_s: (channels_at(plan.actions, t_s), pose(t_s)))
        np.savez_compressed(out.with_suffix(".flow.npz"), **fields)
    out.with_suffix(".truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return truth


def _flows(
    spans: list[dict[str, Any]],
    portrait: Portrait,
    times_s: list[float],
    state: Callable[[float], tuple[Channels, Pose]],
) -> dict[str, Any]:
    """Return the flow of every expression by name, and write name and frames into its span."""
    fields = {}
    for i, span in enumerate(spans):
        if span["kind"] in EXPRESSIONS:
            onset, apex = (int(np.abs(np.subtract(times_s, span[key])).argmin()) for key in ("onset_s", "apex_s"))
            span["flow"] = {"array": f"span_{i}", "from_frame": onset, "to_frame": apex}
            fields[f"span_{i}"] = portrait.flow(state(times_s[onset]), state(times_s[apex]))
    return fields


def truth_of(source: Path, plan: ClipPlan, seed: int) -> dict[str, Any]:
    """Return the ground truth of a clip, ready for JSON."""
    settings = {key: value for key, value in asdict(plan).items() if key not in ("actions", "start_s", "stop_s")}
    spans = [
        {
            "kind": action.kind,
            "label": action.label,
            "onset_s": round(action.onset_s, 4),
            "apex_s": round(action.apex_s, 4),
            "offset_s": round(action.offset_s, 4),
            "peak_px": round(action.peak_px, 3),
            "aus": aus_of(action, bumps_of(plan)),
            "pulses": [asdict(ramp) for ramp in action.ramps],
        }
        for action in sorted(plan.actions, key=lambda action: action.onset_s)
    ]
    return _rounded({"source": source.name, "seed": seed, **settings, "spans": spans})


def aus_of(action: Action, bumps: Skin) -> dict[str, dict[str, float]]:
    """Return how far each Action Unit of `action` moves the skin at most.

    The keys are units and sides of the image; each unit is taken alone.

    An example is {"12": {"left": 1.1, "right": 0.9}}, in pixels at a 128-px crop. It is empty where only lids, eyes or
    head move.
    """
    strongest: Channels = {}
    for ramp in action.ramps:
        for name, amount in ramp.amounts.items():
            strongest[name] = max(strongest.get(name, 0.0), amount, key=abs)
    aus: dict[str, dict[str, float]] = {}
    for (au, side), amount in sorted(timelines.action_units(strongest).items()):
        aus.setdefault(str(au), {})[side] = timelines.peak_px({f"{au} {side}": amount}, bumps)
    return aus


def actions_of(truth: dict[str, Any]) -> tuple[Action, ...]:
    """Return the actions in a ground truth."""
    return tuple(
        Action(span["kind"], tuple(timelines.Ramp(**ramp) for ramp in span["pulses"]), span["label"], span["peak_px"])
        for span in truth["spans"]
    )


def person_bumps(person: int, geometry: str = "table", held_out: bool = False) -> Skin:
    """Return how one person's face moves; `geometry` is one of PERSONS."""
    rng = np.random.default_rng(person)
    if geometry == "warps":
        return draw_warp(rng)
    return action_units.perturb(rng, None, PERSON) if geometry == "table" else draw_skin(rng, geometry, held_out)


def bumps_of(plan: ClipPlan) -> Skin:
    """Return how the face of `plan` moves."""
    return person_bumps(plan.person, plan.geometry, plan.held_out)


def frame_times(plan: ClipPlan, rng: np.random.Generator) -> list[float]:
    """Return the time of every frame in seconds, the first at 0."""
    steps = np.full(int(plan.duration_s * plan.rate), 1 / plan.rate)
    if plan.jitter:
        missing = np.where(rng.random(len(steps)) < 0.02, rng.integers(1, 4, len(steps)), 0)
        steps = steps * np.exp(rng.normal(0, plan.jitter, len(steps))) * (1 + missing)
    times = np.concatenate([[0], np.cumsum(steps)])
    return [float(t_s) for t_s in times[times < plan.duration_s - 0.5 / plan.rate]]


def random_plan(
    rng: np.random.Generator,
    kind: str = "mixed",
    *,
    peak_px: float = 1.0,
    **settings: Any,
) -> ClipPlan:
    """Draw a plan: actions one after the other, with blinks in between.

    Args:
        rng: Source of the draws.
        kind: micro: micro-expressions of `peak_px`; neutral: head movements and glances; macro or speech: those, with
            micro-expressions between them; mixed: everything.
        peak_px: Strength of micro-expressions, in px of a 128-px crop.
        **settings: Fields of ClipPlan.
    """
    plan = ClipPlan((), **({"person": int(rng.integers(2**31))} | settings))
    follow = {
        "micro": ("micro",) * 5 + ("gaze",),
        "neutral": ("head", "gaze", "rest"),
        "macro": ("macro", "macro", "micro"),
        "speech": ("speech", "micro"),
        "mixed": ("micro", "micro", "macro", "speech", "head", "gaze"),
    }[kind]
    bumps = bumps_of(plan)
    actions: list[Action] = []
    t_s = rng.uniform(0.7, 2.5)
    while t_s < plan.duration_s - 1:
        action = _random_action(rng, str(rng.choice(follow)), t_s, peak_px, bumps)
        if action and action.offset_s < plan.duration_s - 0.5:
            actions.append(action)
        t_s = (action.offset_s if action else t_s) + rng.uniform(0.7, 2.2)
    blinks = _random_blinks(rng, plan.duration_s, [action for action in actions if action.kind == "micro"])
    return ClipPlan((*actions, *blinks), **({"person": plan.person} | settings))


def _random_action(rng: np.random.Generator, kind: str, t_s: float, peak: float, bumps: Skin) -> Action | None:
    if kind in ("micro", "macro"):
        label, aus = timelines.draw_expression(rng)
        side = str(rng.choice(SIDES)) if rng.random() < 0.12 else None
        most = 2.5 if set(aus) <= LIDS else 7.0  # lids cannot move further
        to_px = peak * rng.uniform(0.9, 1.1) if kind == "micro" else rng.uniform(2, most)
        channels = timelines.expression(rng, aus, to_px, bumps=bumps, side=side)
        return (timelines.micro if kind == "micro" else timelines.macro)(rng, t_s, channels, label, to_px)
    if kind == "speech":
        return timelines.speech(rng, t_s, rng.uniform(1, 6))
    return {"gaze": timelines.gaze, "head": timelines.head}[kind](rng, t_s) if kind != "rest" else None


def _random_blinks(rng: np.random.Generator, duration_s: float, micros: list[Action]) -> list[Action]:
    """Draw about fifteen blinks a minute, some double; few coincide with a micro-expression, as in selected samples."""
    blinks: list[Action] = []
    t_s = rng.uniform(0.5, 4)
    while t_s < duration_s - 0.5:
        blink = timelines.blink(rng, t_s)
        clash = any(micro.onset_s - 0.15 < blink.offset_s and blink.onset_s < micro.offset_s + 0.15 for micro in micros)
        if clash and rng.random() < 0.85:
            t_s += 0.2
            continue
        blinks.append(blink)
        again = rng.random() < 0.15
        t_s = blink.offset_s + (rng.uniform(0.05, 0.2) if again else rng.uniform(1.5, 6))
    return blinks


def _pose_timeline(plan: ClipPlan, rng: np.random.Generator) -> Callable[[float], Pose]:
    """Return the head's pose as a function of seconds."""
    motion = plan.motion
    if motion == STILL:
        return lambda t_s: REST
    unit = plan.face_px or plan.size[0] / 3
    x, y = (Drift(rng, motion.shift * unit) for _ in range(2))
    scale, roll, yaw, pitch = (Drift(rng, a) for a in (motion.scale, motion.roll_deg, motion.yaw_deg, motion.pitch_deg))
    tremor = [Drift(rng, motion.tremor * unit) for _ in range(2)]

    def at(t_s: float) -> Pose:
        shift = (x(t_s) + tremor[0](8 * t_s), y(t_s) + tremor[1](8 * t_s))
        return Pose(shift, 1 + scale(t_s), yaw(t_s), pitch(t_s), roll(t_s))

    return at


def portraits(source: Path, plan: ClipPlan, count: int) -> Iterator[Portrait]:
    """Repeat one portrait, or yield the frames of a video as portraits."""
    nets, bumps = FaceNets("wide"), bumps_of(plan)
    if source.suffix.lower() in VIDEO_SUFFIXES:
        pictures, landmarks = _footage(source, plan, nets)
    else:
        picture = cv2.imread(str(source))
        if picture is None:
            raise UserError(f"{source} is not an image that can be read.")
        pictures, landmarks = [picture], find_face(picture, nets, plan.face)[None]

    def portrait(i: int) -> Portrait:
        return Portrait(
            pictures[i], landmarks[i], size=plan.size, face_px=plan.face_px, bumps=bumps, shading=plan.shading
        )

    if len(pictures) == 1:
        return repeat(portrait(0))
    there_and_back = [*range(len(pictures)), *range(len(pictures) - 2, 0, -1)]
    return (portrait(there_and_back[i % len(there_and_back)]) for i in range(count))


def _footage(source: Path, plan: ClipPlan, nets: FaceNets) -> tuple[list[np.ndarray], np.ndarray]:
    """Return frames of a video and their landmarks (n, 468, 3), smoothed over 5 frames: jitter would move skin."""
    with av.open(str(source)) as container:
        shown = takewhile(lambda frame: (frame.time or 0) < plan.stop_s, container.decode(video=0))
        frames = [frame for frame in shown if (frame.time or 0) >= plan.start_s]
    pictures = [frame.to_ndarray(format="bgr24") for frame in frames]
    if not pictures:
        raise UserError(f"{source} has no frames from {plan.start_s} to {plan.stop_s} s.")
    meshes = [find_face(pictures[0], nets, plan.face)]
    for picture in pictures[1:]:
        meshes.append(nets.mesh(picture, meshes[-1]).landmarks.astype(np.float64))
    track = np.stack(meshes).reshape(len(meshes), -1)
    smooth = cv2.GaussianBlur(track, (1, 5), 0, borderType=cv2.BORDER_REFLECT_101)
    return pictures, smooth.reshape(-1, 468, 3)


class _Sensor:
    """A camera's sensor: lens blur, brightness, and grain that differs in every frame."""

    def __init__(self, plan: ClipPlan, rng: np.random.Generator):
        self._rng, self._blur_px = rng, plan.blur_px
        width, height = 2 * plan.size[0], 2 * plan.size[1]  # each frame uses a random window of it
        colour = cv2.resize(rng.standard_normal((height // 2, width // 2, 3), np.float32), (width, height))
        self._grain = rng.standard_normal((height, width, 1), np.float32) + 0.5 * colour
        self._strength = (plan.noise * np.sqrt(np.arange(256) / 128 + 0.15)).astype(np.float32)

    def __call__(self, image: np.ndarray, gain: float) -> np.ndarray:
        """Return `image` (height, width, 3) uint8 as the sensor records it."""
        if self._blur_px:
            image = cv2.GaussianBlur(image, (0, 0), self._blur_px)
        height, width = image.shape[:2]
        y, x = self._rng.integers(height), self._rng.integers(width)
        seen = cv2.LUT(image, self._strength) * self._grain[y : y + height, x : x + width]
        seen = seen + np.float32(gain) * image + np.float32(0.5)
        return np.clip(seen, 0, 255).astype(np.uint8)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def demo_plan(duration_s: float = 28.0) -> ClipPlan:
    """Return the plan of the clip of `merau demo`.

    It shows seven micro-expressions, two macro-expressions and four blinks.
    """
    rng, person = np.random.default_rng(2024), 7
    bumps = person_bumps(person)

    def draw(
        make: Any, onset_s: float, aus: tuple[int, ...], label: str, to_px: float, side: str | None = None
    ) -> Action:
        return make(rng, onset_s, timelines.expression(rng, aus, to_px, bumps=bumps, side=side), label, to_px)

    actions = (
        timelines.blink(rng, 1.6),
        draw(timelines.micro, 3.2, (1, 2), "surprise", 2.0),
        draw(timelines.micro, 5.4, (4,), "negative", 1.8),
        draw(timelines.macro, 7.4, (6, 12), "positive", 5.0),
        timelines.blink(rng, 11.2),
        draw(timelines.micro, 12.8, (12,), "positive", 1.6),
        draw(timelines.micro, 16.8, (17,), "negative", 1.8),
        timelines.blink(rng, 18.2),
        draw(timelines.micro, 19.4, (14,), "negative", 1.5, "right"),
        draw(timelines.macro, 21.0, (1, 2, 5), "surprise", 4.0),
        timelines.blink(rng, 24.4),
        draw(timelines.micro, 25.3, (15,), "negative", 1.6),
        draw(timelines.micro, 26.7, (6, 12), "positive", 2.2),
    )
    return ClipPlan(actions, duration_s=duration_s, person=person, bit_rate=750_000)
