"""The spotter's flow on the GPU against the CPU's, on a device or on the stub driver."""

import numpy as np
import pytest

from merau.engine.cuda.patch_flow import PatchFlow
from merau.engine.patch_flow import build_pyramid, patch_flow
from scripts.support.flow_cases import face_pair


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(180, 168), (61, 75)])
def test_flow_and_residual_equal_the_cpus(device, size):
    before, after = (
        np.stack(pictures) for pictures in zip(*(face_pair(seed, *size) for seed in range(3)), strict=True)
    )
    patches = PatchFlow(device, 4, *size)
    flows, residuals = patches(before=before, after=after)
    patches.close()
    for flow, residual, *pictures in zip(flows, residuals, before, after, strict=True):
        true_flow, true_residual = patch_flow(*map(build_pyramid, pictures))
        assert (flow.shape, residual.shape) == (true_flow.shape, true_residual.shape)
        apart = np.hypot(*(flow - true_flow))
        assert np.hypot(*true_flow).mean() > 0.1
        assert np.median(apart) < 1e-4
        assert np.quantile(apart, 0.99) < 0.02
        assert np.median(np.abs(residual - true_residual)) < 1e-3
