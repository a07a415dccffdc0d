"""What was built once and can be built again, in the user's cache folder. A damaged file reads as none."""

import hashlib
import os
import tempfile
from pathlib import Path

from engine.errors import UserError

DIGEST = hashlib.sha256().digest_size


def folder() -> Path:
    """$XDG_CACHE_HOME/merau-live, by default ~/.cache/merau-live; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "merau-live"


def read(path: Path) -> bytes | None:
    """What `write` put there; None where there is nothing, or not all of it."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    data = stored[:-DIGEST]
    return data if stored[-DIGEST:] == hashlib.sha256(data).digest() else None


def write(path: Path, data: bytes) -> None:
    """`data` and its sha256, in one step: whoever reads meanwhile sees the old file or the new one, never a part.

    Raises UserError where that cannot be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                file.write(data + hashlib.sha256(data).digest())
                file.flush()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
