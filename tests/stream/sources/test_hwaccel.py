"""Decoding on the GPU, and on the CPU without one: the same frames, and the state says where they were decoded."""

import av
import numpy as np
import pytest

from merau.engine.cuda import driver
from merau.engine.errors import UserError
from merau.stream import demo
from merau.stream.sources import File, SourceSettings, open_source
from scripts.support.rtsp_server import RtspServer

NO_DRIVER = "decoded in software: no NVIDIA driver found"


@pytest.mark.skipif(bool(driver.probe().gpus), reason="not run: here is a GPU")
def test_software_takes_over_without_a_gpu():
    pictures = []
    for decode in ("cpu", "cuda"):
        with File(str(demo.CLIP), SourceSettings(decode=decode)) as source:
            pictures.append(next(iter(source)).image)
            decoder = str(source.state().decoder or "")
        assert decoder == (NO_DRIVER if decode == "cuda" else "")
    assert np.array_equal(*pictures)


@pytest.mark.skipif(bool(driver.probe().gpus), reason="not run: here is a GPU")
def test_camera_states_its_decoder():
    with RtspServer() as server, open_source(server.url, SourceSettings(decode="cuda")) as camera:
        next(iter(camera))
        assert str(camera.state().decoder) == NO_DRIVER


@pytest.mark.gpu
@pytest.mark.usefixtures("stub")
def test_gpu_that_does_not_decode_is_reported():
    with File(str(demo.CLIP), SourceSettings(decode="cuda")) as source:
        next(iter(source))
        assert str(source.state().decoder) == "decoded in software: the GPU does not decode h264 in yuv420p"


@pytest.mark.gpu
def test_gpu_decodes_the_same_frames():
    if "h264_cuvid" not in av.codecs_available or "stub" in driver.probe().gpus[0].name:
        pytest.skip("not run: needs NVIDIA's driver")
    pictures = []
    for decode in ("cpu", "cuda"):
        with File(str(demo.CLIP), SourceSettings(decode=decode)) as source:
            pictures.append(next(iter(source)).image.astype(int))
            decoder = str(source.state().decoder or "")
    assert decoder == "decoded on the GPU"
    assert abs(pictures[0] - pictures[1]).mean() < 2


def test_unknown_decoder_raises():
    with pytest.raises(UserError, match="decode is 'vulkan': choose one of cpu, cuda"):
        SourceSettings(decode="vulkan")
