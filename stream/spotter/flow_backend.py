"""Where optical flow is computed, of every frame for the spotter and of a pair for the recognizer."""

import logging

import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.errors import DeviceError
from merau.engine.recognizer import Recognizer
from merau.stream.scheduling import aside
from merau.stream.spotter.features import Flow, FrameFeatures, on_cpu, on_gpu

NAMES = {"cpu": "the CPU", "cuda": "the GPU"}


class FlowBackend:
    """The spotter's flow, on the GPU where `recognizer` runs there: together with what other cameras ask meanwhile.

    A GPU that fails is left for the CPU, unless it was demanded: DeviceError. To be called with a turn (stream.turns).
    """

    def __init__(self, recognizer: Recognizer, spec: CropSpec) -> None:
        self.recognizer = recognizer
        self._on_gpu: Flow | None = None
        if recognizer.choice.device == "cuda":
            try:
                self._on_gpu = aside(on_gpu(spec))
            except DeviceError as error:
                self._leave_gpu(error)

    @property
    def device(self) -> str:
        return "cuda" if self._on_gpu else "cpu"

    def __call__(self, before: FrameFeatures, after: FrameFeatures) -> tuple[np.ndarray, np.ndarray]:
        """As engine.patches.patch_flow."""
        if self._on_gpu:
            try:
                return self._on_gpu(before, after)
            except DeviceError as error:
                self._leave_gpu(error)
        return on_cpu(before, after)

    def _leave_gpu(self, error: DeviceError) -> None:
        if self.recognizer.device == "cuda":
            raise error
        self._on_gpu = None
        said = "The CPU takes over the spotter's flow: %s Recognizer: %s."
        logging.getLogger(__name__).warning(said, error, describe_runtime(self.recognizer, self))


def describe_runtime(recognizer: Recognizer, frame_flow: FlowBackend) -> str:
    """What runs on which device, and why, for a person."""
    of_pairs = f"{recognizer.flow_method} on {NAMES[recognizer.flow_device]}"
    return f"{recognizer.choice}. Optical flow: {of_pairs}, the spotter's on {NAMES[frame_flow.device]}"
