"""What can be set about the page."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from merau.engine.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Login:
    """The one user who may enter; the password is never shown."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user!r})"

    @classmethod
    def read(cls, text: str) -> "Login":
        """From USER:FILE, the file holding the password in its first line. Raises UserError where it cannot be had."""
        user, colon, path = text.partition(":")
        if not (user and colon and path):
            raise UserError("--auth wants USER:FILE, the file holding the password in its first line.")
        try:
            password = Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise UserError(f"The password file {path} cannot be read: {reason}.") from error
        if not password:
            raise UserError(f"The password file {path} is empty: write the password in its first line.")
        return cls(user, password)


@dataclass(frozen=True)
class UiSettings:
    """How the page is served.

    visitors: webcams that are analysed at one time; `waiting` more may stand in line, the rest are told it is full.
    visit_s: a visitor's webcam is let go after this time.
    retention_h: events are deleted this long after they were recorded, sessions this long after their end.
    recordings: folder whose videos may be picked for analysis, None for none.
    decode: where pictures of RTSP cameras and files that are watched are decoded.
    purpose: recorded as the purpose of the server's cameras, whose consent then lies with who started them; None asks
        on the page before the first frame is analysed.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    login: Login | None = None
    share: bool = False
    visitors: int = 2
    waiting: int = 8
    visit_s: float = 1800.0
    retention_h: float = 24.0
    upload_mb: int = 500
    recordings: Path | None = None
    decode: Literal["cpu", "cuda"] = "cpu"
    purpose: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"The port is {self.port}: choose 1 to 65535, or 0 for any that is free.")
        for name in ("visitors", "upload_mb"):
            if getattr(self, name) < 1:
                raise UserError(f"UiSettings.{name} is {getattr(self, name)}: choose at least 1.")
        for name in ("visit_s", "retention_h"):
            if not getattr(self, name) > 0:
                raise UserError(f"UiSettings.{name} is {getattr(self, name)}: choose a time above 0.")
        if self.recordings and not (self.recordings.is_dir() and os.access(self.recordings, os.R_OK)):
            raise UserError(f"The folder of recordings {self.recordings} cannot be read: give an existing folder.")

    @property
    def local(self) -> bool:
        """Whether the page is for this machine only, and therefore needs no login."""
        return self.login is None and self.host in LOOPBACK and not self.share

    @property
    def trusted(self) -> bool:
        """Whether everybody who reaches the page may see and steer the server's own cameras."""
        return self.login is not None or self.local
