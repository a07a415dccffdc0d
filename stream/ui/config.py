"""Settings of the page's server."""

import os
import re
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from merau.engine.errors import UserError
from merau.engine.validation import check, check_choice, check_range

MAX_RETENTION_H = 1_000_000  # longer ones are beyond the calendar
ROOT_PATH = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Login:
    """The one user who may log in. The password never appears in `repr`."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user!r})"

    @classmethod
    def read(cls, text: str) -> "Login":
        """Read a login from USER:FILE, where the first line of the file is the password.

        Raises:
            UserError: The text has another form, or the file has no password or cannot be read.
        """
        user, colon, path = text.partition(":")
        if not (user and colon and path):
            raise UserError("--auth takes USER:FILE, where the first line of FILE is the password.")
        try:
            password = Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise UserError("The password file {file} cannot be read: {reason}.", file=path, reason=reason) from error
        if not password:
            raise UserError("The password file {file} is empty: write the password in its first line.", file=path)
        return cls(user, password)


@dataclass(frozen=True)
class UiSettings:
    """How the page is served.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        root_path: Path below which the page lies, such as "/merau"; "" for the whole name.
        login: The user who may log in; None serves the page without a login.
        share: Serve the page under a public link, too.
        visitors: Webcams that are analysed at a time.
        waiting: Webcams that may wait in the queue; later ones are refused.
        visit_s: A visitor's webcam is stopped after this time.
        retention_h: Events are deleted this long after they were recorded, sessions this long after their end.
        upload_mb: Largest file that may be uploaded.
        reserve_mb: Uploads leave so much of the disk free.
        allowed_hosts: Names by which the page may be addressed, besides those of this machine and any IP address.
        trusted_proxies: Addresses or networks of proxies whose forwarded headers are believed.
        embedders: Origins of sites that may show the page in a frame, such as "https://site.example". Only without a
            login: a site could make its visitors click what they do not see.
        recordings: Folder of videos that may be chosen for analysis.
        decode: Where RTSP cameras and watched files are decoded.
        purpose: Recorded as the purpose of the server's cameras; giving it states that everyone in view has consented.
            With None the page asks before the first frame is analysed.
        remembers: Go on with the consent and the few-shot heads of an earlier run, for the server's cameras.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    root_path: str = ""
    login: Login | None = None
    share: bool = False
    visitors: int = 2
    waiting: int = 8
    visit_s: float = 1800.0
    retention_h: float = 24.0
    upload_mb: int = 500
    reserve_mb: int = 1000
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    embedders: tuple[str, ...] = ()
    recordings: Path | None = None
    decode: Literal["cpu", "cuda"] = "cpu"
    purpose: str | None = None
    remembers: bool = False

    def __post_init__(self) -> None:
        check_range(self, "port", low=0, high=65535)
        is_path = ROOT_PATH.fullmatch(self.root_path) is not None
        check(self, "root_path", is_path, "a path such as /merau, without a / at its end")
        check_range(self, "visitors", "upload_mb", low=1)
        check_range(self, "waiting", "reserve_mb", low=0)
        check_range(self, "visit_s", above=0)
        check_range(self, "retention_h", above=0, high=MAX_RETENTION_H)
        check_choice(self, "decode", ("cpu", "cuda"))
        check(self, "allowed_hosts", all(map(_is_host, self.allowed_hosts)), "names without scheme, port and path")
        check(self, "trusted_proxies", all(map(_is_network, self.trusted_proxies)), "IP addresses or networks")
        is_open = not self.embedders or (self.login is None and all(map(_is_origin, self.embedders)))
        check(self, "embedders", is_open, "origins such as https://site.example, and only without a login")
        folder = self.recordings
        is_readable = folder is None or (folder.is_dir() and os.access(folder, os.R_OK))
        check(self, "recordings", is_readable, "a folder that exists and may be read")

    @property
    def is_local(self) -> bool:
        """Whether the page is for this machine only, and therefore needs no login."""
        is_remote = self.share or self.allowed_hosts or self.trusted_proxies
        return self.login is None and self.host in LOOPBACK and not is_remote

    @property
    def is_trusted(self) -> bool:
        """Whether everyone who reaches the page may see and control the server's own cameras."""
        return self.login is not None or self.is_local


def _is_host(name: str) -> bool:
    return bool(name) and all(part.replace("-", "").replace("_", "").isalnum() for part in name.split("."))


def _is_origin(text: str) -> bool:
    scheme, _, host = text.partition("://")
    return scheme == "https" and _is_host(host)


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
