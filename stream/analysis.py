"""Analysis of one recording from end to end."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from merau.engine.recognizer import Recognizer
from merau.stream.events import Event
from merau.stream.pipeline import Pipeline, PipelineSettings
from merau.stream.session import run_session
from merau.stream.sources import File
from merau.stream.store import Store
from merau.stream.summary import Summary


@dataclass(frozen=True)
class Analysis:
    """What was found in one recording.

    Attributes:
        summary: Events, tracks and notes.
        elapsed_s: How long the analysis took.
    """

    summary: Summary
    elapsed_s: float

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document that `merau analyse FILE --json` prints."""
        return self.summary.document(self.elapsed_s)


def analyse_file(
    source: File,
    recognizer: Recognizer,
    settings: PipelineSettings,
    *,
    store: Store | None,
    pictures: bool = True,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Analysis:
    """Run an opened file through the pipeline, with a progress bar on a terminal.

    Args:
        source: The opened file.
        recognizer: Classifies the events.
        settings: Settings of the pipeline.
        store: Where the events are saved; None for nowhere.
        pictures: Whether the events have images, which a report needs.
        on_event: Called with each event, provisional and final.
    """
    started_s = time.monotonic()
    pipeline = Pipeline(source.name, recognizer, settings, wall_zero=source.wall_zero, keep_pictures=pictures)
    summary = Summary(source.name, source.duration_s)
    with closing(run_session(source, pipeline, store)) as results:
        for result in tqdm(results, total=source.frames_total, unit=" frames", leave=False, disable=None):
            summary.add(result)
            for event in result.events:
                on_event(event)
    summary.notes += source.state().notes
    return Analysis(summary, time.monotonic() - started_s)
