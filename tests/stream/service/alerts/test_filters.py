from datetime import datetime

import pytest

from merau.stream.service.alerts.filters import AlarmFilter
from merau.stream.service.alerts.settings import Filter

NOON = datetime(2026, 3, 2, 12).astimezone()
NIGHT = datetime(2026, 3, 2, 2).astimezone()


@pytest.mark.parametrize(
    ("settings", "event"),
    [
        ({}, {"final": False}),
        ({}, {"kind": "blink"}),
        ({"cameras": ["gate"]}, {}),
        ({"groups": ["yard"]}, {}),
        ({"classes": ["surprise"]}, {}),
        ({"classes": ["negative"]}, {"uncertain": True}),
        ({"min_probability": 0.9}, {}),
        ({"min_probability": 0.1}, {"label": "", "probabilities": {}}),
    ],
)
def test_event_that_does_not_match_is_left_out(settings, event, happen):
    settings = Filter.model_validate(settings)
    assert AlarmFilter(settings).judge(happen(**event), NOON) == "no_match"
    assert AlarmFilter(Filter()).judge(happen(), NOON) == "alarm"


def test_nights_are_quiet(happen):
    quiet = AlarmFilter(Filter(quiet_hours=("22:00-06:00",)))
    assert [quiet.judge(happen(), at) for at in (NOON, NIGHT)] == ["alarm", "quiet_hours"]


def test_rate_limit_counts_each_camera_and_minute(happen):
    clock_s = [0.0]
    limited = AlarmFilter(Filter(per_minute=2), lambda: clock_s[0])
    assert [limited.judge(happen(n), NOON) for n in range(3)] == ["alarm", "alarm", "rate_limit"]
    assert limited.judge(happen(camera="gate"), NOON) == "alarm"
    clock_s[0] = 60.0
    assert limited.judge(happen(4), NOON) == "alarm"
