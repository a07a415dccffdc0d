"""`merau analyse`: a recording from end to end into the store, every export and one HTML report."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from merau.engine.bundle import Bundle
from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.events import Event
from merau.stream.export import FORMATS, atomic_write
from merau.stream.formatting import event_line, format_timestamp, pluralize
from merau.stream.pipeline import Pipeline, PipelineSettings
from merau.stream.report import render
from merau.stream.session import run_session
from merau.stream.sources import File
from merau.stream.sources.source import END_OF_FILE
from merau.stream.store import Store
from merau.stream.summary import Summary


@dataclass(frozen=True)
class Analysis:
    """What came of one recording; `note` says what was odd about the file, "" for nothing."""

    summary: Summary
    elapsed_s: float
    note: str

    @property
    def document(self) -> dict[str, Any]:
        """What `merau analyse FILE --json` prints."""
        return self.summary.document(self.elapsed_s)


def analyse(
    source: File,
    recognizer: Recognizer,
    settings: PipelineSettings,
    *,
    store: Store | None,
    pictures: bool = True,
    said: Callable[[Event], None] = lambda event: None,
) -> Analysis:
    """Run an opened file through the pipeline; `said` hears every event as it is said. A report needs `pictures`."""
    began_s = time.monotonic()
    pipeline = Pipeline(source.name, recognizer, settings, wall_zero=source.wall_zero, keep_pictures=pictures)
    summary = Summary(source.name, source.duration_s)
    with closing(run_session(source, pipeline, store)) as updates:
        for update in tqdm(updates, total=source.frames_total, unit=" frames", leave=False, disable=None):
            summary.add(update)
            for event in update.events:
                said(event)
    reason = source.state().reason
    return Analysis(summary, time.monotonic() - began_s, "" if reason == END_OF_FILE else str(reason or ""))


class Results:
    """Where analyses go: a store, and a folder for exports and reports; either may be None.

    Raises UserError at once when the folder or the store cannot be written.
    """

    def __init__(self, folder: Path | None, store: Path | None, *, keep_pictures: bool = False) -> None:
        self._folder = folder
        self._names: set[str] = set()
        if folder:
            _make(folder)
        self.store = Store(store, keep_pictures=keep_pictures) if store else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.store:
            self.store.close()

    def write(self, analysis: Analysis, bundle: Bundle, *, truth: list[dict[str, Any]] | None = None) -> list[Path]:
        """Every export and, last, the report, named after the recording; returns the paths."""
        if not self._folder:
            return []
        name = self._folder / self._name(analysis.summary.source)
        written = []
        for format, write in FORMATS.items():
            written.append(name.with_name(f"{name.name}.{format}"))
            with atomic_write(written[-1]) as file:
                write(analysis.summary.events, file)
        written.append(name.with_name(f"{name.name}.html"))
        with atomic_write(written[-1]) as file:
            file.write(render(analysis.summary, elapsed_s=analysis.elapsed_s, bundle=bundle, truth=truth).encode())
        return written

    def _name(self, source: str) -> str:
        """The recording's stem, numbered where an earlier one has taken it."""
        stem = name = Path(source).stem
        number = 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name)
        return name


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"Nothing can be written in the folder {folder}: permission denied.")


def told(analysis: Analysis, written: list[Path]) -> str:
    """The outcome for a person: counts, every event, and where the report lies."""
    summary = analysis.summary
    rate = f"{summary.frames / max(analysis.elapsed_s, 1e-3):.0f} frames/s"
    rows = [
        f"{summary.source}: {pluralize(summary.frames, 'frame')}, {format_timestamp(summary.duration_s)} long, "
        f"analysed at {rate}, "
        f"{pluralize(len(summary.tracks), 'face')}, {pluralize(len(summary.events), 'event')}.",
        *([f"Note: {analysis.note}"] if analysis.note else []),
        *map(event_line, summary.events),
        *([f"The report: {written[-1]}"] if written else []),
    ]
    return "\n".join(rows)
