from dataclasses import replace

import pytest

from merau.engine.errors import DeviceError
from merau.engine.recognizer import Recognizer
from merau.stream.spotter import flow_backend as flows
from merau.stream.spotter.flow_backend import FlowBackend, describe_runtime


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_without_room_for_the_spotters_flow_leaves_it_to_the_cpu_unless_demanded(device, monkeypatch, caplog):
    def full(_):
        raise DeviceError("a GPU failed at preparing the spotter's flow: out of memory.")

    monkeypatch.setattr(flows, "on_gpu", full)
    recognizer = Recognizer.load(device="cpu")
    recognizer.device, recognizer.choice = device, replace(recognizer.choice, device="cuda")
    if device == "cuda":
        with pytest.raises(DeviceError, match="out of memory"):
            FlowBackend(recognizer, recognizer.spec)
    else:
        flow = FlowBackend(recognizer, recognizer.spec)
        assert flow.device == "cpu"
        assert describe_runtime(recognizer, flow).endswith(", the spotter's on the CPU")
        why = "a GPU failed at preparing the spotter's flow: out of memory."
        told = f"The CPU takes over the spotter's flow: {why} Recognizer: {describe_runtime(recognizer, flow)}."
        assert caplog.messages == [told]
