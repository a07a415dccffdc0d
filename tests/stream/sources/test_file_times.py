"""Times of recordings whose containers, cameras or owners make it hard to know them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from merau.stream.sources import File, SourceSettings
from merau.stream.sources.source import DEFAULT_SETTINGS, END_OF_FILE, SourceState
from tests.stream.sources.support import error_of, write_clip

STEPS_MS = [round(1000 * k / 30) for k in range(30)]


def read(path: Path, settings: SourceSettings = DEFAULT_SETTINGS) -> tuple[np.ndarray, np.ndarray, SourceState]:
    """Times and grey values of all frames, and the state at the end."""
    with File(str(path), settings) as source:
        frames = list(source)
        state = source.state()
    return np.array([f.t_s for f in frames]), np.array([f.image[-4:, -4:].mean() for f in frames]), state


def notes_of(path: Path, settings: SourceSettings = DEFAULT_SETTINGS) -> str:
    return "\n".join(map(str, read(path, settings)[2].notes))


def write_streams(path: Path, clips: list[tuple[str, tuple[int, int], list[int]]], *, sound_s: float = 0.0) -> Path:
    """A film with several video streams (codec, size, times in ms), and sound from its beginning on."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono") if sound_s else None
        packets = []
        for codec, (width, height), times_ms in clips:
            stream = container.add_stream(codec, rate=30)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            for time_ms in times_ms:
                picture = av.VideoFrame.from_ndarray(np.full((height, width, 3), 99, np.uint8), "bgr24")
                picture.pts, picture.time_base = time_ms, Fraction(1, 1000)
                packets += stream.encode(picture)
            packets += stream.encode(None)
        if sound:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, round(8000 * sound_s)), np.int16), "s16", "mono")
            samples.sample_rate, samples.pts = 8000, 0
            packets += [*sound.encode(samples), *sound.encode(None)]
        for packet in packets:
            container.mux(packet)
    return path


@pytest.mark.parametrize("name", ["b.avi", "b.asf", "b.mkv", "b.ts"])
def test_b_frames_are_shown_in_time(tmp_path, name):
    times_s, grey, state = read(write_clip(tmp_path / name, times_ms=STEPS_MS, rate=30))
    np.testing.assert_allclose(times_s, np.arange(30) / 30, atol=0.002)
    assert (np.diff(grey) > 0).all()
    assert (state.reason, state.notes) == (END_OF_FILE, ())


def test_hole_among_b_frames_of_avi_is_in_its_place(tmp_path):
    times_ms = [*STEPS_MS[:20], *(step + 500 for step in STEPS_MS[20:])]
    times_s, grey, state = read(write_clip(tmp_path / "hole.avi", times_ms=times_ms, rate=30))
    np.testing.assert_allclose(times_s, np.array(times_ms) / 1000, atol=0.002)
    assert (np.diff(grey) > 0).all()
    assert state.notes == ()


def test_equal_times_are_nudged_and_shift_nothing(tmp_path):
    path, stamps_ms = tmp_path / "bursts.mkv", [120 * (k // 4) for k in range(16)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for k, stamp_ms in enumerate(stamps_ms):
            picture = av.VideoFrame(64, 48, "yuvj420p")
            picture.pts, picture.time_base = k, Fraction(1, 1000)
            for packet in stream.encode(picture):
                packet.pts = packet.dts = stamp_ms
                container.mux(packet)
    times_s, _, state = read(path)
    np.testing.assert_allclose(times_s, [(stamp + k % 4) / 1000 for k, stamp in enumerate(stamps_ms)], atol=1e-9)
    assert "gives 12 pictures no later time" in str(state.notes[0])


def test_raw_video_takes_its_rate_from_the_codec(tmp_path):
    for name, codec in (("raw.h264", "libx264"), ("raw.hevc", "libx265")):
        times_s, _, state = read(write_clip(tmp_path / name, codec, times_ms=STEPS_MS, rate=60))
        np.testing.assert_allclose(np.diff(times_s), 1 / 60)
        assert "its codec states 60 frames/s" in str(state.notes[0])


def test_raw_video_without_a_rate_is_assumed_or_stated(tmp_path):
    clip = write_clip(tmp_path / "raw.mjpeg", "mjpeg", pix_fmt="yuvj420p")
    times_s, _, state = read(clip)
    np.testing.assert_allclose(np.diff(times_s), 1 / 25)
    assert "25 frames/s were assumed" in str(state.notes[0])
    times_s, _, state = read(clip, SourceSettings(rate_hz=50))
    np.testing.assert_allclose(np.diff(times_s), 1 / 50)
    assert state.notes == ()
    assert "has times of its own" in error_of(str(write_clip(tmp_path / "a.mp4")), SourceSettings(rate_hz=50))


def test_slow_motion_is_in_captured_time(tmp_path):
    clip = write_clip(
        tmp_path / "slow.mp4",
        tags={"com.android.capture.fps": "240.000000"},
        muxer={"movflags": "use_metadata_tags"},
        rate=30,
    )
    with File(str(clip), SourceSettings()) as source:
        assert (source.slowdown, source.duration_s) == (8, pytest.approx(1 / 8))
        np.testing.assert_allclose([frame.t_s for frame in source], np.arange(30) / 240, atol=1e-4)
        assert "captured at 240 frames/s and plays at 30" in str(source.state().notes[0])
    times_s, _, state = read(clip, SourceSettings(captured_rate_hz=30))  # the user knows better
    np.testing.assert_allclose(times_s, np.arange(30) / 30, atol=1e-4)
    assert state.notes == ()


def test_phone_that_slowed_down_in_the_dark_is_in_real_time(tmp_path):
    tags, muxer = {"com.android.capture.fps": "30.0"}, {"movflags": "use_metadata_tags"}
    clip = write_clip(tmp_path / "dark.mp4", times_ms=[42 * k for k in range(30)], tags=tags, muxer=muxer)
    times_s, _, state = read(clip)
    np.testing.assert_allclose(np.diff(times_s), 0.042, atol=1e-6)
    assert state.notes == ()


def test_high_speed_recording_is_in_the_stated_captured_time(tmp_path):
    times_s, _, _ = read(
        write_clip(tmp_path / "fast.avi", times_ms=[40 * k for k in range(30)], rate=25),
        SourceSettings(captured_rate_hz=200),
    )
    np.testing.assert_allclose(np.diff(times_s), 1 / 200, atol=1e-4)


@pytest.mark.parametrize("name", ["late.mov", "late.mkv"])
def test_picture_after_the_sound_keeps_its_place(tmp_path, name):
    times_ms = [1500 + step for step in STEPS_MS]
    clip = write_streams(tmp_path / name, [("libx264", (64, 48), times_ms)], sound_s=2.4)
    times_s, _, state = read(clip)
    np.testing.assert_allclose(times_s, np.array(times_ms) / 1000, atol=0.002)
    assert (state.reason, state.notes, state.gaps) == (END_OF_FILE, (), ())


def test_picture_that_ends_before_the_sound_is_not_cut_off(tmp_path):
    clip = write_streams(tmp_path / "short.mkv", [("libx264", (64, 48), STEPS_MS)], sound_s=4.0)
    assert read(clip)[2].notes == ()


def test_main_stream_is_neither_a_single_picture_nor_the_smaller(tmp_path):
    cover = write_streams(tmp_path / "cover.mp4", [("mjpeg", (320, 240), [0]), ("libx264", (64, 48), STEPS_MS)])
    assert len(read(cover)[0]) == 30
    assert "2 video streams: the one of 64 x 48" in notes_of(cover)
    streams = [("libx264", (64, 48), STEPS_MS), ("libx264", (128, 96), STEPS_MS)]
    assert "the one of 128 x 96" in notes_of(write_streams(tmp_path / "two.mkv", streams))


def join(path: Path, count: int, **clip) -> Path:
    """Append a clip to itself, byte by byte."""
    path.write_bytes(count * write_clip(path, **clip).read_bytes())
    return path


def test_joined_fragments_tell_the_pictures_that_are_lost(tmp_path):
    movflags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    clip = join(tmp_path / "j.mp4", 2, rate=30, muxer=movflags)
    frames = len(read(clip)[0])
    assert frames < 60
    assert f"lacks {60 - frames} pictures" in notes_of(clip)


@pytest.mark.parametrize(
    ("name", "count", "codec"), [("j.mp4", 2, "libx264"), ("j.flv", 2, "flv1"), ("j.mkv", 3, "libx264")]
)
def test_joined_recordings_that_are_not_read_are_told(tmp_path, name, count, codec):
    clip = join(tmp_path / name, count, codec=codec, rate=30)
    assert len(read(clip)[0]) < 30 * count
    assert "was not read to its end" in notes_of(clip)


def test_joined_transport_streams_are_whole(tmp_path):
    times_s, grey, state = read(join(tmp_path / "j.ts", 3, rate=30))
    np.testing.assert_allclose(times_s, np.arange(90) / 30, atol=0.002)
    assert (np.diff(grey.reshape(3, 30)) > 0).all()
    assert state.reason == END_OF_FILE
    assert [str(note).partition("is ")[2] for note in state.notes] == [
        "joined from 3 recordings: the times of each go on from the one before."
    ]


def test_room_that_a_camera_reserved_is_not_told(tmp_path):
    clip = write_clip(tmp_path / "dashcam.mkv")
    clip.write_bytes(clip.read_bytes() + bytes(200_000))
    assert read(clip)[2].notes == ()
    clip.write_bytes(clip.read_bytes() + bytes(range(1, 256)) * 1000)
    assert "its last 455" in notes_of(clip)


def test_hole_of_two_seconds_is_told(tmp_path):
    _, _, state = read(write_clip(tmp_path / "hole.mkv", times_ms=[*STEPS_MS, *(4000 + step for step in STEPS_MS)]))
    assert state.gaps == ((0.967, 4.0),)
    assert "the longest is 0.97 to 4.00 s" in str(state.notes[0])
