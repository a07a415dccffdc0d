import json

import pytest

from merau.stream.cli import main
from merau.stream.service.alerts.queue import AlarmQueue


@pytest.fixture
def queue(tmp_path, monkeypatch) -> AlarmQueue:
    """The default queue of a folder, with one dead letter and one alarm that waits."""
    monkeypatch.chdir(tmp_path)
    queue = AlarmQueue(tmp_path / "merau-alarms.db")
    for key in ("a", "b"):
        queue.put("webhook:hook", key, json.dumps({"camera": "door"}))
    queue.set_aside(queue.next_due("webhook:hook"), "webhook:hook answered 404.")
    return queue


def test_dead_letters_are_listed_and_tried_again(queue, capsys):
    assert main(["alerts"]) == 0
    waiting, dead = capsys.readouterr().out.splitlines()
    assert waiting == "1 alarm for webhook:hook waiting."
    assert dead.endswith("UTC · webhook:hook · door · 1 failure · webhook:hook answered 404.")
    assert main(["alerts", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["waiting"] == {"webhook:hook": 1} and listed["dead"][0]["alarm"] == {"camera": "door"}
    assert main(["alerts", "--retry", "all"]) == 0
    assert queue.counts() == {("webhook:hook", "waiting"): 2}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.db"], "There is no queue of alarms at missing.db."),
        (["--retry", "9"], "There is no dead letter 9"),
        (["--retry", "x"], "takes the number"),
    ],
)
def test_wrong_argument_is_explained(queue, arguments, told, capsys):
    assert main(["alerts", *arguments]) == 1
    assert told in capsys.readouterr().err
