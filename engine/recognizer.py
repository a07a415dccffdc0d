"""From the onset and the apex crop of one face to Action Units and an expression."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from merau.engine import bundle as bundles
from merau.engine import heads
from merau.engine.crop import CropSpec
from merau.engine.cuda import driver
from merau.engine.errors import DeviceError, UserError
from merau.engine.few_shot import Lesson, Sample, taught_to
from merau.engine.flow import METHODS, pair_flow
from merau.engine.runtimes.batching import Answer
from merau.engine.runtimes.select import choose, on_cpu, takes_crops

GRID = 32  # the trunk sees the flow of the inner square as 32 x 32 means
APEX_PX = 64  # side of the apex picture, for trunks that look at one; 256 is what MERAU's authors take
FLOOR_PX = 0.02  # below this spread a flow is noise, and is not blown up any further
DOUBT = {"something": 0.1, "nothing": 0.8}  # the range of doubt of bundles that do not tell theirs
UNKNOWN_MAGNITUDE = 8.0  # 256 px: no flow is that large


@dataclass(frozen=True)
class Judgement:
    """What an embedding is taken for: probability per class, and of the bundle's own classes, whatever was taught."""

    probabilities: dict[str, float]
    prior: dict[str, float]
    label: str
    uncertain: bool


@dataclass(frozen=True)
class Prediction:
    """What one onset-apex pair shows. `aus` and `probabilities` are 0..1, the latter summing to 1; `prior` holds the
    probabilities of the bundle's own classes, the same unless others were taught; `embedding` (d,) float32.
    """

    aus: dict[str, float]
    probabilities: dict[str, float]
    prior: dict[str, float]
    label: str
    uncertain: bool
    embedding: np.ndarray


class Recognizer:
    """A bundle ready to run. One `predict` at a time per object. `device` is the one asked for; `choice` says on
    what it runs, and why. `doubt`: below the first probability of "no expression" a face surely shows one, above the
    second surely none.
    """

    def __init__(
        self, bundle: bundles.Bundle, *, spec: CropSpec | None = None, precision: str = "int8", device: str = "cpu"
    ) -> None:
        self.bundle, self.spec = bundle, spec or CropSpec()
        self.flow_method: str = bundle.card["input"].get("flow", "none")
        self.apex_px: int = bundle.card["input"].get("apex_px", 0)
        bundles.check_input(bundle, feeds(self.spec, self.flow_method, apex_px=self.apex_px))
        self.trunk, self.choice = choose(bundle, device, precision)
        self._precision, self.device = precision, device
        self.head = read_head(bundle)
        self.temperature, self.threshold = (bundle.card["calibration"][k] for k in ("temperature", "threshold"))
        self.doubt = tuple((DOUBT | bundle.card["calibration"])[k] for k in ("something", "nothing"))
        self._unit_scaling = np.array(unit_scaling(bundle)).T
        self.lesson: Lesson | None = None

    @classmethod
    def load(
        cls,
        bundle: Path | None = None,
        *,
        head: Path | None = None,
        device: str = "auto",
        precision: str = "int8",
        spec: CropSpec | None = None,
    ) -> "Recognizer":
        """The bundle at `bundle` on the GPU or the CPU (engine.runtimes.choice), with the classes of the `head` that
        was taught to it. By default the one that ships and that the head was taught to; without a head what ships, on
        a GPU its twin, whose flow is computed there too.

        Raises UserError where it is damaged, wants other input, the head belongs to another, or `device` "cuda" cannot
        be had.
        """
        if head:
            recognizer = cls.load(
                bundle or bundles.shipped(taught_to(head)), device=device, precision=precision, spec=spec
            )
            recognizer.teach(Lesson.load(head, recognizer))
            return recognizer
        if bundle is None and device != "cpu" and driver.probe().gpus:
            twin = cls(bundles.load(bundles.SHIPPED / "farneback"), spec=spec, precision=precision, device=device)
            if twin.choice.device == "cuda":
                return twin
        return cls(bundles.load(bundle), spec=spec, precision=precision, device=device)

    @property
    def flow_device(self) -> str:
        """Where the flow of a pair is computed: "cpu" also on a GPU, unless the bundle was made for the flow there."""
        return self.choice.device if takes_crops(self.bundle) else "cpu"

    def predict(self, onset: np.ndarray, apex: np.ndarray) -> Prediction:
        """`onset`, `apex`: full crops (180, 168) uint8 grey, cut with the same layout."""
        for name, crop in (("onset", onset), ("apex", apex)):
            if crop.shape != self.spec.full or crop.dtype != np.uint8:
                raise UserError(f"The {name} crop is {crop.shape} {crop.dtype}: expected {self.spec.full} uint8.")
        try:
            embedding, au_logits = self._embed(onset, apex)
        except DeviceError as error:
            if self.device == "cuda":
                raise
            self.trunk, self.choice = on_cpu(self.bundle, self._precision, str(error).rstrip("."))
            logging.getLogger(__name__).warning("The CPU takes over: %s.", self.choice)
            embedding, au_logits = self._embed(onset, apex)
        aus = named(self.bundle.card["aus"], self.units(au_logits)[0])
        said = self.judge(embedding[0], aus)
        return Prediction(aus, said.probabilities, said.prior, said.label, said.uncertain, embedding[0])

    def units(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities of the Action Units from what the trunk says of them, both (N, 17)."""
        slope, offset = self._unit_scaling
        return 1 / (1 + np.exp(-(slope * logits + offset)))

    def judge(self, embedding: np.ndarray, aus: dict[str, float]) -> Judgement:
        """What the trunk's `embedding` (d,) is taken for, with the classes that are taught now."""
        known = heads.softmax(self.head.logits(embedding[None])[0] / self.temperature)
        prior = named(self.head.classes, known)
        lesson = self.lesson  # read once: it may be swapped at any time
        probabilities = lesson.probabilities(Sample("", embedding, prior, aus)) if lesson else prior
        label = max(probabilities, key=probabilities.__getitem__)
        return Judgement(probabilities, prior, label, probabilities[label] < self.threshold)

    def facial_flow(self, onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
        """Flow (2, size_px, size_px) float32 px of the inner square, head motion removed: for people to look at."""
        return pair_flow(onset, apex, spec=self.spec, method=self.flow_method)

    def _embed(self, onset: np.ndarray, apex: np.ndarray) -> Answer:
        """Embedding (1, d) and Action Unit logits (1, 17)."""
        if self.flow_device == "cuda":
            return self.trunk.embed(onset=onset[None], apex=apex[None])
        pattern, magnitude = normalise(shrink(self.facial_flow(onset, apex))[None])
        inputs = {"flow": pattern, "magnitude": magnitude}
        if self.apex_px:
            picture = apex_picture(apex, self.spec, self.apex_px)
            inputs |= {"apex": picture[None], "has_apex": np.ones((1, 1), np.float32)}
        return self.trunk.embed(**inputs)

    def teach(self, lesson: Lesson | None) -> None:
        """Answer with the classes of `lesson` from the next prediction on; None goes back to the bundle's own."""
        if lesson:
            lesson.check(self.bundle)
        self.lesson = lesson


def unit_scaling(bundle: bundles.Bundle) -> list[tuple[float, float]]:
    """Slope and offset of the logits of each Action Unit; unchanged where none were fitted."""
    told = bundle.card["calibration"].get("units", {})
    return [told.get(unit, (1.0, 0.0)) for unit in bundle.card["aus"]]


def named(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def feeds(spec: CropSpec, flow_method: str, *, apex_px: int = 0) -> dict[str, Any]:
    """What `predict` puts into a trunk, in the form of the card's "input"; `apex_px` is 0 for one that sees no picture.

    Raises UserError on an unknown flow method, or where the picture's side is no power of two up to 256.
    """
    if apex_px not in (0, 32, 64, 128, 256):
        raise UserError(f"The bundle wants apex pictures of {apex_px!r} px; this version gives 32, 64, 128 or 256.")
    if flow_method not in METHODS:
        raise UserError(f"The bundle wants flow method {flow_method!r}; this version has {', '.join(METHODS)}.")
    return {
        "crop": asdict(spec),
        "flow": flow_method,
        "head_motion": "affine+depth",
        "grid": GRID,
        "apex_px": apex_px,
        "floor_px": FLOOR_PX,
    }


def shrink(flow: np.ndarray) -> np.ndarray:
    """`flow` (2, S, S) px as (2, 32, 32) float32 means, still in px of the square it came from."""
    return np.stack([cv2.resize(axis, (GRID, GRID), interpolation=cv2.INTER_AREA) for axis in flow])


def apex_picture(apex: np.ndarray, spec: CropSpec, size_px: int = APEX_PX) -> np.ndarray:
    """The inner square of a full crop (H, W) uint8 as (1, size_px, size_px) float32 in 0..1."""
    inner = np.ascontiguousarray(apex[spec.inner])
    way = cv2.INTER_AREA if size_px < spec.size_px else cv2.INTER_LINEAR
    return cv2.resize(inner, (size_px, size_px), interpolation=way)[None].astype(np.float32) / 255


def normalise(flow: np.ndarray, known: np.ndarray | bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Pattern and size apart: flows (N, 2, G, G) px -> pattern (N, 2, G, G) and magnitude (N, 1), both float32.

    The pattern has the spatial median taken off and is divided by its standard deviation, which itself, as log2 px,
    is the magnitude: the pattern tells which expression, the magnitude whether there is one. Where it is not `known`
    ((N,) or one for all), as in flow sets scaled sample by sample, the magnitude is UNKNOWN_MAGNITUDE: trunks are
    trained on that, too, and then judge the pattern alone.
    """
    centred = flow - np.median(flow, axis=(2, 3), keepdims=True)
    spread = np.maximum(centred.std(axis=(1, 2, 3), keepdims=True), FLOOR_PX)
    pattern = np.clip(centred / spread, -6, 6)
    magnitude = np.where(np.reshape(known, (-1, 1)), np.log2(spread[:, 0, 0]), UNKNOWN_MAGNITUDE)
    return pattern.astype(np.float32), magnitude.astype(np.float32)


def read_head(bundle: bundles.Bundle) -> heads.Head:
    """The head of `bundle`; its classes must be the card's."""
    head = heads.load(bundle.content[bundles.HEAD])
    if list(head.classes) != bundle.card["classes"]:
        raise UserError(f"Bundle {bundle.name} names the classes {bundle.card['classes']}, its head {head.classes}.")
    return head
