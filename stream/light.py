"""Even out light that flickers: mains light brightens the frames in turn, before a rolling shutter in bands of rows.

The crop is aligned, so each row of the frame is compared with what the same skin usually shows. Mains light makes the
whole row brighter or darker, and differently in the next frame: where both halves of the face agree on that for a
second, the rows get their usual brightness back. Steady light leaves every crop as it is.
"""

import math
from collections import deque

import numba
import numpy as np

BIN_PX = 8  # rows of the frame that share one brightness, and columns of the crop that are in one bin; px of the crop
SIDES = 2  # left and right half of the crop


class LightEvener:
    """Measure the flicker in the crops of one track, and even it out.

    Attributes:
        flicker: 0 to 1, amplitude of the flicker as a share of the light; 0 while the light is steady.
    """

    USUAL_S = 0.5  # time constant of the usual brightness: several periods of any flicker
    WINDOW_S = 1.0  # flicker goes on for longer; movements have pauses
    CERTAIN_FRAMES = 12  # nothing is evened out before so many frames were watched
    DECIDE_EVERY_S = 0.1
    # Root mean square of the second difference of rows from frame to frame, as a share of the light.
    STARTS, ENDS = 0.015, 0.008
    QUIET_SHARE = 0.25  # of the window: what movements leave out, flicker does not
    MAX_GAP_S = 0.5  # after a longer one the usual brightness is learned anew

    def __init__(self) -> None:
        self.flicker = 0.0
        self._usual: np.ndarray | None = None  # (H / 2, W / 2) float32: every second pixel's usual grey
        self._since_s = self._last_s = self._decided_s = 0.0
        self._shares: deque[np.ndarray] = deque(maxlen=3)  # of the newest frames, as `_brightness_shares`
        self._measured: deque[tuple[float, float, float]] = deque()  # time, powers of second difference and of shares

    def even(self, grey: np.ndarray, matrix: np.ndarray, t_s: float) -> np.ndarray:
        """Return a crop with its flicker evened out; the crop itself where the light is steady.

        Args:
            grey: (H, W) uint8, the crop. Call it once for each frame, in order of time.
            matrix: (2, 3), maps frame px to crop px.
            t_s: Time of the frame.
        """
        usual = self._usual
        if usual is None or t_s - self._last_s > self.MAX_GAP_S:
            self._start(grey, t_s)
            return grey
        (_, right, _), (_, down, _) = matrix.tolist()  # where the frame's downward direction points in the crop
        length = math.sqrt(right * right + down * down)
        right, down = right / length, down / length
        weight = (t_s - self._last_s) / min(max(t_s - self._since_s, 1e-3), self.USUAL_S)
        self._last_s = t_s
        sums = _row_sums(grey, usual, min(weight, 0.5), right, down)
        self._measure(_brightness_shares(sums), t_s)
        return _scale_rows(grey, _gains(sums), right, down) if self.flicker else grey

    def _start(self, grey: np.ndarray, t_s: float) -> None:
        self.flicker = 0.0
        self._usual = grey[::2, ::2].astype(np.float32)
        self._since_s = self._last_s = self._decided_s = t_s
        self._shares.clear()
        self._measured.clear()

    def _measure(self, shares: np.ndarray, t_s: float) -> None:
        self._shares.append(shares)
        if len(self._shares) < 3:
            return
        self._measured.append((t_s, *_common_powers(*self._shares)))
        if t_s - self._decided_s >= self.DECIDE_EVERY_S and len(self._measured) >= self.CERTAIN_FRAMES:
            self._decided_s = t_s
            self._decide(t_s)

    def _decide(self, t_s: float) -> None:
        """Decide whether the light flickers, by what both halves of the face had in common over the last second."""
        while len(self._measured) > self.CERTAIN_FRAMES and t_s - self._measured[0][0] > self.WINDOW_S:
            self._measured.popleft()
        _, changes, powers = np.array(self._measured).T
        changes = (changes[2:] + changes[1:-1] + changes[:-2]) / 3  # flicker may pass through zero in every third frame
        lowest = np.quantile(changes, self.QUIET_SHARE)
        limit = self.ENDS if self.flicker else self.STARTS
        self.flicker = math.sqrt(max(2 * powers.mean(), 1e-6)) if lowest > limit**2 else 0.0


@numba.njit(cache=True, nogil=True)
def _row_sums(grey, usual, weight, right, down):  # type: ignore[no-untyped-def]
    """Sum every second pixel by rows of the frame, and bring the usual brightness up to date.

    Returns:
        (3, 2, bins) float32: sums of `grey`, of `usual` before and their counts, by half of the crop.
    """
    height, width = grey.shape
    rows, columns = usual.shape
    block = BIN_PX // 2
    centre = np.sqrt(height * height + width * width) / 2
    sums = np.zeros((3, SIDES, int(2 * centre / BIN_PX) + 2), np.float32)
    weight = np.float32(weight)
    for r in range(rows):
        along = centre + (2 * r - height / 2) * down
        for first in range(0, columns, block):
            end = min(first + block, columns)
            middle = first + end - width / 2
            i = int((along + middle * right) / BIN_PX)
            now = before = np.float32(0)
            for c in range(first, end):
                value = np.float32(grey[2 * r, 2 * c])
                now += value
                before += usual[r, c]
                usual[r, c] += weight * (value - usual[r, c])
            side = int(middle > 0)
            sums[0, side, i] += now
            sums[1, side, i] += before
            sums[2, side, i] += np.float32(end - first)
    return sums


@numba.njit(cache=True, nogil=True)
def _brightness_shares(sums):  # type: ignore[no-untyped-def]
    """How much brighter than usual the rows are, (2, bins); NaN where less than half of the fullest row is seen."""
    _, sides, bins = sums.shape
    shares = np.full((sides, bins), np.nan)
    least = sums[2].max() / 2
    for i in range(bins):
        if sums[2, 0, i] > least and sums[2, 1, i] > least:
            for side in range(sides):
                shares[side, i] = np.log((sums[0, side, i] + 1) / (sums[1, side, i] + 1))
    return shares


@numba.njit(cache=True, nogil=True)
def _common_powers(before, last, now):  # type: ignore[no-untyped-def]
    """Median product of both halves' second differences, and mean product of their shares `now`.

    Noise, and whatever moves on one side only, cancels out; what moves at brows or mouth only is not in the median.
    """
    changes = np.empty(now.shape[1])
    power = 0.0
    count = 0
    for i in range(now.shape[1]):
        left = now[0, i] - 2 * last[0, i] + before[0, i]
        right = now[1, i] - 2 * last[1, i] + before[1, i]
        if not np.isnan(left + right):
            changes[count] = left * right
            power += now[0, i] * now[1, i]
            count += 1
    return (np.median(changes[:count]), power / count) if count else (0.0, 0.0)


def _gains(sums: np.ndarray) -> np.ndarray:
    """Gain (bins,) that gives the rows their usual brightness; bins with few pixels take that of their neighbour."""
    now, usual, count = sums.sum(axis=1)
    bins = np.arange(len(count))
    known = count > BIN_PX
    gains: np.ndarray = np.interp(bins, bins[known], (usual[known] + 1) / (now[known] + 1)).astype(np.float32)
    return gains


@numba.njit(cache=True, nogil=True)
def _scale_rows(grey, gains, right, down):  # type: ignore[no-untyped-def]
    """Scale the rows of the frame in the crop, with gains interpolated between the bins' centres."""
    height, width = grey.shape
    scaled = np.empty_like(grey)
    centre = np.sqrt(height * height + width * width) / 2
    for r in range(height):
        along = centre + (r - height / 2) * down
        for first in range(0, width, BIN_PX):
            end = min(first + BIN_PX, width)
            at = min(max((along + ((first + end - width) / 2) * right) / BIN_PX - 0.5, 0.0), len(gains) - 1.001)
            i = int(at)
            gain = np.float32(gains[i] + (gains[i + 1] - gains[i]) * (at - i))
            for c in range(first, end):
                scaled[r, c] = np.uint8(min(np.float32(grey[r, c]) * gain + np.float32(0.5), np.float32(255)))
    return scaled
