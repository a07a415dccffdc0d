"""The folder that `merau analyse` and `merau demo` write their results to."""

import os
from pathlib import Path
from typing import Any, Self

from merau.engine.bundle import Bundle
from merau.engine.errors import UserError
from merau.stream.analysis import Analysis
from merau.stream.export import FORMATS, atomic_write
from merau.stream.report import render_report
from merau.stream.store import Store


class OutputFolder:
    """A store, and a folder for exports and reports.

    Args:
        folder: Is made if missing; None writes neither exports nor reports.
        store: The SQLite file; None saves no events.
        keep_pictures: Whether the store keeps the events' images.

    Raises:
        UserError: The folder or the store cannot be written.
    """

    def __init__(self, folder: Path | None, store: Path | None, *, keep_pictures: bool = False) -> None:
        self._folder = folder
        self._used_names: set[str] = set()
        if folder:
            _make(folder)
        self.store = Store(store, keep_pictures=keep_pictures) if store else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.store:
            self.store.close()

    def write(self, analysis: Analysis, bundle: Bundle, *, truth: list[dict[str, Any]] | None = None) -> list[Path]:
        """Write every export and the report, named after the recording.

        Args:
            analysis: What was found.
            bundle: The recognizer's bundle.
            truth: Ground truth that the report shows beside the events.

        Returns:
            The paths of the files; the report is the last.
        """
        if not self._folder:
            return []
        name = self._unique_name(analysis.summary.source)
        paths = [self._folder / f"{name}.{suffix}" for suffix in (*FORMATS, "html")]
        for path, write in zip(paths, FORMATS.values(), strict=False):
            with atomic_write(path) as file:
                write(analysis.summary.events, file)
        with atomic_write(paths[-1]) as file:
            report = render_report(analysis.summary, elapsed_s=analysis.elapsed_s, bundle=bundle, truth=truth)
            file.write(report.encode())
        return paths

    def _unique_name(self, source: str) -> str:
        """Return the recording's stem, with a number if an earlier recording has the same."""
        stem = name = Path(source).stem
        number = 1
        while name in self._used_names:
            number += 1
            name = f"{stem}-{number}"
        self._used_names.add(name)
        return name


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            "The folder {folder} cannot be made: {reason}.", folder=folder, reason=error.strerror
        ) from error
    if not os.access(folder, os.W_OK):
        raise UserError("The folder {folder} is write-protected.", folder=folder)
