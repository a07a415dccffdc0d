import json

from tests.stream.commands.process import run_merau


def test_demo_json_holds_ground_truth_and_events(tmp_path):
    done = run_merau("demo", "--json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    found = [span for span in document["truth"] if span["verdict"].startswith("found")]
    assert len(found) >= 5
    assert {span["event"] for span in found} <= {event["id"] for event in document["events"]}
    assert (tmp_path / "demo.html").read_text().startswith("<!doctype html>")
