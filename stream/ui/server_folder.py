"""The folder of one running server: visitors' stores and uploads, deleted with the server, however that ends."""

import time
from contextlib import suppress

from merau.stream.temporary import TemporaryFolder

UPLOADS = "uploads"
STALLED_S = 60.0  # an upload that gets no data for so long has broken off


class ServerFolder:
    """A folder in the temporary folder that only this user can enter.

    Attributes:
        path: The folder.
        uploads: Where uploads arrive, inside it.
    """

    def __init__(self) -> None:
        self._folder = TemporaryFolder()
        self.path = self._folder.path
        self.uploads = self.path / UPLOADS
        self.uploads.mkdir(mode=0o700)

    def delete_broken_uploads(self) -> None:
        """Delete what is left of uploads that broke off."""
        for path in self.uploads.glob("*"):
            with suppress(OSError):
                if path.is_file() and time.time() - path.stat().st_mtime > STALLED_S:
                    path.unlink()

    def close(self) -> None:
        """Delete the folder."""
        self._folder.close()
