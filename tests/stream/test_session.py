import pytest

from merau.engine.recognizer import Recognizer
from merau.stream.demo import CLIP
from merau.stream.pipeline import Pipeline
from merau.stream.session import run_session
from merau.stream.sources import open_source
from merau.stream.store import Store, read_events, read_faces, read_sessions


def test_session_closed_early_is_ended_with_its_events(tmp_path):
    with Store(tmp_path / "merau.db") as store, open_source(str(CLIP)) as source:
        pipeline = Pipeline(source.name, Recognizer.load(device="cpu"))
        results = run_session(source, pipeline, store)
        event = next(event for result in results for event in result.events)
        results.close()
    assert [stored.id for stored in read_events(store.path)] == [event.id]
    (session,) = read_sessions(store.path)
    assert session.ended
    assert session.partial
    assert session.source == source.name
    assert session.frames > 30
    (face,) = read_faces(store.path, session.id)
    assert 0 == face.from_s < face.to_s <= session.end_s
    assert 0.5 * face.to_s < face.analysed_s <= face.seen_s == pytest.approx(face.to_s)
