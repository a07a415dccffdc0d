"""A TensorRT engine that takes crops: flow, head motion and the trunk's input are computed on the GPU."""

import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.cuda.device import Device
from merau.engine.cuda.preprocess import PairPreprocessor
from merau.engine.runtimes.batching import TrunkOutput, check_inputs
from merau.engine.runtimes.tensorrt import TensorRtTrunk

MAX_PAIRS = 32  # in one run: about 100 MB on the device


class CropTrunk:
    """A TensorRT engine behind the CUDA kernels that prepare its input. Call `embed` from one thread at a time.

    Args:
        device: The GPU.
        plan: The engine's bytes.
        spec: Layout of the crops.

    Raises:
        DeviceError: The engine does not load.
        UserError: The kernels do not support the layout.
    """

    def __init__(self, device: Device, plan: bytes, spec: CropSpec) -> None:
        self._device, self._engine, self._spec = device, TensorRtTrunk(device, plan), spec
        self._preprocessor = PairPreprocessor(device, MAX_PAIRS, spec)

    def embed(self, **inputs: np.ndarray) -> TrunkOutput:
        """Run the engine.

        Args:
            inputs: `onset` and `apex`, full crops (N, H, W) uint8.

        Returns:
            Embeddings (N, d) and Action Unit logits (N, 17).

        Raises:
            UserError: The inputs are others.
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
            return engine.infer(len(onset))

    def close(self) -> None:
        """Release the device's memory."""
        self._engine.close()  # first: it waits for its stream, in which the kernels work as well
        self._preprocessor.close()
