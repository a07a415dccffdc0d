"""The classifier of a bundle: a small net in ONNX, which carries its own card."""

import json
from functools import lru_cache

import numpy as np

from merau.engine.bundle import Bundle, spotter_model
from merau.engine.errors import UserError
from merau.engine.runtimes.onnx import EXTERNAL_DATA, create_session
from merau.stream.spotter.assembler import Thresholds
from merau.stream.spotter.classifier import CHANNELS, FEATURES, STEPS, CandidateInput
from merau.stream.spotter.span import KINDS

CARD = "card"  # key of the card in the model's metadata, as JSON


class SpanNet:
    """A net that tells kinds of movements apart.

    Args:
        model: The bytes of an ONNX file with inputs motion, mask and features, as `CandidateInput`, and the output
            probabilities (N, 6). Its metadata hold the card with "kinds", "features" and "thresholds".

    Attributes:
        card: What it was trained on, and how well it does.
        thresholds: Probabilities from which a kind is reported.

    Raises:
        UserError: The file is damaged, or made for other candidates.
    """

    def __init__(self, model: bytes):
        if EXTERNAL_DATA in model:
            raise UserError("The bundle's spotter.onnx takes weights from other files, which a bundle must not do.")
        try:
            self._session = create_session(model)
            self.card = json.loads(self._session.get_modelmeta().custom_metadata_map[CARD])
            self.thresholds = Thresholds(**self.card["thresholds"])
            fits = self.card["kinds"] == list(KINDS) and self.card["features"] == list(FEATURES)
            one = CandidateInput(
                *(np.zeros((1, *shape), np.float32) for shape in ((CHANNELS, STEPS), (STEPS,), (len(FEATURES),)))
            )
            fits = fits and self(one).shape == (1, len(KINDS))
        except Exception as error:  # onnxruntime raises its own types, none of them public
            raise UserError("The bundle's spotter.onnx cannot be used: {reason}.", reason=str(error)) from error
        if not fits:
            raise UserError("The bundle's spotter.onnx was made for another version of the spotter: train it again.")

    def __call__(self, candidates: CandidateInput) -> np.ndarray:
        """Return (N, 6) float32 probabilities of `KINDS`."""
        inputs = {"motion": candidates.motion, "mask": candidates.mask, "features": candidates.features}
        probabilities: np.ndarray = self._session.run(["probabilities"], inputs)[0]
        return probabilities


def span_net(bundle: Bundle) -> SpanNet:
    """Return the classifier of a bundle; several pipelines share one."""
    return _loaded(spotter_model(bundle))


@lru_cache(maxsize=4)
def _loaded(model: bytes) -> SpanNet:
    return SpanNet(model)
