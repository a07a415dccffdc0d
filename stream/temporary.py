"""Folders in the temporary folder that go with their process, however that ends."""

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "merau-live-"
LOCK = "lock"  # a running process holds it; the system releases it even if the process is killed


class TemporaryFolder:
    """A folder that only this user can enter.

    `close` deletes it. That of a process that was killed is deleted when the next one is made.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 0700
        # Locked before it has its name: no other process can find it unlocked.
        part = self.path / f"{LOCK}.part"
        self._lock = os.open(part, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        part.rename(self.path / LOCK)

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep() -> None:
    """Delete the folders of this user's processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and _is_unlocked(path / LOCK):
                shutil.rmtree(path)


def _is_unlocked(lock: Path) -> bool:
    """Whether the process that made the lock has ended. Raises OSError where there is none."""
    file = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
