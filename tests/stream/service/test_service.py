"""What a service does after an earlier one was killed."""

from merau.stream.service.alerts.alarms import Alerts
from merau.stream.service.alerts.queue import AlarmQueue
from merau.stream.service.alerts.settings import AlertsConfig
from merau.stream.service.service import Service
from merau.stream.store import Store
from tests.stream.ui.waiting import wait_for

CONFIG = AlertsConfig(webhooks=[{"name": "hook", "url": "http://127.0.0.1:1/", "secret": "a secret of the test"}])


def test_events_between_store_and_queue_are_caught_up_once(tmp_path, happen):
    path, store = tmp_path / "alarms.db", Store(tmp_path / "store.db")
    events = [happen(number, onset_wall=happen(number).wall.isoformat()) for number in range(4)]
    for name in ("door", "interview.mp4"):  # the second is nobody's camera
        session = store.start_session(name, settings={}, bundle="default", bundle_sha256="ab")
        for event in events:
            store.put(session, event.event)
    store.flush()
    killed = Alerts(CONFIG, path)
    killed.put(events[0])
    wait_for(lambda: killed.status()[0].waiting == 1, "the first alarm")
    killed.close()
    queue = AlarmQueue(path)
    queue.note_told("2026-01-01T00:00:00.000+00:00")  # as if it had been killed before the others
    queue.close()
    for _ in range(2):
        alerts = Alerts(CONFIG, path)
        service = Service(store, alerts)
        service.catch_up({"door": "hall"})
        wait_for(lambda alerts=alerts: alerts.status()[0].waiting == 4, "all alarms")
        service.close()
        alerts.close()
    store.close()
