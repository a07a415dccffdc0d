"""Alarms to a real web server, through the real queue."""

from collections.abc import Iterator

import pytest

from merau.stream.service.alerts.alarms import Alerts
from merau.stream.service.alerts.queue import AlarmQueue
from merau.stream.service.alerts.settings import AlertsConfig
from merau.stream.service.alerts.webhooks import sign
from tests.stream.service.alerts.support import SECRET, WebServer
from tests.stream.ui.waiting import wait_for


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server
        server.shutdown()


def test_alarm_is_signed_and_taken_once_after_errors(server, tmp_path, happen):
    server.statuses = [500]
    alerts = Alerts(server.config(), tmp_path / "alarms.db")
    for number, kind in enumerate(("micro", "blink", "micro")):
        alerts.put(happen(number, kind=kind))
    wait_for(lambda: len(server.taken) == 2, "both alarms")
    alerts.put(happen(0))  # reported again
    wait_for(lambda: alerts.status()[0].delivered == 2, "the answers")
    alerts.close()
    assert [status for status, *_ in server.got] == [500, 200, 200]
    keys = [headers["Idempotency-Key"] for _, headers, _ in server.got]
    assert len(set(keys)) == 2 and {alarm["key"] for alarm in server.taken} == set(keys)
    for _, headers, body in server.got:
        signed = sign(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        assert headers["webhook-signature"] == signed
    alarm = min(server.taken, key=lambda alarm: alarm["time"])
    assert (alarm["camera"], alarm["class"], alarm["probability"]) == ("door", "negative", 0.8)
    assert alarm["event"]["id"] == "1-0" and alarm["event_type"] == "micro"


def test_alarm_waits_for_the_next_start(server, tmp_path, happen):
    unreachable = AlertsConfig(
        webhooks=[{"name": "hook", "url": "http://127.0.0.1:1/", "secret": SECRET, "timeout_s": 1}]
    )
    alerts = Alerts(unreachable, tmp_path / "alarms.db")
    alerts.put(happen())
    wait_for(lambda: alerts.status()[0].failures, "a failed try")
    assert "does not answer" in alerts.status()[0].error
    alerts.close()
    again = Alerts(server.config(), tmp_path / "alarms.db")
    wait_for(lambda: server.taken, "the alarm")
    again.close()
    assert len(server.got) == 1


def test_changed_configuration_is_followed_and_loses_nothing(server, tmp_path, happen):
    alerts = Alerts(server.config(filter={"cameras": ["gate"]}), tmp_path / "alarms.db")
    alerts.put(happen(1))  # of another camera
    alerts.apply(server.config(filter={"cameras": ["door"]}, name="desk"))
    alerts.put(happen(2))
    wait_for(lambda: server.taken, "the alarm")
    assert [status.name for status in alerts.status()] == ["webhook:desk"]
    alerts.apply(AlertsConfig())
    alerts.put(happen(3))
    alerts.close()
    assert [alarm["event"]["id"] for alarm in server.taken] == ["1-2"]


def test_alarm_that_nobody_takes_becomes_a_dead_letter(server, tmp_path, happen):
    server.statuses = [404]
    alerts = Alerts(server.config(give_up_h=1e-9), tmp_path / "alarms.db")
    alerts.put(happen())
    wait_for(lambda: alerts.status()[0].dead, "the dead letter")
    alerts.close()
    queue = AlarmQueue(tmp_path / "alarms.db")
    assert [letter.error for letter in queue.dead_letters()] == ["webhook:hook answered 404."]
