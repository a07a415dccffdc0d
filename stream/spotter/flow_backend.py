"""Choose the device of the spotter's patch flow, and describe on which device everything runs."""

import logging

import numpy as np

from merau.engine.crop import CropSpec
from merau.engine.errors import DeviceError, Message
from merau.engine.patch_flow import patch_flow
from merau.engine.recognizer import Recognizer
from merau.engine.runtimes.batching import Batcher
from merau.engine.runtimes.select import patch_flow_on_gpu
from merau.stream.scheduling import CPU_SLOTS, CpuSlots
from merau.stream.spotter.features import FrameFeatures

DEVICE_NAMES = {"cpu": "CPU", "cuda": "GPU"}


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


def describe_runtime(recognizer: Recognizer, flow: FlowBackend) -> Message:
    """Say on which device the recognizer runs, and why; and both kinds of optical flow if they run elsewhere."""
    info = recognizer.runtime
    if recognizer.flow_device == flow.device == info.device:
        return info.message
    return Message(
        "{runtime} Optical flow for recognition runs on the {recognition_device}, "
        "for spotting on the {spotting_device}.",
        {
            "runtime": info.message,
            "recognition_device": DEVICE_NAMES[recognizer.flow_device],
            "spotting_device": DEVICE_NAMES[flow.device],
        },
    )
