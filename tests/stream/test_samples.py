import csv
import struct
import zlib

import av
import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.engine.few_shot import Sample
from merau.engine.recognizer import Recognizer
from merau.stream import demo
from merau.stream.samples import deduplicate, read_samples
from merau.stream.store import Store

CLIPS = ("label", "file", "onset_s", "apex_s")
PICTURES = ("label", "onset", "apex")


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load()


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([("name", "file")], "must name label,file,onset_s,apex_s or label,onset,apex"),
        ([CLIPS], "holds no sample"),
        (
            [CLIPS, ("tense", "x.mp4", 3, 2)],
            "line 2: the onset must come before the apex, but onset_s is 3 and apex_s is 2",
        ),
        ([CLIPS, (" ", "x.mp4", 1, 2)], "line 2: the label is empty"),
        ([CLIPS, ("two\nlines", "x.mp4", 1, 2)], "line [23]: a class needs a name of 1 to 40 characters, on one line"),
        ([CLIPS, ("\x1b[2J", "x.mp4", 1, 2)], "line 2: a class needs a name"),
        ([PICTURES, ("tense", "none.png", "b")], "line 2: .*none.png is not a picture"),
        ([PICTURES, ("tense", "wall.png", "dark.png")], "No face is found at both onset and apex .*line 2"),
        ([PICTURES, ("tense", "wall.png", "wall.png")], "line 2: onset and apex are the same picture"),
        ([CLIPS, ("tense", "", 1, 2)], "line 2: the file is empty"),
        ([CLIPS, ("tense", "none.mp4", 1, 2)], "line 2: There is no file"),
        ([CLIPS, ("tense", "x.mp4", 1, "inf")], "line 2: apex_s is 'inf': write seconds"),
        ([CLIPS, ("tense", "x.mp4", "0:05.4", 6)], "line 2: onset_s is '0:05.4': write seconds, as 5.4, not 0:05.4"),
        ([PICTURES, ("tense", "5.4", "5.6")], "line 2: 5.4 is a time, not a picture: .* onset_s and apex_s"),
        ([CLIPS, ("tense", "x.mp4", "0,5", "1,2"), ("b", "x.mp4", 2.5, 3)], "line 3: write all times with a decimal"),
        ([CLIPS, ("tense", "x.mp4", 0, 5, 1, 2)], "line 2 has 6 cells, its first line names 4"),
        ([CLIPS, ("tense", demo.CLIP, 95.4, 95.6)], r"line 2: 95.4 s lies beyond the end of .* 28.00 s long"),
        ([CLIPS, ("tense", demo.CLIP, 0.201, 0.209)], r"line 2: onset and apex are the same frame, at 0.200 s"),
    ],
)
def test_row_that_cannot_be_used_is_named(rows, error, recognizer, tmp_path):
    for name, grey in (("wall", 90), ("dark", 40)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((200, 200, 3), grey, np.uint8))
    path = tmp_path / "samples.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(UserError, match=error):
        read_samples(path, recognizer)


def test_huge_picture_is_refused_by_its_header(recognizer, tmp_path):
    head = struct.pack(">4sIIBBBBB", b"IHDR", 30_000, 30_000, 8, 2, 0, 0, 0)
    data = struct.pack(">I4s", 3, b"IDAT") + bytes(7)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + data)
    (tmp_path / "samples.csv").write_text("label,onset,apex\ntense,huge.png,huge.png\n")
    with pytest.raises(UserError, match=r"huge.png is not a picture of at most 8192 x 4352 pixels"):
        read_samples(tmp_path / "samples.csv", recognizer)


def test_store_without_labels_holds_no_sample(recognizer, tmp_path):
    with Store(tmp_path / "empty.db"), pytest.raises(UserError, match="none of its events is labelled"):
        read_samples(tmp_path / "empty.db", recognizer)


def test_deduplicate_keeps_the_first_of_equal_samples():
    samples = [Sample(label, np.full(2, value, np.float32), {}, {}) for label, value in (("a", 1), ("b", 1), ("A ", 1))]
    assert [sample.label for sample in deduplicate(samples)] == ["a", "b"]


def test_gap_in_a_clip_shows_no_moment(recognizer, tmp_path):
    """Two frames a second: 0, 0.5, ... and nothing between 1 and 3 s."""
    with av.open(str(tmp_path / "gap.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=2)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        for i in (0, 1, 2, 6, 7, 8):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = tmp_path / "samples.csv"
    path.write_text("label,file,onset_s,apex_s\ntense,gap.mkv,0.5,2\n")
    with pytest.raises(UserError, match=r"line 2: .*gap.mkv has no frame at 2.0 s"):
        read_samples(path, recognizer)
