"""Clips of one's own, listed in a CSV."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.data.prepare import PrepareSettings, load, prepare, read_frames
from merau.trainers.data.releases.release import Corrections, VideoFrame
from merau.trainers.data.synthetic_set import ASTRONAUT


@pytest.fixture
def video(tmp_path):
    """Twelve pictures of a face at 25 frames/s; the frame's number stands in its brightness."""
    face = cv2.resize(cv2.imread(str(ASTRONAUT))[:320, 100:420], (240, 240))
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "5"})
        stream.width = stream.height = 240
        stream.pix_fmt = "yuv420p"
        for i in range(12):
            frame = av.VideoFrame.from_ndarray(np.clip(face.astype(int) + 3 * i, 0, 255).astype(np.uint8), "bgr24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write(tmp_path, text):
    (tmp_path / "mine.csv").write_text(text)
    return load("csv", tmp_path / "mine.csv", Corrections())


def test_video_clips_become_a_flow_set(tmp_path, video):
    release = write(
        tmp_path,
        "clip;subject;onset_s;apex_s;offset_s;emotion;aus\nclip.mp4;p1;0,08;0,24;0,40;Happy;12\nclip.mp4;p1;0,04;0,12;;sad;4\n",
    )
    first, second = release.samples
    assert (first.frames[0], first.apex, len(first.frames)) == (VideoFrame(video, 2), 4, 9)
    assert (first.label, first.emotion, first.duration_s) == ("positive", "happiness", pytest.approx(0.32))
    assert (second.name, second.frames[0].number, second.apex, second.duration_s) == ("clip_2", 1, 2, None)
    prepared = prepare(release, tmp_path / "set", PrepareSettings())
    assert len(prepared.samples) == 2
    assert (tmp_path / "set" / "index.csv").read_text().count("\n") == 3


def test_read_frames_gives_the_frames_that_were_asked_for(video):
    frames = read_frames([VideoFrame(video, 7), VideoFrame(video, 2)])
    assert 12 < frames[0].mean() - frames[1].mean() < 17
    assert read_frames([VideoFrame(video, 99)]) is None


def test_folder_clips_count_by_file_names(tmp_path):
    (tmp_path / "f").mkdir()
    for i in range(10, 16):
        cv2.imwrite(str(tmp_path / "f" / f"img{i}.png"), np.zeros((8, 8, 3), np.uint8))
    release = write(tmp_path, "clip,subject,onset,apex,offset\nf,1,11,13,15\n")
    assert [path.name for path in release.samples[0].frames] == [f"img{i}.png" for i in range(11, 16)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("none.mp4,1,1,3", "there is no"),
        ("clip.mp4,,1,3", "no subject"),
        ("clip.mp4,1,5,3", "not in this order within 12 frames"),
        ("clip.mp4,1,5,30", "not in this order"),
        ("clip.mp4,1,a,3", "'a' is no moment"),
        ("mine.csv,1,1,3", "cannot be read as a video"),
    ],
)
def test_clip_that_cannot_be_used_is_named(tmp_path, video, row, reason):
    release = write(tmp_path, f"clip,subject,onset,apex\n{row}\n")
    ((who, why),) = release.skipped
    assert who.startswith("line 2")
    assert reason in why


def test_table_without_apex_is_refused(tmp_path):
    with pytest.raises(UserError, match="lacks the column apex or apex_s"):
        write(tmp_path, "clip,subject,onset\na,1,2\n")
