"""The store and its retention while the wall clock is set."""

from datetime import UTC, datetime

import pytest

from merau.stream.store import Store, read_events
from merau.stream.ui.retention_clock import RetentionClock

HOUR_S = 3600.0
RETENTION_H = 24.0


@pytest.mark.parametrize("step_h", [48.0, -48.0, 0.0])
def test_events_live_as_long_as_stated_whenever_the_clock_is_set(tmp_path, make_event, step_h):
    elapsed_s, step_s = 0.0, 0.0
    path, start_s = tmp_path / "events.db", datetime.now(UTC).timestamp()

    def wall() -> float:
        return start_s + elapsed_s + step_s

    clock = RetentionClock(RETENTION_H, wall, lambda: elapsed_s)
    with Store(path) as store:
        session = store.start_session("cam", settings={}, bundle="b", bundle_sha256="s", retention_h=RETENTION_H)

        def ids_after(hours: float) -> list[str]:
            nonlocal elapsed_s
            elapsed_s += hours * HOUR_S
            store.purge_expired(clock.now())
            store.flush()
            return [event.id for event in read_events(path)]

        def put(event_id: str) -> None:
            store.put(session, make_event(id=event_id, onset_wall=datetime.fromtimestamp(wall(), UTC).isoformat()))

        put("before")
        assert ids_after(1.0) == ["before"]
        step_s = step_h * HOUR_S
        put("after")
        assert ids_after(0.1) == ["after", "before"]
        assert ids_after(22.8) == ["after", "before"]
        if step_h >= 0:
            assert ids_after(0.2) == ["after"]
            assert ids_after(1.1) == []
