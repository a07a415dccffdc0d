"""Every kind of source on real input: files made here, and a real RTSP server that is killed, started and frozen."""

import gc
import itertools
import os
import socket
import threading
import time
import traceback
import wave
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.stream.sources import File, Frame, Rtsp, SourceSettings, Webcam, open_source, redact
from merau.stream.sources.source import DEFAULTS, Clock, FrameQueue
from scripts.support.rtsp_server import RtspServer, free_port

PASSWORD = "s/e@c#r:t"
QUICK = SourceSettings(connect_timeout_s=2.0, freeze_timeout_s=1.0, backoff_first_s=0.1, backoff_limit_s=0.2)


def write_clip(
    path: Path,
    codec: str = "libx264",
    *,
    size: tuple[int, int] = (64, 48),
    times_ms: list[int] | None = None,
    pix_fmt: str = "yuv420p",
    tags: dict[str, str] | None = None,
    rotation: dict | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """A clip whose k-th frame has the brightness 40 + 4 k, and its top left quarter is red."""
    times_ms = [round(1000 * k / 30) for k in range(30)] if times_ms is None else times_ms
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "bf": "2"}
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(**rotation)
        for k, time_ms in enumerate(times_ms):
            image = np.full((size[1], size[0], 3), 40 + 4 * (k % 50), np.uint8)
            image[: size[1] // 2, : size[0] // 2] = (0, 0, 255)
            picture = av.VideoFrame.from_ndarray(image, "bgr24")
            picture.pts, picture.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        if times_ms:
            container.mux(stream.encode(None))
        else:
            container.start_encoding()
    return path


def frames_of(path: Path, settings: SourceSettings = DEFAULTS) -> list[Frame]:
    with open_source(str(path), settings) as source:
        return list(source)


def refusal(spec: str, settings: SourceSettings = QUICK) -> str:
    """The sentence with which a source is refused; no secret may stand anywhere in the whole traceback."""
    try:
        with open_source(spec, settings) as source:
            next(iter(source))
    except UserError as error:
        text = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
        assert PASSWORD not in text
        assert "SECRET" not in text
        assert "s%2Fe" not in text
        return str(error)
    raise AssertionError(f"{redact(spec)} was not refused")


def wait_until(condition, limit_s: float = 15.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


# Files


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
def test_file_gives_every_frame_with_its_own_time(tmp_path, name, codec, pix_fmt, size):
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


def test_stream_without_times_goes_by_its_declared_rate(tmp_path):
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


def test_pictures_are_let_go_without_the_garbage_collector(tmp_path):
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


def test_file_says_what_it_knows(tmp_path):
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
    assert (state.phase, state.reason, state.frames, state.dropped) == ("ended", "end of file", 30, 0)


def test_truncated_file_gives_what_can_be_decoded(tmp_path):
    noise = write_clip(tmp_path / "t.mkv", "mjpeg", pix_fmt="yuvj420p", times_ms=[100 * k for k in range(40)])
    data = noise.read_bytes()
    noise.write_bytes(data[: len(data) // 2])
    with open_source(str(noise)) as source:
        count = len(list(source))
        reason = source.state().reason
    assert 10 < count < 40
    assert "is cut off" in reason
    assert "of 3.93 s" in reason


def test_damaged_file_gives_what_can_be_decoded(tmp_path):
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

    assert "There is no file" in refusal(str(tmp_path / "nowhere.mp4"))
    assert "is a directory" in refusal(str(tmp_path))
    assert "not a video" in refusal(str(tmp_path / "text.mp4"))
    assert "not a video" in refusal(str(tmp_path / "empty.mp4"))
    assert "no frame" in refusal(str(tmp_path / "zero.avi"))
    assert "single picture" in refusal(str(tmp_path / "picture.png"))
    assert "no video stream" in refusal(str(tmp_path / "sound.wav"))
    assert "is no source" in refusal("http://127.0.0.1/cam?password=SECRET")
    assert "is no source" in refusal("")


def test_file_that_may_not_be_read(tmp_path):
    clip = write_clip(tmp_path / "private.mp4")
    clip.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # root may read everything
            os.seteuid(65534)
        assert "permission denied" in refusal(str(clip))
    finally:
        os.seteuid(user)


def test_stop_ends_a_file_at_once(tmp_path):
    clip = write_clip(tmp_path / "long.mp4", times_ms=[0, 10, 60_000])
    with open_source(str(clip), SourceSettings(paced=True)) as source:
        threading.Timer(0.2, source.stop).start()
        assert len(list(source)) == 2  # the third would come after a minute
        assert source.state().phase == "ended"
        assert source.state().reason == "stopped"


# Queue, clock, settings


def numbered(index: int) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), index / 30, index, 0.0)


def test_queue_drops_the_oldest_first():
    queue = FrameQueue(3)
    assert [queue.put_now(numbered(k)) for k in range(5)] == [0, 0, 0, 1, 1]
    queue.close()
    assert [queue.get().index for _ in range(3)] == [2, 3, 4]
    assert queue.get() is None


def test_queue_waits_for_room_and_lets_go_when_closed():
    queue = FrameQueue(1)
    producer = threading.Thread(target=lambda: [queue.put(numbered(k)) for k in range(10)])
    producer.start()
    assert [queue.get().index for _ in range(5)] == [0, 1, 2, 3, 4]
    queue.close(discard=True)
    producer.join(timeout=5)
    assert not producer.is_alive()
    assert queue.get() is None


def test_clock_only_grows():
    clock = Clock()
    assert clock.place(7.0, expected_s=0.0, latest_s=5.0) == 0.0
    assert clock.place(7.5, expected_s=0.6, latest_s=5.0) == 0.5
    assert clock.place(2.0, expected_s=1.0, latest_s=6.0) == 1.0  # set back
    assert clock.place(2.1, expected_s=1.2, latest_s=6.0) == pytest.approx(1.1)
    assert clock.place(900.0, expected_s=1.3, latest_s=6.0) == 1.3  # set forward
    assert clock.place(None, expected_s=1.4, latest_s=6.0) == 1.4
    clock.restart()
    assert clock.place(0.0, expected_s=9.0, latest_s=14.0) == 9.0
    assert clock.place(0.1, expected_s=9.9, latest_s=14.0) == pytest.approx(9.1)


def test_settings_name_the_field_and_the_fix():
    bad = {"queue_frames": 0, "freeze_timeout_s": 0.0, "transport": "carrier pigeon", "backoff_limit_s": 0.1}
    for field, value in bad.items():
        with pytest.raises(UserError, match=f"{field} is .*{value}.*but must"):
            SourceSettings(**{field: value})


# Cameras


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://ann:SECRET@cam:554/a", "rtsp://cam:554/a"),
        ("rtsp://ann:SE/CR@ET@cam/a", "rtsp://cam/a"),
        ("rtsp://cam/a@1", "rtsp://cam/a@1"),
        ("rtsp://cam/user=ann&password=SECRET&channel=1", "rtsp://cam/user=ann&password=***&channel=1"),
    ],
)
def test_passwords_are_redacted(url, shown):
    assert redact(url) == shown


def test_rtsp_with_password(caplog):
    with RtspServer(user="ann", password=PASSWORD) as server, open_source(server.url) as camera:
        assert isinstance(camera, Rtsp)
        assert camera.live
        assert camera.duration_s is None
        assert abs(camera.wall_zero - datetime.now(UTC)) < timedelta(seconds=5)
        frames = [frame for frame, _ in zip(camera, range(45), strict=False)]
        state = camera.state()
        shown = f"{camera!r} {camera} {camera.name} {state} {[thread.name for thread in threading.enumerate()]}"
        wrong, missing, path = (
            server.url.replace("rtsp://ann:", "rtsp://ann:wrong"),
            f"rtsp://127.0.0.1:{server.port}/cam",
            server.url.replace("/cam", "/attic"),
        )
        assert "refuses the user name or the password" in refusal(wrong)
        assert "asks for a user name" in refusal(missing)
        assert "There is no stream" in refusal(path)
    assert PASSWORD not in shown + caplog.text
    assert "s%2Fe" not in shown + caplog.text
    assert state.phase == "live"
    assert state.dropped == 0
    assert state.gaps == ()
    assert [frame.index for frame in frames] == list(range(45))
    assert frames[0].image.shape == (480, 640, 3)
    np.testing.assert_allclose([frame.t_s for frame in frames], np.arange(45) / 30, atol=0.002)
    assert camera.state().phase == "ended"


def test_rtsp_over_udp_in_h265_connects_again_at_the_end_of_the_stream(tmp_path):
    clip = write_clip(tmp_path / "c.mp4", "libx265", size=(320, 240), times_ms=[40 * k for k in range(25)])
    settings = SourceSettings(transport="udp", freeze_timeout_s=1.0, backoff_first_s=0.1)
    with RtspServer(clip, codec="h265") as server, open_source(server.url, settings) as camera:
        times_s = []
        for frame in camera:
            times_s.append(frame.t_s)
            if camera.state().reconnects:
                break
        state = camera.state()
    assert (np.diff(times_s) > 0).all()
    assert state.reconnects == len(state.gaps) == 1
    assert state.gaps[0] in list(itertools.pairwise(times_s))


def test_rtsp_survives_three_kills_and_a_freeze():
    with RtspServer() as server, open_source(server.url, QUICK) as camera:
        times_s: list[float] = []
        reader = threading.Thread(target=lambda: times_s.extend(frame.t_s for frame in camera))
        reader.start()
        for kills in range(3):
            frames = camera.state().frames
            wait_until(lambda frames=frames: camera.state().frames > frames + 5)
            server.kill()
            wait_until(lambda: camera.state().phase == "lost")
            wait_until(lambda: "refuses the connection" in camera.state().reason)
            lost_since = camera.state().since
            server.start()
            wait_until(lambda kills=kills: camera.state().reconnects == kills + 1)
            assert camera.state().phase == "live"
            assert camera.state().since > lost_since
        server.freeze()
        wait_until(lambda: "frozen" in camera.state().reason or "does not answer" in camera.state().reason)
        assert camera.state().phase == "lost"
        assert reader.is_alive()
        camera.stop()
        reader.join(timeout=5)
        assert not reader.is_alive()
        state = camera.state()
    assert state.phase == "ended"
    assert state.dropped == 0
    assert len(times_s) == state.frames
    assert (np.diff(times_s) > 0).all()
    assert len(state.gaps) == 3
    assert all(gap in list(itertools.pairwise(times_s)) for gap in state.gaps)
    elapsed_s = (datetime.now(UTC) - camera.wall_zero).total_seconds()
    assert times_s[-1] < elapsed_s
    assert state.gaps[-1][1] > state.gaps[0][1] + 1.0


def test_late_analysis_drops_the_oldest_frames_and_counts_them():
    with RtspServer() as server, open_source(server.url, SourceSettings(queue_frames=4)) as camera:
        wait_until(lambda: camera.state().dropped >= 10)
        indices = [frame.index for frame, _ in zip(camera, range(8), strict=False)]
        assert indices[0] >= 10
        assert (np.diff(indices) >= 1).all()


def test_first_connection_refused_raises_or_waits():
    server = RtspServer(port=free_port())
    assert "refuses the connection" in refusal(server.url)
    waiting = SourceSettings(wait_for_camera=True, backoff_first_s=0.1, backoff_limit_s=0.2)
    with open_source(server.url, waiting) as camera:
        wait_until(lambda: "refuses the connection" in camera.state().reason)
        assert camera.state().phase == "connecting"
        with server:
            assert next(iter(camera)).t_s == 0.0
            assert camera.state().phase == "live"
            assert camera.state().reconnects == 0


def test_gives_up_only_when_told():
    settings = SourceSettings(backoff_first_s=0.05, backoff_limit_s=0.1, give_up_after_s=0.5)
    with RtspServer() as server, open_source(server.url, settings) as camera:
        server.kill()
        assert list(camera)
    assert camera.state().phase == "ended"
    assert "gave up after 0.5 s" in camera.state().reason


def test_camera_that_accepts_and_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://ann:SECRET@127.0.0.1:{silent.getsockname()[1]}/cam"
        assert "does not answer within 1 s" in refusal(url, SourceSettings(connect_timeout_s=1.0))


def test_addresses_that_cannot_be():
    assert "is unknown" in refusal("rtsp://ann:SECRET@no-such-host.invalid/cam")
    for url in ("rtsp://", "rtsp://ann:SECRET@/cam", "rtsp://ann:SEC/RET@cam/a", "rtsp://cam:99999/a", "rtsp:cam"):
        assert "is no RTSP address" in refusal(url)


def test_no_camera():
    assert isinstance(open_source("97"), Webcam)
    assert "There is no camera /dev/video97" in refusal("97")
    assert "There is no camera /dev/video98" in refusal("/dev/video98")
