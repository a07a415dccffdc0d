"""Real-time micro-expression recognition.

    import merau

    for event in merau.analyse("interview.mp4"):
        print(event.kind, event.onset_s, event.label)

The names in `__all__` are the public API; from version 0.2.0 they follow semantic versioning. Everything else is
internal and may change at any time. Classes are imported at first use: `import merau` itself takes milliseconds.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

# The package must be imported before the function of the same name is defined: its import sets this attribute.
_import_module("merau.stream")

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterable

    import pandas

    from merau.engine.errors import DeviceError, UserError
    from merau.engine.few_shot import FewShotHead, Sample, fit_few_shot
    from merau.engine.recognizer import Prediction, Recognizer
    from merau.stream.events import Event
    from merau.stream.pipeline import FrameResult, Pipeline, PipelineSettings
    from merau.stream.sources import Source, open_source
    from merau.stream.store import Store, read_events

    __version__: str

__all__ = [
    "DeviceError",
    "Event",
    "FewShotHead",
    "FrameResult",
    "Pipeline",
    "PipelineSettings",
    "Prediction",
    "Recognizer",
    "Sample",
    "Store",
    "UserError",
    "__version__",
    "analyse",
    "fit_few_shot",
    "open_source",
    "read_events",
    "stream",
    "to_dataframe",
]

_DEFINED_IN = {
    "DeviceError": "merau.engine.errors",
    "Event": "merau.stream.events",
    "FewShotHead": "merau.engine.few_shot",
    "FrameResult": "merau.stream.pipeline",
    "Pipeline": "merau.stream.pipeline",
    "PipelineSettings": "merau.stream.pipeline",
    "Prediction": "merau.engine.recognizer",
    "Recognizer": "merau.engine.recognizer",
    "Sample": "merau.engine.few_shot",
    "Store": "merau.stream.store",
    "UserError": "merau.engine.errors",
    "fit_few_shot": "merau.engine.few_shot",
    "open_source": "merau.stream.sources",
    "read_events": "merau.stream.store",
}


def analyse(
    path: str | os.PathLike[str], *, recognizer: Recognizer | None = None, settings: PipelineSettings | None = None
) -> list[Event]:
    """Analyse a recording from end to end.

    Args:
        path: A video file.
        recognizer: The default is the shipped bundle, on the GPU where there is one.
        settings: The default is `PipelineSettings()`.

    Returns:
        The final events of all faces, ordered by onset.

    Raises:
        UserError: The file is missing, or is not a video that can be decoded.
    """
    from merau.stream.events import sort_key
    from merau.stream.sources import File, SourceSettings

    with File(str(path), SourceSettings()) as source:
        final = [event for event in stream(source, recognizer=recognizer, settings=settings) if event.final]
    return sorted(final, key=sort_key)


def stream(
    source: str | Source, *, recognizer: Recognizer | None = None, settings: PipelineSettings | None = None
) -> Generator[Event]:
    """Analyse a source while it runs.

    Each event comes twice under the same `id`: provisional at its apex (`final` is False), and final after its offset.
    The source is opened at the first event asked for. Closing the generator stops the source.

    Args:
        source: A file's path, "rtsp://...", a camera's number or "/dev/videoN"; or a source from `open_source`,
            which the caller closes.
        recognizer: The default is the shipped bundle, on the GPU where there is one.
        settings: The default is `PipelineSettings()`.

    Yields:
        Provisional and final events, as they occur.

    Raises:
        UserError: The text names no source, or the source cannot be opened.
    """
    from contextlib import closing, nullcontext

    from merau.engine.recognizer import Recognizer
    from merau.stream.pipeline import Pipeline
    from merau.stream.sources import open_source

    with open_source(source) if isinstance(source, str) else nullcontext(source) as opened:
        pipeline = Pipeline(opened.name, recognizer or Recognizer.load(), settings, wall_zero=opened.wall_zero)
        with closing(pipeline.run(opened)) as results:
            for result in results:
                yield from result.events


def to_dataframe(events: Iterable[Event]) -> pandas.DataFrame:
    """Return one row an event, with the columns of the CSV export.

    The values keep their types. Nested fields become columns such as "aus.12" and "probabilities.positive"; they are
    NaN for events that were not classified.
    """
    import pandas

    from merau.stream.export import columns, flat_fields

    listed = list(events)
    return pandas.DataFrame([flat_fields(event) for event in listed], columns=columns(listed))


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("merau-live")
    elif name in _DEFINED_IN:
        value = getattr(_import_module(_DEFINED_IN[name]), name)
    else:
        raise AttributeError(f"module 'merau' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, including those not imported yet."""
    return sorted({*globals(), *__all__})
