"""The record of an output folder: which run wrote which files, and whether somebody changed them since.

It is a JSON file in the folder. A file that is not in the record counts as somebody's own.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from merau.engine.files import atomic_write

RECORD = ".merau-exports.json"


@dataclass
class Exports:
    """The files that one run wrote under one name.

    Attributes:
        run: Digest of the run's key.
        content_sha256: Hash of the recording.
        partial: Whether the run was interrupted.
        files: Hash of each file, by the suffix of its name.
    """

    run: str
    content_sha256: str
    partial: bool
    files: dict[str, str] = field(default_factory=dict)


class ExportRecord:
    """The record of `folder`.

    Attributes:
        exports: What runs wrote, by the name that their files share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.exports: dict[str, Exports] = {}
        try:
            known = json.loads((folder / RECORD).read_text())
            self.exports = {name: Exports(**fields) for name, fields in known.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass  # without a record every file counts as somebody's own: none is lost

    def path(self, name: str, suffix: str) -> Path:
        """Path of one file."""
        return self._folder / f"{name}.{suffix}"

    def changed(self, name: str, suffixes: Iterable[str]) -> list[Path]:
        """Return the files of this name that are there and are not as they were written."""
        known = self.exports[name].files if name in self.exports else {}
        paths = {suffix: self.path(name, suffix) for suffix in suffixes}
        return [path for suffix, path in paths.items() if path.exists() and _sha256(path) != known.get(suffix)]

    def find(self, run: str, suffixes: Iterable[str]) -> str | None:
        """Return the name under which a whole run has all its files; None if there is none."""
        for name, exports in self.exports.items():
            if exports.run == run and not exports.partial and all(self.path(name, s).exists() for s in suffixes):
                return name
        return None

    def add(self, name: str, suffix: str) -> None:
        """Record that a file of this name was written just now."""
        self.exports[name].files[suffix] = _sha256(self.path(name, suffix))

    def save(self) -> None:
        """Write the record. Raises UserError when that fails."""
        with atomic_write(self._folder / RECORD) as file:
            file.write(json.dumps({name: asdict(exports) for name, exports in self.exports.items()}, indent=1).encode())


def _sha256(path: Path) -> str:
    """Hash of a file; empty for what cannot be read as one."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
