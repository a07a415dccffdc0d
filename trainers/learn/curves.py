"""Training curves for TensorBoard, where it is installed (`pip install merau-live[curves]`)."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

FOLDER = "curves"  # within that of a training

Draw = Callable[[str, float, int], None]  # name of a curve, value and epoch


def open_curves(folder: Path | None) -> Draw | None:
    """Return a function that adds a point to a curve in `folder`; None without a folder, or without TensorBoard."""
    if folder:
        with suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            return SummaryWriter(str(folder / FOLDER), flush_secs=5).add_scalar
    return None
