"""A webcam that a page sends: true capture times, whatever arrives, and an end."""

from datetime import UTC, datetime
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from merau.engine.errors import Message, UserError
from merau.stream.sources import Browser, SourceSettings
from merau.stream.sources.browser import MAX_PENDING, Packet

ZERO = datetime(2026, 3, 1, 9, tzinfo=UTC)
TIMES_S = [1.5, 1.516, 1.533, 1.7, 1.733]  # with a gap, as a busy page makes them


def coded() -> list[Packet]:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1, 1_000_000), {"tune": "zerolatency"}
    packets = []
    for i, t_s in enumerate(TIMES_S):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * i, np.uint8), format="bgr24")
        frame.pts, frame.time_base = round(t_s * 1e6), encoder.time_base
        packets += [Packet("h264", t_s, bytes(packet)) for packet in encoder.encode(frame)]
    return packets


def test_frames_have_their_capture_times():
    source = Browser("webcam", SourceSettings(), ZERO)
    for packet in [Packet("h264", 1.4, b"damaged"), *coded()]:
        source.push(packet)
    source.end(Message("the page closed"))
    with source:
        frames = list(source)
    assert [frame.t_s for frame in frames] == pytest.approx([t_s - 1.5 for t_s in TIMES_S], abs=1e-6)
    assert [round(frame.image.mean() / 40) for frame in frames] == [0, 1, 2, 3, 4]
    assert source.wall_zero == datetime(2026, 3, 1, 9, 0, 1, 500_000, tzinfo=UTC)
    assert str(source.state().reason) == "the page closed"
    assert source.state().frames == 5


def test_jpeg_becomes_a_frame_unless_it_is_too_large():
    for height, refused in ((48, False), (2000, True)):
        source = Browser("webcam", SourceSettings(), ZERO)
        jpeg = cv2.imencode(".jpg", np.zeros((height, 1000, 3), np.uint8))[1].tobytes()
        source.push(Packet("jpeg", 2.0, jpeg))
        source.end(Message("the page closed"))
        if refused:
            with pytest.raises(UserError, match="choose 1280 x 720"), source:
                pass
        else:
            with source:
                assert [frame.t_s for frame in source] == [0.0]


def test_page_that_sends_too_fast_is_stopped():
    source = Browser("webcam", SourceSettings(), ZERO)
    with pytest.raises(UserError, match="faster than this machine decodes"):
        for number in range(MAX_PENDING + 1):
            source.push(Packet("h264", float(number), b"x"))
