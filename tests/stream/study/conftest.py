"""A store of a made-up study: six participants, each seen for two minutes at rest and under stress."""

import pytest

from merau.stream.events import Coding, Event
from merau.stream.store import FaceTime, Store

MICROS = {"rest": (1, 2, 0, 1, 1, 2), "stress": (4, 6, 3, 5, 4, 6)}  # of each participant
SECONDS = 120.0


def make_event(number: int, kind: str, onset_s: float, duration_s: float, **changes) -> Event:
    fields = {
        "id": f"1-{number}",
        "source": "",
        "track": 1,
        "kind": kind,
        "onset_s": onset_s,
        "apex_s": onset_s + duration_s / 2,
        "offset_s": onset_s + duration_s,
        "onset_wall": None,
        "strength": 1.0 + number / 10,
        "aus": {"12": 0.9, "6": 0.4} if kind == "micro" else {},
        "probabilities": {"positive": 0.9} if kind == "micro" else {},
        "label": "positive" if kind == "micro" else "",
        "uncertain": False,
        "quality": 0.9,
        "final": True,
        "bundle": "default",
        "bundle_sha256": "ab" * 32,
    }
    return Event(**(fields | changes))


def add_session(store: Store, source: str, events, *, precision: str = "int8", partial: bool = False, end_s=SECONDS):
    session = store.start_session(
        source,
        settings={"precision": precision},
        bundle="default",
        bundle_sha256="ab" * 32,
        content_sha256=source,
        partial=True,
    )
    for event in events:
        store.put(session, event)
    store.put_face(session, FaceTime(1, 0.0, end_s, end_s, end_s / 2))
    store.update_session(
        session, wall_zero=None, frames=0, dropped=0, gaps=[], ended=True, partial=partial, end_s=end_s
    )
    return session


@pytest.fixture(scope="session")
def study_store(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "merau.db"
    with Store(path) as store:
        for condition, numbers in MICROS.items():
            for person, number in enumerate(numbers, 1):
                micros = [make_event(i, "micro", 10 * i + 1, 0.4) for i in range(number)]
                blinks = [make_event(50 + i, "blink", 20 * i + 5, 0.2) for i in range(3)]
                add_session(store, f"/data/P{person:02d}/{condition}.mp4", micros + blinks)
        store.put_coding(Coding(7, "1-0", coder="Ann", is_false=True))
        store.put_coding(
            Coding(7, "missed-1", "Ann", "macro", "negative", ("4",), 60.0, 61.0, 62.0, track=1, is_missed=True)
        )
    return path
