"""What the GPU makes of pairs of crops against what the CPU makes of them, on a device or on the stub driver."""

import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.cuda.device import Memory
from merau.engine.cuda.preprocess import PairPreprocessor
from merau.engine.errors import UserError
from merau.engine.flow import pair_flow
from merau.engine.preprocess import FLOOR_PX, GRID, downsample, split_pattern_and_magnitude
from scripts.support.flow_cases import CROP_SPECS, face_pair


@pytest.mark.gpu
@pytest.mark.parametrize("spec", CROP_SPECS, ids=lambda spec: f"{spec.size_px} px")
def test_pattern_and_magnitude_equal_the_cpus(device, spec):
    crops = [np.stack(pictures) for pictures in zip(*(face_pair(seed, *spec.full) for seed in range(2)), strict=True)]
    crops = [np.concatenate([pictures, crops[0][:1]]) for pictures in crops]  # the third does not move at all
    preprocessor = PairPreprocessor(device, 4, spec)
    with device.current("a test"):
        memory = Memory(device)
        pattern, magnitude = memory.pinned(3, 2, GRID, GRID), memory.pinned(3, 1)
        addresses = memory.allocate(*pattern.shape), memory.allocate(*magnitude.shape)
        preprocessor.enqueue(*crops, *addresses, memory.stream)
        for host, address in zip((pattern, magnitude), addresses, strict=True):
            device.cuda.memcpy_dtoh_async(host, address, memory.stream)
        memory.stream.synchronize()
    expected = np.stack(
        [downsample(pair_flow(*each, spec=spec, method="farneback")) for each in zip(*crops, strict=True)]
    )
    true_pattern, true_magnitude = split_pattern_and_magnitude(expected)
    assert np.abs(pattern - true_pattern).max() < 1e-3
    assert np.abs(magnitude - true_magnitude).max() < 1e-3
    assert magnitude[2] == pytest.approx(np.log2(FLOOR_PX))
    memory.close()
    preprocessor.close()


@pytest.mark.gpu
def test_unsupported_layout_is_refused(device):
    with pytest.raises(UserError, match="CropSpec.size_px is 100: on the GPU choose 32, 64, 96 or 128 px"):
        PairPreprocessor(device, 1, CropSpec(size_px=100))
