"""The alerts' part of the configuration: what it takes, and what it says of what it does not."""

from datetime import time

import pytest
from pydantic import ValidationError

from merau.stream.service.alerts.settings import AlertsConfig, MqttConfig, parse_quiet_hours

HOOK = {"name": "hook", "url": "https://example.org/alarm", "secret": "sixteen characters"}


def test_nothing_configured_tells_nobody():
    assert AlertsConfig().is_empty
    assert not AlertsConfig(mqtt={"host": "broker"}).is_empty
    assert MqttConfig(host="broker", tls=True).broker_port == 8883


def test_secrets_are_not_printed():
    config = AlertsConfig(mqtt={"host": "broker", "password": "geheim"}, webhooks=[HOOK])
    assert "geheim" not in repr(config) + config.model_dump_json()
    assert "sixteen" not in repr(config) + config.model_dump_json()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mqtt": {"host": "broker", "topic": "home/#"}}, "topic"),
        ({"mqtt": {"host": "broker", "filter": {"quiet_hours": ["at night"]}}}, "22:00-06:00"),
        ({"mqtt": {"host": "broker", "filter": {"kinds": ["smile"]}}}, "'micro'"),
        ({"webhooks": [HOOK | {"url": "ftp://example.org"}]}, "http://"),
        ({"webhooks": [HOOK | {"url": "https://a:b@example.org"}]}, "no password"),
        ({"webhooks": [HOOK | {"secret": "short"}]}, "16"),
        ({"webhooks": [HOOK, HOOK]}, "two webhooks are named 'hook'"),
        ({"mail": {}}, "mail"),
    ],
)
def test_wrong_value_is_named(change, told):
    with pytest.raises(ValidationError) as error:
        AlertsConfig.model_validate(change)
    assert told in str(error.value)


def test_quiet_hours_are_read():
    assert parse_quiet_hours("22:00-06:30") == (time(22), time(6, 30))
    assert parse_quiet_hours("00:00 - 24:00") == (time(0), time(0))
    with pytest.raises(ValueError, match="no time of day"):
        parse_quiet_hours("22:75-06:00")
