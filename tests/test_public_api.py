"""The public API: the names of `merau.__all__`, and what its functions return for the start of the demo clip."""

import csv
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import merau
from merau.stream.export import write_csv
from tests.clips import demo_start

PUBLIC = [
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
ROOMS = {"calib", "engine", "stream", "trainers"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's first seconds: a blink and a micro-expression."""
    return demo_start(tmp_path_factory.mktemp("clip") / "start.mp4", 4.5)


@pytest.fixture(scope="module")
def recognizer() -> merau.Recognizer:
    return merau.Recognizer.load(device="cpu")


@pytest.fixture(scope="module")
def events(clip: Path, recognizer: merau.Recognizer) -> list[merau.Event]:
    return merau.analyse(clip, recognizer=recognizer)


def test_public_names_are_pinned():
    assert merau.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(merau))
    for name in PUBLIC:
        assert getattr(merau, name), name
    assert merau.__version__[0].isdecimal()


def test_nothing_is_exported_by_accident():
    visible = {name for name in vars(merau) if not name.startswith("_")}
    assert visible - set(PUBLIC) - ROOMS == {"annotations", "TYPE_CHECKING"}
    with pytest.raises(AttributeError, match="no attribute 'analyze_all'"):
        merau.analyze_all  # noqa: B018


def test_import_loads_no_heavy_library():
    code = "import sys, merau; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "merau" in loaded
    for name in ("cv2", "numpy", "numba", "onnxruntime", "pandas", "gradio"):
        assert f"'{name}'" not in loaded


def test_stream_stays_a_function_after_imports():
    code = (
        "import merau, merau.stream.events, merau.stream.pipeline; print(merau.stream.__name__, merau.Event.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["stream", "Event"]


def test_analyse_returns_final_events_by_onset(events):
    assert [event.kind for event in events] == ["blink", "micro"]
    assert all(isinstance(event, merau.Event) and event.final for event in events)
    assert events[0].onset_s < events[1].onset_s < events[1].apex_s < events[1].offset_s


def test_stream_yields_provisional_then_final(clip, recognizer, events):
    seen: dict[str, list[bool]] = {}
    for event in merau.stream(str(clip), recognizer=recognizer):
        seen.setdefault(event.id, []).append(event.final)
    assert set(seen) >= {event.id for event in events}
    assert all(finals[-1] and not any(finals[:-1]) for finals in seen.values())
    assert any(finals[0] is False for finals in seen.values())


def test_stream_closed_early_stops_its_source(clip, recognizer):
    before = set(threading.enumerate())
    events = merau.stream(str(clip), recognizer=recognizer)
    assert set(threading.enumerate()) == before, "the source is opened at the first event"
    next(events)
    assert set(threading.enumerate()) > before
    events.close()
    assert set(threading.enumerate()) == before


def test_stream_leaves_a_given_source_to_its_caller(clip, recognizer, events):
    with merau.open_source(str(clip)) as source:
        assert sum(event.final for event in merau.stream(source, recognizer=recognizer)) == len(events)
        assert source.state().frames > 100


def test_analyse_missing_file_raises_user_error(tmp_path):
    with pytest.raises(merau.UserError, match="no file"):
        merau.analyse(tmp_path / "absent.mp4")
    with pytest.raises(merau.UserError, match="not a source"):
        next(merau.stream("http://example.org/camera"))


def test_dataframe_has_the_columns_of_the_csv(events):
    file = io.BytesIO()
    write_csv(events, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue().decode())))
    table = merau.to_dataframe(event for event in events)
    assert list(table.columns) == list(rows[0])
    assert table["kind"].tolist() == [row["kind"] for row in rows]
    assert table["apex_s"].tolist() == [float(row["apex_s"]) for row in rows]
    assert table["aus.1"].isna().tolist() == [True, False]
    assert table["final"].dtype == bool


def test_dataframe_of_no_events_keeps_the_columns():
    table = merau.to_dataframe(empty())
    assert len(table) == 0
    assert {"id", "kind", "onset_s", "label"} <= set(table.columns)


def empty() -> Iterator[merau.Event]:
    return iter(())
