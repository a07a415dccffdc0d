"""The folder of one running server: visitors' stores and uploads, deleted with the server, however that ends."""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "merau-live-"
LOCK = "lock"  # a running server holds it; the system releases it even if the server is killed
UPLOADS = "uploads"
STALLED_S = 60.0  # an upload that gets no data for so long has broken off


class ServerFolder:
    """A folder in the temporary folder that only this user can enter.

    Attributes:
        path: The folder.
        uploads: Where uploads arrive, inside it.
    """

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 0700
        self.uploads = self.path / UPLOADS
        self.uploads.mkdir(mode=0o700)
        # Locked before it has its name: no other server can find it unlocked.
        part = self.path / f"{LOCK}.part"
        self._lock = os.open(part, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        part.rename(self.path / LOCK)

    def delete_broken_uploads(self) -> None:
        """Delete what is left of uploads that broke off."""
        for path in self.uploads.glob("*"):
            with suppress(OSError):
                if path.is_file() and time.time() - path.stat().st_mtime > STALLED_S:
                    path.unlink()

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep() -> None:
    """Delete the folders of this user's servers that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and _is_unlocked(path / LOCK):
                shutil.rmtree(path)


def _is_unlocked(lock: Path) -> bool:
    """Whether the server that made the lock has ended. Raises OSError where there is none."""
    file = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
