"""Addresses of cameras: what of them may be shown, and passwords that are given apart from them."""

import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from merau.engine.errors import UserError

HIDDEN = "***"
# Parameters of cameras' addresses that say which picture is wanted; what any other one says is hidden.
HARMLESS = re.compile(
    "audio|bitrate|cam|camera|ch|channel|chn|codec|compression|enablesrtp|fps|framerate|height|id|input|inst|multicast"
    "|overlay|profile|proto|quality|rate|resolution|size|source|stream|streamtype|subtype|track|trackid|transport"
    "|transportmode|unicast|video|videocodec|width",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"([^/?&;=\s]+)=([^/?&;\s]*)")
# Parts that name a secret in a path, and parts that look like one: long, without words, of letters and digits.
_NAMED = re.compile(
    r"(/(?:token|key|auth|password|passwd|pass|pwd|pw|secret|sig|signature|sid|session)/)[^/?&;\s]+", re.IGNORECASE
)
_TOKEN = re.compile(
    r"(?<![^/?&;])"
    r"(?=[^/?&;]*\d)(?=[^/?&;]*[A-Za-z])"
    r"(?:[A-Za-z0-9]{16,}|[0-9A-Fa-f-]{32,}|[A-Za-z0-9_.~-]{24,})"
    r"(?![^/?&;])"
)


def redact(url: str) -> str:
    """Remove what may be secret from a URL, for a screen, a log and a store.

    Passwords may contain any character, '@' and '/' too, so everything up to the last '@' is removed. In path and
    query, the values of parameters become ***, but for those that choose a picture, and so do parts that look like
    tokens.
    """
    scheme = re.match(r"\w+://|rtsps?:", url, re.IGNORECASE)
    if not scheme:
        return url
    rest = url[scheme.end() :]
    if re.match(r"[^/]*[:@]", rest):
        rest = rest.rpartition("@")[2]
    host = re.split("[/?;]", rest, maxsplit=1)[0]
    path = _TOKEN.sub(HIDDEN, _NAMED.sub(rf"\1{HIDDEN}", rest[len(host) :]))
    return scheme[0] + host + _PARAMETER.sub(_shown, path)


def _shown(parameter: re.Match[str]) -> str:
    name, value = parameter.groups()
    return parameter[0] if HARMLESS.fullmatch(name) and not _TOKEN.fullmatch(value) else f"{name}={HIDDEN}"


def lacks_password(spec: str) -> bool:
    """Tell whether the address of a camera names a user, but no password."""
    try:
        parts = urlsplit(spec)
    except ValueError:
        return False
    return parts.scheme.lower() in ("rtsp", "rtsps") and bool(parts.username) and parts.password is None


def with_password(spec: str, password: str) -> str:
    """Put a password into the address of a camera that names a user."""
    user, at, rest = spec.partition("@")
    return f"{user}:{quote(password, safe='')}{at}{rest}"


def read_addresses(path: Path) -> list[str]:
    """Read sources from a file, one on each line; empty lines and lines that begin with # are left out.

    Raises:
        UserError: The file cannot be read, or names no source.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError("The file {file} with the source cannot be read: {reason}.", file=path, reason=reason) from None
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise UserError("The file {file} names no source: write one on each line.", file=path)
    return found
