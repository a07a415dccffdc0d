"""GPU decoding where there is no GPU: the pictures are the same, and the state says who decoded them."""

import av
import numpy as np
import pytest

from merau.engine.cuda import driver
from merau.engine.errors import UserError
from merau.stream.commands import demo
from merau.stream.sources import File, SourceSettings, open_source
from scripts.support.rtsp_server import RtspServer

NO_DRIVER = "decoded in software: no NVIDIA driver: libcuda.so.1 is not on this machine"


@pytest.mark.skipif(bool(driver.probe().gpus), reason="not run: here is a GPU")
def test_software_takes_over_and_says_so():
    pictures = []
    for decode in ("cpu", "cuda"):
        with File(str(demo.CLIP), SourceSettings(decode=decode)) as source:
            pictures.append(next(iter(source)).image)
            told = source.state().decoder
        assert told == (NO_DRIVER if decode == "cuda" else "")
    assert np.array_equal(*pictures)


@pytest.mark.skipif(bool(driver.probe().gpus), reason="not run: here is a GPU")
def test_a_camera_is_decoded_where_it_was_asked_to_be():
    with RtspServer() as server, open_source(server.url, SourceSettings(decode="cuda")) as camera:
        next(iter(camera))
        assert camera.state().decoder == NO_DRIVER


@pytest.mark.gpu
@pytest.mark.usefixtures("stub")
def test_a_gpu_that_starts_but_does_not_decode_is_not_said_to():
    with File(str(demo.CLIP), SourceSettings(decode="cuda")) as source:
        next(iter(source))
        assert source.state().decoder == "decoded in software: the GPU does not decode h264 in yuv420p"


@pytest.mark.gpu
def test_the_gpu_decodes_what_software_does():
    if "h264_cuvid" not in av.codecs_available or "stub" in driver.probe().gpus[0].name:
        pytest.skip("not run: needs NVIDIA's driver")
    pictures = []
    for decode in ("cpu", "cuda"):
        with File(str(demo.CLIP), SourceSettings(decode=decode)) as source:
            pictures.append(next(iter(source)).image.astype(int))
            told = source.state().decoder
    assert told == "decoded on the GPU"
    assert abs(pictures[0] - pictures[1]).mean() < 2


def test_an_unknown_decoder_is_refused():
    with pytest.raises(UserError, match="decode is 'vulkan', but must be 'cpu' or 'cuda'"):
        SourceSettings(decode="vulkan")
