"""What was built once and can be built again, in the user's cache folder. A damaged file reads as none."""

import hashlib
import os
import secrets
from pathlib import Path

from merau.engine.errors import UserError

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
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(data + hashlib.sha256(data).digest())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
