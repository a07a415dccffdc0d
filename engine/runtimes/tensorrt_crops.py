"""Crops in, embeddings out: flow, head motion and the trunk's input stay on the device."""

import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.cuda.device import Device
from merau.engine.cuda.preprocess import PairPreprocessor
from merau.engine.runtimes.batching import TrunkOutput, check_inputs
from merau.engine.runtimes.tensorrt import TensorRtTrunk

MAX_PAIRS = 32  # in one run: about 100 MB of the device


class CropTrunk:
    """A TensorRT engine behind the CUDA kernels that prepare its input. One `embed` at a time per object.

    Raises DeviceError where the engine does not load, UserError for a layout that the kernels are not made for.
    """

    def __init__(self, device: Device, plan: bytes, spec: CropSpec) -> None:
        self._device, self._engine, self._spec = device, TensorRtTrunk(device, plan), spec
        self._preprocessor = PairPreprocessor(device, MAX_PAIRS, spec)

    def embed(self, **inputs: np.ndarray) -> TrunkOutput:
        """`onset` and `apex`, full crops (N, H, W) uint8; gives embeddings (N, d) and Action Unit logits (N, 17).

        Raises UserError where it is given anything else.
        """
        check_inputs(inputs, dict.fromkeys(("onset", "apex"), self._spec.full))
        parts = []
        for start in range(0, len(inputs["onset"]), MAX_PAIRS):
            parts.append(self._run(**{name: value[start : start + MAX_PAIRS] for name, value in inputs.items()}))
        embedding, au_logits = (np.concatenate(column) for column in zip(*parts, strict=True))
        return embedding, au_logits

    def _run(self, onset: np.ndarray, apex: np.ndarray) -> TrunkOutput:
        engine = self._engine
        with self._device.current("recognition"):
            self._preprocessor.enqueue(onset, apex, engine.address["flow"], engine.address["magnitude"], engine.stream)
            return engine.answer(len(onset))

    def close(self) -> None:
        """Give the device's memory back."""
        self._engine.close()  # first: it waits for its stream, in which the kernels work as well
        self._preprocessor.close()
