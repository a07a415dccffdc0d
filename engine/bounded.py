"""Read files whose content is not trusted: regular ones only, and no more of them than expected."""

import os
import stat
from pathlib import Path

# Windows has no O_NONBLOCK, and would translate line ends without O_BINARY.
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes. A pipe or a device is not even waited for.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger.
    """
    with open(os.open(path, READ), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is not a file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise too_large(limit)
    return data


def too_large(limit: int) -> OSError:
    """Build the error for content that is larger than `limit` bytes."""
    return OSError(f"it is larger than {limit / 1e6:g} MB")


def is_plain(name: str) -> bool:
    """Whether `name` is that of a file in a folder, not a path that leads out of it."""
    return name not in ("", ".", "..") and name.isprintable() and not {"/", "\\"} & set(name)
