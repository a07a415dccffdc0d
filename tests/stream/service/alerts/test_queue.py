import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from merau.engine.errors import UserError
from merau.stream.service.alerts.queue import AlarmQueue

FILL = """
import sys, time
from pathlib import Path
from merau.stream.service.alerts.queue import AlarmQueue
queue = AlarmQueue(Path(sys.argv[1]))
for n in range(100):
    queue.put("mqtt", f"key {n}", "{}")
    print(n, flush=True)
time.sleep(60)
"""


def test_queue_survives_kill(tmp_path):
    command = [sys.executable, "-c", FILL, tmp_path / "alarms.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        put = next(int(line) for line in process.stdout if int(line) >= 20)
        os.kill(process.pid, signal.SIGKILL)
    queue = AlarmQueue(tmp_path / "alarms.db")
    waiting = queue.counts()["mqtt", "waiting"]
    assert waiting > put
    assert not queue.put("mqtt", "key 3", "{}")  # it is known
    assert queue.counts() == {("mqtt", "waiting"): waiting}


def test_alarm_goes_through_its_states(tmp_path):
    queue = AlarmQueue(tmp_path / "alarms.db")
    assert queue.put("mqtt", "a", "{}") and queue.put("webhook:x", "a", "{}")
    first = queue.next_due("mqtt")
    queue.note_failed(first, "down", 100.0)
    assert queue.next_due("mqtt") is None
    queue.set_aside(queue.next_due("webhook:x"), "no such page")
    assert [(letter.receiver, letter.tries, letter.error) for letter in queue.dead_letters()] == [
        ("webhook:x", 1, "no such page")
    ]
    assert queue.revive() == 1
    queue.note_delivered(queue.next_due("webhook:x"))
    assert queue.counts() == {("mqtt", "waiting"): 1, ("webhook:x", "delivered"): 1}
    assert not queue.put("webhook:x", "a", "{}")
    queue.forget_old()
    assert ("webhook:x", "delivered") in queue.counts()


def test_file_of_another_program_is_refused(tmp_path):
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE notes (text)")
    with pytest.raises(UserError, match="no queue of alarms"):
        AlarmQueue(other)
    with pytest.raises(UserError, match="cannot be opened"):
        AlarmQueue(tmp_path / "missing" / "alarms.db")
