"""Recordings of every kind, made here; whole, cut off and damaged."""

import gc
import os
import threading
import time
import wave
from datetime import UTC, datetime
from fractions import Fraction

import av
import numpy as np
import pytest

from merau.stream.sources import File, SourceSettings, open_source
from merau.stream.sources.source import END_OF_FILE, STOPPED
from tests.stream.sources.support import error_of, frames_of, write_clip


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "size"),
    [
        ("a.mp4", "libx264", "yuv420p", (64, 48)),
        ("a.mkv", "libx264", "yuv444p", (65, 49)),
        ("a.mov", "libx265", "yuv420p10le", (64, 48)),
        ("a.webm", "libvpx-vp9", "yuv420p", (65, 49)),
        ("a.avi", "mjpeg", "yuvj420p", (65, 49)),
        ("a.ts", "libx264", "yuv420p", (64, 48)),
        ("a.nut", "ffv1", "bgr0", (33, 17)),
        ("a.gif", "gif", "rgb8", (64, 48)),
    ],
)
def test_every_frame_has_its_own_time(tmp_path, name, codec, pix_fmt, size):
    times_ms = [40 * k for k in range(30)]
    frames = frames_of(write_clip(tmp_path / name, codec, pix_fmt=pix_fmt, size=size, times_ms=times_ms))
    assert [frame.index for frame in frames] == list(range(30))
    np.testing.assert_allclose([frame.t_s for frame in frames], np.array(times_ms) / 1000, atol=0.011)
    for k, frame in enumerate(frames):
        assert frame.image.shape == (size[1], size[0], 3)
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert abs(int(frame.image[-4:, -4:].mean()) - (40 + 4 * k)) < 24  # GIF has 8 grey levels
        assert frame.image[2, 2, 2] > 200 > 80 > frame.image[2, 2, 0]


def test_variable_rate_keeps_true_times(tmp_path):
    times_ms = [500, 510, 533, 633, 640, 1200, 1210, 4000]
    with open_source(str(write_clip(tmp_path / "v.mkv", times_ms=times_ms))) as source:
        times_s = [frame.t_s for frame in source]
    np.testing.assert_allclose(times_s, (np.array(times_ms) - 500) / 1000, atol=1e-9)


def test_stream_without_times_uses_its_declared_rate(tmp_path):
    frames = frames_of(write_clip(tmp_path / "raw.h264", times_ms=[40 * k for k in range(20)]))
    steps_s = np.diff([frame.t_s for frame in frames])
    assert len(frames) == 20
    assert (steps_s > 0).all()
    assert np.ptp(steps_s) < 1e-6


@pytest.mark.parametrize(
    ("rotation", "shape", "red"),
    [
        ({"degrees": 0}, (48, 64), (0, 0)),
        ({"degrees": 90}, (64, 48), (-1, 0)),
        ({"degrees": 180}, (48, 64), (-1, -1)),
        ({"degrees": 270}, (64, 48), (0, -1)),
        ({"degrees": 0, "hflip": True}, (48, 64), (0, -1)),
        ({"degrees": 0, "vflip": True}, (48, 64), (-1, 0)),
    ],
)
def test_rotation_is_applied(tmp_path, rotation, shape, red):
    image = frames_of(write_clip(tmp_path / "r.mp4", rotation=rotation))[0].image
    assert image.shape[:2] == shape
    assert image.flags.c_contiguous
    corners = {
        (row, column): int(image[row, column, 2]) - int(image[row, column, 0]) for row in (0, -1) for column in (0, -1)
    }
    assert max(corners, key=corners.get) == red


def test_pixels_are_made_square(tmp_path):
    clip = write_clip(tmp_path / "pal.mp4", aspect=Fraction(16, 11))
    assert frames_of(clip)[0].image.shape == (48, 93, 3)


def test_frames_are_freed_without_garbage_collection(tmp_path):
    def alive() -> int:
        return sum(type(thing) is av.VideoFrame for thing in gc.get_objects())

    clip = write_clip(tmp_path / "a.mp4")
    gc.collect()
    gc.disable()
    try:
        before = alive()
        frames_of(clip)
        assert alive() <= before
    finally:
        gc.enable()


def test_paced_and_unpaced_give_the_same_frames(tmp_path):
    clip = write_clip(tmp_path / "p.mp4", times_ms=[0, 30, 60, 200, 500])
    started_s = time.monotonic()
    paced = frames_of(clip, SourceSettings(paced=True))
    assert time.monotonic() - started_s >= 0.5
    for slow, fast in zip(paced, frames_of(clip), strict=True):
        assert (slow.t_s, slow.index) == (fast.t_s, fast.index)
        np.testing.assert_array_equal(slow.image, fast.image)


def test_file_has_its_length_and_wall_clock_time(tmp_path):
    clip = write_clip(tmp_path / "k.mp4", tags={"creation_time": "2024-05-06T07:08:09Z"})
    with open_source(str(clip)) as source:
        assert isinstance(source, File)
        assert not source.live
        assert source.name == str(clip)
        assert source.wall_zero == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
        assert source.duration_s == pytest.approx(1.0, abs=0.05)
        assert source.frames_total == 30
        assert len(list(source)) == 30
        state = source.state()
    assert (state.phase, state.reason, state.frames, state.dropped) == ("ended", END_OF_FILE, 30, 0)


def test_file_from_the_future_has_no_wall_clock_time(tmp_path):
    clip = write_clip(tmp_path / "f.mp4", tags={"creation_time": "2036-05-06T07:08:09Z"})
    with open_source(str(clip)) as source:
        assert source.wall_zero is None


def test_truncated_file_gives_its_decodable_frames(tmp_path):
    noise = write_clip(tmp_path / "t.mkv", "mjpeg", pix_fmt="yuvj420p", times_ms=[100 * k for k in range(40)])
    data = noise.read_bytes()
    noise.write_bytes(data[: len(data) // 2])
    with open_source(str(noise)) as source:
        count = len(list(source))
        reason = str(source.state().reason)
    assert 10 < count < 40
    assert "is cut off" in reason
    assert "of 3.93 s" in reason


def test_damaged_file_gives_its_decodable_frames(tmp_path):
    clip = write_clip(tmp_path / "d.mp4", times_ms=[40 * k for k in range(100)])
    data = bytearray(clip.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 400] = b"\xff" * 400
    clip.write_bytes(data)
    frames = frames_of(clip)
    assert 50 < len(frames) <= 100
    assert (np.diff([frame.t_s for frame in frames]) > 0).all()


def test_each_bad_file_has_its_own_sentence(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    write_clip(tmp_path / "zero.avi", times_ms=[])
    av.VideoFrame(64, 48, "rgb24").save(str(tmp_path / "picture.png"))
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))

    assert "There is no file" in error_of(str(tmp_path / "nowhere.mp4"))
    assert "is a directory" in error_of(str(tmp_path))
    assert "not a video" in error_of(str(tmp_path / "text.mp4"))
    assert "not a video" in error_of(str(tmp_path / "empty.mp4"))
    assert "no frame" in error_of(str(tmp_path / "zero.avi"))
    assert "single picture" in error_of(str(tmp_path / "picture.png"))
    assert "no video stream" in error_of(str(tmp_path / "sound.wav"))
    assert "is not a source" in error_of("http://127.0.0.1/cam?password=SECRET")
    assert "is not a source" in error_of("")


def test_unreadable_file_raises(tmp_path):
    clip = write_clip(tmp_path / "private.mp4")
    clip.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # root may read everything
            os.seteuid(65534)
        assert "permission denied" in error_of(str(clip))
    finally:
        os.seteuid(user)


def test_stop_ends_a_file_at_once(tmp_path):
    clip = write_clip(tmp_path / "long.mp4", times_ms=[0, 10, 60_000])
    with open_source(str(clip), SourceSettings(paced=True)) as source:
        threading.Timer(0.2, source.stop).start()
        assert len(list(source)) == 2  # the third would come after a minute
        assert source.state().phase == "ended"
        assert source.state().reason == STOPPED
