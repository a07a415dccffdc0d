"""The store and its retention while the wall clock is set."""

from datetime import UTC, datetime

import pytest

from merau.stream.store import Store, read_events, read_sessions
from merau.stream.store.clock import SteadyClock

HOUR_S = 3600.0
RETENTION_H = 24.0
RETAINED = {"settings": {}, "bundle": "b", "bundle_sha256": "s", "retention_h": RETENTION_H}


class Computer:
    """A wall clock that may be set, and the seconds since the start."""

    def __init__(self) -> None:
        self.elapsed_s, self.step_s, self._start_s = 0.0, 0.0, datetime.now(UTC).timestamp()

    def wall(self) -> float:
        return self._start_s + self.elapsed_s + self.step_s

    def clock(self) -> SteadyClock:
        """The clock of a program that is started now."""
        return SteadyClock(self.wall, lambda: self.elapsed_s)

    def iso(self) -> str:
        return datetime.fromtimestamp(self.wall(), UTC).isoformat(timespec="milliseconds")


@pytest.mark.parametrize("step_h", [48.0, -48.0, -1.0, 0.0])
def test_events_live_as_long_as_stated_whenever_the_clock_is_set(tmp_path, make_event, step_h):
    computer, path = Computer(), tmp_path / "events.db"
    with Store(path, clock=computer.clock()) as store:
        session = store.start_session("cam", **RETAINED)

        def ids_after(hours: float) -> list[str]:
            computer.elapsed_s += hours * HOUR_S
            store.purge_expired()
            store.flush()
            return [event.id for event in read_events(path)]

        store.put(session, make_event(id="before", onset_wall=computer.iso()))
        assert ids_after(1.0) == ["before"]
        computer.step_s = step_h * HOUR_S
        store.put(session, make_event(id="after", onset_wall=computer.iso()))
        store.put(session, make_event(id="of a film", onset_wall="2099-01-01T00:00:00.000+00:00"))
        assert ids_after(0.1) == ["after", "before", "of a film"]
        assert ids_after(22.8) == ["after", "before", "of a film"]
        assert ids_after(0.2) == ["after", "of a film"]
        assert ids_after(1.1) == []


@pytest.mark.parametrize("wrong_h", [48.0, -48.0])
def test_next_program_deletes_nothing_early_and_all_in_time(tmp_path, make_event, wrong_h):
    computer, path, left = Computer(), tmp_path / "events.db", []
    computer.step_s = wrong_h * HOUR_S  # as after a start without a network
    with Store(path, clock=computer.clock()) as store:
        session = store.start_session("cam", **RETAINED)
        computer.step_s = 0
        store.put(session, make_event(onset_wall=computer.iso()))
        store.update_session(session, wall_zero=None, frames=1, dropped=0, gaps=[], ended=True)
    computer.elapsed_s += 60.0
    for _ in range(3):  # programs, 10 h each
        with Store(path, clock=computer.clock()) as store:
            store.settle_ages()
            computer.elapsed_s += 10 * HOUR_S
            store.purge_expired()
            store.flush()
            left.append((len(read_sessions(path)), len(list(read_events(path)))))
    assert left == [(1, 1), (1, 1), (0, 0)]
