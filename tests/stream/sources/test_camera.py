"""Cameras: a real RTSP server that is killed, started and frozen."""

import itertools
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from merau.stream.sources import Rtsp, SourceSettings, Webcam, open_source
from merau.stream.sources import camera as camera_module
from scripts.support.rtsp_server import RtspServer, free_port
from tests.stream.sources.scripted_camera import ScriptedCamera
from tests.stream.sources.support import PASSWORD, QUICK, error_of, wait_until, write_clip


def test_rtsp_login_works_and_stays_secret(caplog):
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
        assert "rejects the user name or the password" in error_of(wrong)
        assert "requires a user name" in error_of(missing)
        assert "There is no stream" in error_of(path)
    assert PASSWORD not in shown + caplog.text
    assert "s%2Fe" not in shown + caplog.text
    assert state.phase == "live"
    assert state.dropped == 0
    assert state.gaps == ()
    assert [frame.index for frame in frames] == list(range(45))
    assert frames[0].image.shape == (480, 640, 3)
    np.testing.assert_allclose([frame.t_s for frame in frames], np.arange(45) / 30, atol=0.002)
    assert camera.state().phase == "ended"


def test_rtsp_over_udp_in_h265_reconnects_at_its_end(tmp_path):
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
            wait_until(lambda: "refuses the connection" in str(camera.state().reason))
            lost_since = camera.state().since
            server.start()
            wait_until(lambda kills=kills: camera.state().reconnects == kills + 1)
            assert camera.state().phase == "live"
            assert camera.state().since > lost_since
        server.freeze()
        wait_until(lambda: "frozen" in str(camera.state().reason) or "does not answer" in str(camera.state().reason))
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


def test_late_analysis_drops_and_counts_oldest_frames():
    with RtspServer() as server, open_source(server.url, SourceSettings(queue_frames=4)) as camera:
        wait_until(lambda: camera.state().dropped >= 10)
        indices = [frame.index for frame, _ in zip(camera, range(8), strict=False)]
        assert indices[0] >= 10
        assert (np.diff(indices) >= 1).all()


def test_first_connection_refused_raises_or_waits():
    server = RtspServer(port=free_port())
    assert "refuses the connection" in error_of(server.url)
    waiting = SourceSettings(wait_for_camera=True, backoff_first_s=0.1, backoff_limit_s=0.2)
    with open_source(server.url, waiting) as camera:
        wait_until(lambda: "refuses the connection" in str(camera.state().reason))
        assert camera.state().phase == "connecting"
        with server:
            assert next(iter(camera)).t_s == 0.0
            assert camera.state().phase == "live"
            assert camera.state().reconnects == 0


def test_lost_camera_is_given_up_after_the_set_time():
    settings = SourceSettings(backoff_first_s=0.05, backoff_limit_s=0.1, give_up_after_s=0.5)
    with RtspServer() as server, open_source(server.url, settings) as camera:
        server.kill()
        assert list(camera)
    assert camera.state().phase == "ended"
    assert "gave up after 0.5 s" in str(camera.state().reason)


def test_camera_that_never_answers_times_out():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://ann:SECRET@127.0.0.1:{silent.getsockname()[1]}/cam"
        assert "does not answer within 1 s" in error_of(url, SourceSettings(connect_timeout_s=1.0))


def test_impossible_addresses_raise():
    assert "is unknown" in error_of("rtsp://ann:SECRET@no-such-host.invalid/cam")
    for url in ("rtsp://", "rtsp://ann:SECRET@/cam", "rtsp://ann:SEC/RET@cam/a", "rtsp://cam:99999/a", "rtsp:cam"):
        assert "is not an RTSP address" in error_of(url)


def test_missing_webcam_raises():
    assert isinstance(open_source("97"), Webcam)
    assert "There is no camera /dev/video97" in error_of("97")
    assert "There is no camera /dev/video98" in error_of("/dev/video98")


def scripted(reports: list[tuple[int, float]]) -> tuple[list[float], datetime]:
    """Times of 60 frames of a camera with these sender reports, and the wall-clock time of 0 s after them."""
    with ScriptedCamera(reports) as camera, open_source(camera.url, SourceSettings(queue_frames=60)) as source:
        wait_until(lambda: source.state().frames >= 58)  # the first has no time, the last comes with the next
        return [frame.t_s for frame in itertools.islice(source, 58)], source.wall_zero


@pytest.mark.parametrize("set_by_s", [-7200.0, -3.0, 3.0, 7200.0])
def test_camera_with_two_tracks_whose_clock_is_set_goes_on(set_by_s):
    now_s = time.time()
    times_s, zero = scripted([(0, now_s), (30, now_s + 1 + set_by_s)])
    np.testing.assert_allclose(np.diff(times_s), 1 / 30, atol=0.04)
    assert (np.diff(times_s) > 0).all()
    assert abs(zero.timestamp() - now_s) < 5


def test_wall_clock_moves_when_ours_is_set(monkeypatch):
    class SteppedDatetime(datetime):
        step = timedelta(0)

        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + cls.step

    monkeypatch.setattr(camera_module, "datetime", SteppedDatetime)
    with RtspServer() as server, open_source(server.url) as source:
        wait_until(lambda: source.state().frames > 5)
        zero = source.wall_zero
        SteppedDatetime.step = timedelta(hours=48)
        wait_until(lambda: source.wall_zero - zero > timedelta(hours=47))
        assert abs(source.wall_zero - zero - SteppedDatetime.step) < timedelta(seconds=2)


def test_wall_clock_follows_the_cameras_while_it_is_near():
    now_s = time.time()
    for wrong_s in (8.0, 7200.0, -7200.0):
        _, zero = scripted([(0, now_s + wrong_s), (30, now_s + 1)])
        assert zero.timestamp() == pytest.approx(now_s, abs=0.1)
