import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.engine.crop import CropSpec
from merau.engine.cuda.device import Device
from merau.engine.errors import UserError
from merau.engine.runtimes.tensorrt import cached_engine
from merau.engine.runtimes.tensorrt_crops import CropTrunk


@pytest.mark.gpu
def test_wrong_crop_input_is_named():
    device, bundle = Device(), bundles.load()
    trunk = CropTrunk(device, cached_engine(bundle, "int8", device.gpu.arch)[1], CropSpec())
    onset = np.zeros((2, *CropSpec().full), np.uint8)
    with pytest.raises(UserError, match=r"Input 'onset': the engine takes \(2, 180, 168\), but is given none"):
        trunk.embed(onsets=onset, apex=onset)
    with pytest.raises(UserError, match=r"Input 'flow': the engine takes none, but is given \(2, 180, 168\)"):
        trunk.embed(onset=onset, apex=onset, flow=onset)
    with pytest.raises(UserError, match=r"Input 'apex': the engine takes \(2, 180, 168\), but is given \(1, "):
        trunk.embed(onset=onset, apex=onset[:1])  # which would be broadcast
    trunk.close()
    device.close()
