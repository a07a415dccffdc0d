"""Choose the device of the spotter's patch flow, and describe on which device everything runs."""

import logging

import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.errors import DeviceError
from merau.engine.patch_flow import patch_flow
from merau.engine.recognizer import Recognizer
from merau.engine.runtimes.batching import Batcher
from merau.engine.runtimes.select import patch_flow_on_gpu
from merau.stream.scheduling import CPU_SLOTS, CpuSlots
from merau.stream.spotter.features import FrameFeatures

DEVICE_NAMES = {"cpu": "the CPU", "cuda": "the GPU"}


class FlowBackend:
    """Patch flow on the GPU if the recognizer runs there, else on the CPU.

    On the GPU, requests of several cameras are computed together, and the CPU slot is released while waiting.
    If the GPU fails, the CPU takes over, unless the GPU was demanded.

    Args:
        recognizer: Decides on the device.
        spec: Layout of the crops.
        slots: The CPU slots of which the calling thread may hold one.

    Raises:
        DeviceError: The GPU was demanded and cannot compute the flow. Calls raise it as well.
    """

    def __init__(self, recognizer: Recognizer, spec: CropSpec, slots: CpuSlots = CPU_SLOTS) -> None:
        self._gpu_demanded = recognizer.device == "cuda"
        self._slots = slots
        self._gpu: Batcher | None = None
        if recognizer.runtime.device == "cuda":
            try:
                self._gpu = patch_flow_on_gpu(*spec.full)
            except DeviceError as error:
                self._fall_back_to_cpu(error)

    @property
    def device(self) -> str:
        """Where the next flow is computed: "cpu" or "cuda"."""
        return "cuda" if self._gpu else "cpu"

    def __call__(self, before: FrameFeatures, after: FrameFeatures) -> tuple[np.ndarray, np.ndarray]:
        """Flow and residual between two frames, as `merau.engine.patch_flow.patch_flow` returns them."""
        if self._gpu:
            try:
                with self._slots.released():
                    flow, residual = self._gpu(before=before.crop.grey[None], after=after.crop.grey[None])
                return flow[0], residual[0]
            except DeviceError as error:
                self._fall_back_to_cpu(error)
        return patch_flow(before.patches, after.patches)

    def _fall_back_to_cpu(self, error: DeviceError) -> None:
        if self._gpu_demanded:
            raise error
        self._gpu = None
        logging.getLogger(__name__).warning("The spotter's optical flow continues on the CPU: %s", error)


def describe_runtime(recognizer: Recognizer, flow: FlowBackend) -> str:
    """Say for a person on which device the recognizer and both kinds of optical flow run, and why."""
    pair_flow = f"{recognizer.flow_method} on {DEVICE_NAMES[recognizer.flow_device]}"
    return f"{recognizer.runtime}. Optical flow: {pair_flow}, the spotter's on {DEVICE_NAMES[flow.device]}"
