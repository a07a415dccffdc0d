"""Files that would make FFmpeg open others, take gigabytes, or wait for ever."""

import os
import socket
import struct
from datetime import UTC, datetime
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from merau.engine.errors import Message, UserError
from merau.stream.sources import Browser, File, SourceSettings, Webcam
from merau.stream.sources.browser import Packet
from merau.stream.sources.limits import jpeg_size, plausible_time
from tests.stream.sources.support import QUICK, error_of, frames_of, write_clip

LISTS = {
    "concat.mp4": "ffconcat version 1.0\nfile clip.mp4\n",
    "self.txt": "ffconcat version 1.0\nfile self.txt\n",
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n",
    "self.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nself.m3u8\n#EXT-X-ENDLIST\n",
    "camera.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "dash.mpd": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>clip.mp4</BaseURL></Period></MPD>',
}


@pytest.mark.parametrize("name", LISTS)
def test_list_of_files_is_never_followed(tmp_path, name):
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / name).write_text(LISTS[name])
    assert "is not a video in a format that merau reads" in error_of(str(tmp_path / name))


def test_number_in_a_name_opens_no_other_picture(tmp_path):
    for name in ("p1.png", "p2.png", "p%01d.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((48, 64, 3), np.uint8))
    assert "is not a video in a format" in error_of(str(tmp_path / "p%01d.png"))


def test_pipe_socket_and_device_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.mp4"))
        for name in (tmp_path / "fifo.mp4", tmp_path / "socket.mp4", "/dev/zero"):
            assert "is a pipe, a socket or a device" in error_of(str(name))
    assert "There is no file" in error_of("/dev/video0/../../nowhere")
    with pytest.raises(UserError, match="cannot be read as a camera: it is not a device"):
        Webcam(str(tmp_path / "fifo.mp4"), QUICK).__enter__()


def test_control_characters_and_odd_numbers_are_refused():
    for name in ("rtsp://127.0.0.1/a\nb", "clip\x1b[2J.mp4", "a\0b"):
        assert "control characters" in error_of(name)
    assert "There is no file" in error_of("9" * 200)


def test_huge_picture_is_refused_before_decoding(tmp_path):
    clip = write_clip(tmp_path / "huge.mkv", size=(9000, 4500), times_ms=[0])
    assert "has pictures of 9000 x 4500 pixels" in error_of(str(clip))


def test_picture_that_grows_is_not_decoded(tmp_path):
    small = write_clip(tmp_path / "a.h264", times_ms=[0, 40]).read_bytes()
    large = write_clip(tmp_path / "b.h264", size=(9000, 4500), times_ms=[0]).read_bytes()
    (tmp_path / "c.h264").write_bytes(small + large)
    assert {frame.image.shape for frame in frames_of(tmp_path / "c.h264")} == {(48, 64, 3)}


def test_implausible_aspect_counts_as_square(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", aspect=Fraction(5000))
    assert frames_of(clip)[0].image.shape == (48, 64, 3)


def test_far_timestamp_and_length_are_not_believed(tmp_path):
    clip = write_clip(tmp_path / "far.mkv", times_ms=[0, 40, 80, 3_000_000_000_000])
    with File(str(clip), SourceSettings()) as source:
        assert source.duration_s is None
        assert [frame.t_s for frame in source][-1] < 1


def test_metadata_of_another_encoding_and_date_is_no_error(tmp_path):
    clip = write_clip(tmp_path / "l.mkv", tags={"title": "GRUESSE"})
    clip.write_bytes(clip.read_bytes().replace(b"GRUESSE", b"Gr\xfc\xdfe!!"))
    assert len(frames_of(clip)) == 30
    for tag in ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "1904-01-01T00:00:00Z"):
        assert plausible_time(datetime.fromisoformat(tag)) is None
    assert plausible_time(datetime(2024, 5, 6)) == datetime(2024, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_unknown_codec_is_one_sentence(tmp_path, name):
    clip = write_clip(tmp_path / name)
    data = clip.read_bytes()
    for code in (b"avc1", b"MPEG4/ISO/AVC", b"H264"):
        data = data.replace(code, b"Z" + code[1:])
    clip.write_bytes(data)
    assert "is coded in a way that this version cannot decode" in error_of(str(clip))


def test_stream_of_unknown_content_is_left_out(tmp_path):
    data = write_clip(tmp_path / "a.ts").read_bytes()
    packets = [bytearray(data[at : at + 188]) for at in range(0, len(data), 188)]
    for packet in packets[3:]:
        packet[2] = 0x77  # the number of a stream that no table names
    (tmp_path / "b.ts").write_bytes(data + b"".join(packets[3:]))
    assert len(frames_of(tmp_path / "b.ts")) == 30


def _error_of_webcam(packet: Packet) -> str:
    source = Browser("webcam", SourceSettings(), datetime(2026, 1, 1, tzinfo=UTC))
    source.push(packet)
    source.end(Message("the page closed"))
    with pytest.raises(UserError) as raised, source:
        next(iter(source))
    return str(raised.value)


def test_webcam_picture_is_measured_before_it_is_decoded():
    jpeg = bytearray(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    assert jpeg_size(bytes(jpeg)) == (64, 48)
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 40_000, 50_000)
    assert "has 50000 x 40000 pixels" in _error_of_webcam(Packet("jpeg", 1.0, bytes(jpeg)))
    for data in (b"", b"\xff\xd8", b"\xff\xd8\xff\xff\xff", bytes(jpeg[: at + 6]), b"\x89PNG\r\n\x1a\n"):
        assert jpeg_size(data) is None


def test_webcam_stream_is_measured_before_it_is_converted():
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 2000, 1000, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1, 1000), {"tune": "zerolatency"}
    (packet,) = encoder.encode(av.VideoFrame(2000, 1000, "yuv420p"))
    assert "has 2000 x 1000 pixels" in _error_of_webcam(Packet("h264", 1.0, bytes(packet)))


def test_internal_error_is_a_sentence_and_no_success(tmp_path):
    class Broken(File):
        def _run(self):
            raise ZeroDivisionError("a fault of our own")

    source = Broken(str(write_clip(tmp_path / "a.mp4")), SourceSettings())
    with pytest.raises(UserError, match=r"an internal error ended the analysis \(ZeroDivisionError: a fault"), source:
        pass
    assert "internal error" in str(source.state().reason)
