"""GPU decoding where there is no GPU: the pictures are the same, and the state says who decoded them."""

import av
import numpy as np
import pytest

from engine.cuda import driver
from engine.errors import UserError
from stream import demo
from stream.sources import File, SourceSettings


@pytest.mark.skipif(bool(driver.probe().gpus), reason="not run: here is a GPU")
def test_software_takes_over_and_says_so():
    pictures = []
    for decode in ("cpu", "cuda"):
        with File(str(demo.CLIP), SourceSettings(decode=decode)) as source:
            pictures.append(next(iter(source)).image)
            told = source.state().decoder
        assert told == ("decoded in software: no NVIDIA driver: libcuda.so.1 is not on this machine") * (
            decode == "cuda"
        )
    assert np.array_equal(*pictures)


@pytest.mark.gpu
def test_the_gpu_decodes_what_software_does():
    if "h264_cuvid" not in av.codecs_available or "stub" in driver.probe().gpus[0].name:
        pytest.skip("not run: needs NVIDIA's driver")
    pictures = []
    for decode in ("cpu", "cuda"):
        with File(str(demo.CLIP), SourceSettings(decode=decode)) as source:
            pictures.append(next(iter(source)).image.astype(int))
            told = source.state().decoder
    assert told == "decoded on the GPU" and abs(pictures[0] - pictures[1]).mean() < 2


def test_an_unknown_decoder_is_refused():
    with pytest.raises(UserError, match="decode is 'vulkan', but must be 'cpu' or 'cuda'"):
        SourceSettings(decode="vulkan")
