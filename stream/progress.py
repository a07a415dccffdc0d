"""Progress on a terminal; nothing where standard error is none."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from merau.engine.text import plain
from merau.stream.recordings import Recording

OnFrame = Callable[[int, int | None], None]  # frames so far, and of the whole recording if that is known

TOTAL_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
NAME_LENGTH = 24


@contextmanager
def file_bar(name: str) -> Iterator[OnFrame]:
    """Show a bar for one recording while the block runs; call what is yielded with the frames so far."""
    with _make_file_bar(name, 0) as bar:
        yield lambda frames, total: _advance(bar, frames, total)


class BatchBars:
    """A bar for the whole batch with the time left, and one for each recording that is analysed at present.

    The whole is counted in bytes of the files: their frames are not known before they are opened.

    Args:
        recordings: The batch; a single recording has no bar for the whole.
        jobs: How many are analysed at one time.
    """

    def __init__(self, recordings: Sequence[Recording], jobs: int) -> None:
        self._count, self._done, self._done_bytes = len(recordings), 0, 0
        self._shares: dict[Recording, float] = {}
        self._free = list(range(1, jobs + 1))
        self._bars: dict[Recording, tuple[tqdm[None], int]] = {}
        hidden = True if len(recordings) == 1 else None
        total = max(sum(recording.size for recording in recordings), 1)
        # The time left follows from all that was done so far: recordings differ too much for the last seconds to tell.
        self._whole = tqdm(total=total, bar_format=TOTAL_FORMAT, smoothing=0, leave=False, disable=hidden)
        self._describe()

    def on_frame(self, recording: Recording, frames: int, total: int | None) -> None:
        """Show how far one recording is."""
        if recording not in self._bars:
            position = self._free.pop(0)
            self._bars[recording] = _make_file_bar(recording.name, position), position
        _advance(self._bars[recording][0], frames, total)
        self._shares[recording] = min(frames / total, 1.0) if total else 0.0
        self._update()

    def finish(self, recording: Recording, *, skipped: bool) -> None:
        """Take one recording as done; one that was skipped took no time and does not count."""
        if recording in self._bars:
            bar, position = self._bars.pop(recording)
            bar.close()
            self._free.append(position)
        self._shares.pop(recording, None)
        self._done += 1
        if skipped:
            self._whole.total -= recording.size
        else:
            self._done_bytes += recording.size
        self._describe()
        self._update()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Clear the bars while the block prints lines."""
        with tqdm.external_write_mode():
            yield

    def close(self) -> None:
        """Remove the bars."""
        for bar, _ in self._bars.values():
            bar.close()
        self._whole.close()

    def _update(self) -> None:
        part = sum(share * recording.size for recording, share in self._shares.items())
        self._whole.update(self._done_bytes + part - self._whole.n)

    def _describe(self) -> None:
        self._whole.set_description_str(f"{self._done} of {self._count} recordings")


def _make_file_bar(name: str, position: int) -> "tqdm[None]":
    name = plain(name)
    name = name if len(name) <= NAME_LENGTH else f"…{name[1 - NAME_LENGTH :]}"
    return tqdm(desc=name, unit=" frames", leave=False, disable=None, position=position)


def _advance(bar: "tqdm[None]", frames: int, total: int | None) -> None:
    bar.total = total
    bar.update(frames - bar.n)
