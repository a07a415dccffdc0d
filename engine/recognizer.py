"""From the onset and apex crop of one face to Action Units and an expression."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merau.engine import bundle as bundles
from merau.engine import heads
from merau.engine.bundle_arrays import read_domain, read_head
from merau.engine.clip import ClipSpec, make_strip
from merau.engine.crop import CropSpec
from merau.engine.errors import DeviceError, UserError
from merau.engine.few_shot import FewShotHead, Sample
from merau.engine.few_shot_file import bundle_of_head
from merau.engine.flow import pair_flow
from merau.engine.preprocess import GRID, apex_image, downsample, input_spec, split_pattern_and_magnitude
from merau.engine.runtimes.batching import TrunkOutput
from merau.engine.runtimes.select import on_cpu, select_runtime, takes_crops

NO_EXPRESSION = "no expression"  # the class for a pair without an expression, in bundles that have one


@dataclass(frozen=True)
class Classification:
    """Class probabilities of an embedding.

    Attributes:
        probabilities: By class, summing to 1.
        prior: Probabilities of the bundle's own classes; the same as `probabilities` without a few-shot head.
        label: The most probable class.
        uncertain: Whether the label is too improbable to be named.
        head_sha256: Hash of the few-shot head; "" for the bundle's own head.
    """

    probabilities: dict[str, float]
    prior: dict[str, float]
    label: str
    uncertain: bool
    head_sha256: str = ""


@dataclass(frozen=True)
class Prediction:
    """The recognizer's output for one onset-apex pair.

    Attributes:
        aus: Probability of each Action Unit, by its number.
        probabilities: By class, summing to 1.
        prior: Probabilities of the bundle's own classes; the same as `probabilities` without a few-shot head.
        label: The most probable class.
        uncertain: Whether the label is too improbable to be named.
        embedding: (d,) float32.
        head_sha256: Hash of the few-shot head; "" for the bundle's own head.
    """

    aus: dict[str, float]
    probabilities: dict[str, float]
    prior: dict[str, float]
    label: str
    uncertain: bool
    embedding: np.ndarray
    head_sha256: str = ""

    def as_sample(self, label: str) -> Sample:
        """Label the pair, as a sample for a few-shot head."""
        return Sample(label, self.embedding, self.prior, self.aus)


class Recognizer:
    """A bundle that is ready to run. Call `predict` from one thread at a time.

    Attributes:
        bundle: The bundle.
        spec: Layout of the crops that `predict` takes.
        clip: What the trunk asks for if it sees frames; None if it sees flow.
        device: The requested device, "auto", "cpu" or "cuda".
        runtime: The runtime in use, and the reason for it.
        few_shot_head: The head that classifies instead of the bundle's own, if any.
    """

    def __init__(
        self, bundle: bundles.Bundle, *, spec: CropSpec | None = None, precision: str = "int8", device: str = "cpu"
    ) -> None:
        self.bundle, self.spec = bundle, spec or CropSpec()
        self.apex_px: int = bundle.card["input"].get("apex_px", 0)
        self.clip = ClipSpec.of(bundle.card["input"])
        known = input_spec(self.spec, bundle.card["input"]["flow"], apex_px=self.apex_px, clip=self.clip)
        bundles.check_input(bundle, known)
        self.trunk, self.runtime = select_runtime(bundle, device, precision)
        self._precision, self.device = precision, device
        self.head = read_head(bundle)
        calibration = bundle.card["calibration"]
        self.temperature, self.threshold = calibration["temperature"], calibration["threshold"]
        self._au_scaling = np.array(au_scaling(bundle)).reshape(-1, 2).T
        self.few_shot_head: FewShotHead | None = None
        read_domain(bundle)
        blank = np.zeros(self.spec.full, np.uint8)
        if self.clip:
            self._embed([blank, blank])
        elif self.runtime.device == "cpu":
            self._embed_flow(np.zeros((1, 2, GRID, GRID), np.float32), blank)

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
        """Load a bundle and, optionally, a few-shot head.

        Args:
            bundle: A folder or zip. Default: the bundle that `head` was fitted to; without a head the shipped bundle
                "default".
            head: File of a few-shot head.
            device: "cpu", "cuda", or "auto" for a GPU where there is one.
            precision: "int8" or "fp32"; on a GPU also "fp16" and "fp8".
            spec: Layout of the crops.

        Raises:
            UserError: The bundle is damaged or needs other input, the head was fitted to another bundle, or `device`
                is "cuda" and no GPU can be used.
        """
        if head:
            recognizer = cls.load(
                bundle or bundles.find_shipped(bundle_of_head(head)), device=device, precision=precision, spec=spec
            )
            recognizer.use_head(FewShotHead.load(head, recognizer.bundle))
            return recognizer
        return cls(bundles.load(bundle), spec=spec, precision=precision, device=device)

    @property
    def flow_device(self) -> str:
        """Device that computes the flow of a pair: "cpu", or "cuda" for a bundle trained for the flow on a GPU."""
        return self.runtime.device if takes_crops(self.bundle) else "cpu"

    @property
    def flow_method(self) -> str:
        """Method that computes the flow of a pair: "farneback" on a GPU, else the first that the bundle names."""
        return "farneback" if self.flow_device == "cuda" else str(self.bundle.card["input"]["flow"][0])

    def predict(
        self, onset: np.ndarray, apex: np.ndarray, *, between: Sequence[np.ndarray] = (), spotted: bool = False
    ) -> Prediction:
        """Recognize the expression of an onset-apex pair.

        Args:
            onset: Full crop (180, 168) uint8, grey.
            apex: Full crop of the same layout.
            between: Full crops from after the onset to before the apex, for bundles that see a whole clip; others
                ignore them.
            spotted: Whether a spotter saw a movement between the two; see `classify`.

        Raises:
            UserError: A crop has another shape or type, or the GPU fails and `device` is "cuda".
        """
        crops = [onset, *between, apex]
        for name, crop in zip(("onset", *["middle"] * len(between), "apex"), crops, strict=True):
            if crop.shape != self.spec.full or crop.dtype != np.uint8:
                raise UserError(f"The {name} crop is {crop.shape} {crop.dtype}: expected {self.spec.full} uint8.")
        try:
            embedding, au_logits = self._embed(crops)
        except DeviceError as error:
            if self.device == "cuda":
                raise
            self.trunk, self.runtime = on_cpu(self.bundle, self._precision, error.message)
            logging.getLogger(__name__).warning("Recognition continues on the CPU: %s", error)
            embedding, au_logits = self._embed(crops)
        units = self.au_probabilities(au_logits)[0] * self.expressed(embedding)[0]
        aus = by_name(self.bundle.card["aus"], units)
        found = self.classify(embedding[0], aus, spotted=spotted)
        return Prediction(
            aus, found.probabilities, found.prior, found.label, found.uncertain, embedding[0], found.head_sha256
        )

    def au_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Turn the trunk's Action Unit logits (N, 17) into calibrated probabilities (N, 17).

        Behind a gated head they hold for pairs that show an expression; see `expressed`.
        """
        slope, offset = self._au_scaling
        return 1 / (1 + np.exp(-(slope * logits + offset)))

    def expressed(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the probability (N,) that pairs of known magnitude show an expression, from embeddings (N, d).

        It is 1 for a bundle without a gate, whose Action Units were learned from all pairs.
        """
        if not isinstance(self.head, heads.Gated):
            return np.ones(len(embeddings))
        return np.asarray(1 - heads.softmax(self.head.logits(embeddings) / self.temperature)[:, -1])

    def classify(self, embedding: np.ndarray, aus: dict[str, float], *, spotted: bool = False) -> Classification:
        """Classify an embedding with the head in use, without running the trunk.

        The label is uncertain where its probability is below the bundle's threshold. With `spotted` it is also
        uncertain where the bundle's own head says "no expression": the spotter saw a movement. A few-shot head knows
        from its samples which movements are no expression, so its label stands.

        Args:
            embedding: (d,) float32.
            aus: Probability of each Action Unit.
            spotted: Whether a spotter saw a movement between onset and apex.
        """
        own = heads.softmax(self.head.logits(embedding[None])[0] / self.temperature)
        prior = by_name(self.head.classes, own)
        head = self.few_shot_head  # read once: another thread may replace it
        probabilities = head.probabilities(Sample("", embedding, prior, aus)) if head else prior
        label = max(probabilities, key=probabilities.__getitem__)
        contradicts_spotter = spotted and head is None and label == NO_EXPRESSION
        uncertain = probabilities[label] < self.threshold or contradicts_spotter
        return Classification(probabilities, prior, label, uncertain, head.sha256 if head else "")

    def facial_flow(self, onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
        """Compute the flow (2, size_px, size_px) float32 px of the inner square, without head motion."""
        return pair_flow(onset, apex, spec=self.spec, method=self.flow_method)

    def _embed(self, crops: Sequence[np.ndarray]) -> TrunkOutput:
        """Run the trunk on crops from onset to apex: embedding (1, d) and Action Unit logits (1, 17)."""
        if self.clip:
            return self._check_output(self.trunk.embed(**self.clip.inputs([make_strip(crops, self.spec)])))
        onset, apex = crops[0], crops[-1]
        if self.flow_device == "cuda":
            return self._check_output(self.trunk.embed(onset=onset[None], apex=apex[None]))
        return self._embed_flow(downsample(self.facial_flow(onset, apex))[None], apex)

    def _embed_flow(self, flow: np.ndarray, apex: np.ndarray) -> TrunkOutput:
        """Run the trunk on a flow (1, 2, 32, 32) px and, where it takes one, the apex image."""
        pattern, magnitude = split_pattern_and_magnitude(flow)
        inputs = {"flow": pattern, "magnitude": magnitude}
        if self.apex_px:
            image = apex_image(apex, self.spec, self.apex_px)
            inputs |= {"apex": image[None], "has_apex": np.ones((1, 1), np.float32)}
        return self._check_output(self.trunk.embed(**inputs))

    def _check_output(self, output: TrunkOutput) -> TrunkOutput:
        """Raise UserError unless the trunk's output fits the bundle's head and Action Units."""
        embedding, au_logits = output
        fits = embedding.shape == (1, self.head.dimension) and au_logits.shape == (1, len(self.bundle.card["aus"]))
        if not (fits and heads.is_sound(embedding) and heads.is_sound(au_logits)):
            raise UserError(f"Bundle {self.bundle.name} is damaged: its trunk does not fit its head and Action Units.")
        return output

    def use_head(self, head: FewShotHead | None) -> None:
        """Classify with `head` from the next prediction on; None restores the bundle's own head.

        Raises:
            UserError: The head was fitted to another bundle.
        """
        if head:
            head.check(self.bundle)
        self.few_shot_head = head


def au_scaling(bundle: bundles.Bundle) -> list[tuple[float, float]]:
    """Slope and offset of the logits of each Action Unit; (1, 0) where none were fitted."""
    fitted = bundle.card["calibration"].get("units", {})
    return [fitted.get(unit, (1.0, 0.0)) for unit in bundle.card["aus"]]


def by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """Pair each name with its value as a Python float."""
    return {name: float(value) for name, value in zip(names, values, strict=True)}
