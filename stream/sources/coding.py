"""How coarsely a stream is coded, by what the decoder tells of each picture: its type and its size."""

from __future__ import annotations

from av.video.frame import PictureType, VideoFrame

MEMORY = 30  # pictures whose mean counts


class CodingMeter:
    """Tell whether a stream is coded so coarsely that single pictures are noisier than the mean of several.

    That is so where each picture is predicted from the one before with few bits, as live cameras do. Key frames do not
    count: their share depends on how often they come. Where pictures are predicted from later ones, too, the encoder
    has averaged already.
    """

    STARTS, ENDS = 0.08, 0.12  # bits for each pixel of a picture

    def __init__(self) -> None:
        self._coarse = False
        self._bits: float | None = None  # for each pixel of a predicted picture, running mean
        self._since_between = 0  # predicted pictures since the last one that is predicted from later ones, too

    def is_coarse(self, picture: VideoFrame, size_bytes: int) -> bool:
        """Take the next picture, which was coded in `size_bytes`, and tell whether the stream is coded coarsely."""
        if picture.key_frame:
            return self._coarse
        self._since_between = 0 if picture.pict_type == PictureType.B else self._since_between + 1
        bits = 8 * size_bytes / (picture.width * picture.height)
        self._bits = bits if self._bits is None else self._bits + (bits - self._bits) / MEMORY
        limit = self.ENDS if self._coarse else self.STARTS
        self._coarse = self._bits < limit and self._since_between >= MEMORY
        return self._coarse
