"""Files in the user's cache folder, which can be built again. A damaged file counts as missing."""

import hashlib
import os
import secrets
from pathlib import Path

import platformdirs

from merau.engine.errors import UserError

DIGEST_BYTES = hashlib.sha256().digest_size  # at the end of each file


def folder() -> Path:
    """Return the cache folder, ~/.cache/merau-live on Linux; it need not exist."""
    return platformdirs.user_cache_path("merau-live")


def read(path: Path) -> bytes | None:
    """Read what `write` stored; None if it is missing or damaged."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    data = stored[:-DIGEST_BYTES]
    return data if stored[-DIGEST_BYTES:] == hashlib.sha256(data).digest() else None


def write(path: Path, data: bytes) -> None:
    """Store `data` with its sha256, atomically: a concurrent reader sees the old file or the new one.

    Raises:
        UserError: The file cannot be written.
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
