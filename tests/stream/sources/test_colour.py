"""What a picture's matrix, range and transfer function say, in clips coded here."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from merau.engine.crop import CropSpec
from merau.engine.patch_flow import build_pyramid, patch_flow
from merau.stream.align import Aligner
from merau.stream.faces import Face
from merau.stream.sources import Frame
from merau.stream.sources.colour import TO_BT709, linear_light
from merau.trainers.data.synth.clips import ASTRONAUT
from tests.stream.sources.support import frames_of
from tests.stream.test_align import GOOD_QUALITY

BT2020_NCL = 9  # AVColorSpace
SIZE = (320, 240)
SHIFT_PX = 0.8


def skin(shift_px: float = 0.0) -> np.ndarray:
    """A picture of a face in standard range, moved to the right: (240, 320, 3) uint8 RGB."""
    picture = cv2.cvtColor(cv2.imread(str(ASTRONAUT)), cv2.COLOR_BGR2RGB)
    moved = np.array([[1.4, 0, shift_px - 60], [0, 1.4, -20]])
    return cv2.warpAffine(picture, moved, SIZE, flags=cv2.INTER_LANCZOS4)


def write(path: Path, frames: list[av.VideoFrame], encoder: str, options: dict[str, str]) -> Path:
    """Code frames with the matrix, range and transfer function that the first one states."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
            setattr(stream.codec_context, name, getattr(frames[0], name))
        for i, frame in enumerate(frames):
            frame.pts, frame.time_base = i, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def hdr(rgb: np.ndarray, transfer: int) -> av.VideoFrame:
    """The same picture, as bright on a screen, with high dynamic range."""
    light = cv2.transform(((rgb / 255) ** 2.4).astype(np.float32), np.linalg.inv(TO_BT709)).clip(0, 1)
    codes = np.searchsorted(linear_light(transfer), light).clip(0, 1023)
    wide = av.VideoFrame.from_ndarray((codes * 64).astype(np.uint16), "rgb48le")
    frame = wide.reformat(format="yuv420p10le", dst_colorspace=Colorspace.BT2020, dst_color_range=ColorRange.MPEG)
    frame.colorspace, frame.color_range = BT2020_NCL, ColorRange.MPEG
    frame.color_trc, frame.color_primaries = transfer, ColorPrimaries.BT2020
    return frame


@pytest.mark.parametrize("transfer", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67])
def test_high_dynamic_range_moves_as_far_as_standard(tmp_path, transfer):
    pictures = [skin(), skin(SHIFT_PX)]
    clip = [hdr(picture, transfer) for picture in pictures]
    quiet = {"preset": "ultrafast", "crf": "4", "x265-params": "log-level=none"}
    frames = frames_of(write(tmp_path / "hdr.mkv", clip, "libx265", quiet))
    for frame, picture in zip(frames, pictures, strict=True):
        off = np.abs(frame.image[..., ::-1].astype(int) - picture)
        assert off[picture.max(axis=2) < 200].mean() < 5  # highlights are compressed
    greys = [cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY) for frame in frames]
    truth = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    found, usual = (patch_flow(*map(build_pyramid, pair))[0][0] for pair in (greys, truth))
    assert np.abs(found - usual).mean() < 0.14
    assert np.std(greys) == pytest.approx(np.std(truth), rel=0.05)  # 18 and 45% less without the transfer function


def crop_of(frame: Frame) -> np.ndarray:
    """The grey crop of a face that fills the frame."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0.2, 0.8, (468, 3)) * (*SIZE, 0)
    points[[33, 133]], points[[263, 362]], points[[61, 291]] = (110, 90, 0), (210, 90, 0), (160, 190, 0)
    return Aligner().crop(frame, Face(1, points.astype(np.float32), GOOD_QUALITY)).grey


@pytest.mark.parametrize("color_range", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("matrix", [Colorspace.ITU601.value, Colorspace.ITU709.value, BT2020_NCL])
def test_grey_is_the_luma_of_the_own_matrix_and_range(tmp_path, matrix, color_range):
    width, height = SIZE
    rng = np.random.default_rng(1)
    low, high = (16, 235) if color_range == ColorRange.MPEG else (0, 255)
    y = np.full((height, width), 0.5 * (low + high), np.float32)
    y += cv2.GaussianBlur(rng.normal(0, 200, (height, width)).astype(np.float32), (0, 0), 3)
    u, v = (cv2.resize(rng.integers(108, 148, (6, 8)).astype(np.uint8), (width // 2, height // 2)) for _ in "uv")
    y = y.round().astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(np.concatenate([y.ravel(), u.ravel(), v.ravel()]).reshape(-1, width), "yuv420p")
    frame.colorspace, frame.color_range = matrix, color_range
    frame.color_trc = frame.color_primaries = 2
    (decoded,) = frames_of(write(tmp_path / "a.mp4", [frame], "libx264", {"preset": "ultrafast", "crf": "0"}))
    grey = crop_of(decoded)
    luma = ((y.astype(np.float32) - low) * 255 / (high - low)).round().clip(0, 255).astype(np.uint8)
    own = crop_of(Frame(cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR), 0.0, 0, 0.0))
    assert grey.shape == CropSpec().full
    assert np.abs(grey.astype(int) - own).mean() < 1.5
    assert np.abs(grey.astype(int) - own).max() <= 3
