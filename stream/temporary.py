"""Folders in the temporary folder that go with their process, however that ends."""

import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PREFIX = "merau-live-"
LOCK = "lock"  # a running process holds it; the system releases it even if the process is killed


class TemporaryFolder:
    """A folder that only this user can enter.

    `close` deletes it. That of a process that was killed is deleted when the next one is made; on Windows, where no
    lock tells that, it stays.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 0700
        self._lock = _make_lock(self.path)

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def _make_lock(folder: Path) -> int | None:
    """Make the lock of a folder and return its descriptor; None on Windows."""
    if sys.platform == "win32":
        return None
    # Locked before it has its name: no other process can find it unlocked.
    part = folder / f"{LOCK}.part"
    lock = os.open(part, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    part.rename(folder / LOCK)
    return lock


def sweep() -> None:
    """Delete the folders of this user's processes that were killed."""
    if sys.platform == "win32":
        return
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and _is_unlocked(path / LOCK):
                shutil.rmtree(path)


def _is_unlocked(lock: Path) -> bool:
    """Whether the process that made the lock has ended. Raises OSError where there is none."""
    if sys.platform == "win32":
        return False
    file = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
