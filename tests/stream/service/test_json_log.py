import json
import logging
import sys

from merau.stream.service.json_log import JsonFormatter


def record(text: str, *values, **extra) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": text, "args": values, "levelname": "WARNING", "threadName": "supervisor"})
    made.__dict__.update(extra)
    return made


def test_line_has_time_level_and_camera():
    told = json.loads(JsonFormatter().format(record("%s: lost\n\x1b[2J", "Tür", camera="Tür")))
    assert told.pop("time").endswith("+00:00")
    assert told == {"level": "warning", "message": "Tür: lost\n\N{REPLACEMENT CHARACTER}[2J", "camera": "Tür"}


def test_line_without_camera_has_thread_and_traceback():
    try:
        raise ValueError("oh")
    except ValueError:
        line = JsonFormatter().format(record("failed", exc_info=sys.exc_info()))
    assert "\n" not in line
    told = json.loads(line)
    assert told["thread"] == "supervisor" and "ValueError: oh" in told["traceback"]
