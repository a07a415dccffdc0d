import json

import pytest

from merau.stream.cli import main
from merau.stream.commands import demo


@pytest.fixture(autouse=True)
def _short_clip(clip, monkeypatch):
    """Only the first two movements of the ground truth are in the clip."""
    monkeypatch.setattr(demo, "CLIP", clip)


def test_demo_json_holds_ground_truth_and_events(tmp_path, capsys):
    assert main(["demo", "--json", "--out", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [span["verdict"].split(",")[0] for span in document["truth"][:3]] == ["found", "found", "missed"]
    assert [span["event"] for span in document["truth"][:2]] == [event["id"] for event in document["events"][:2]]


def test_demo_prints_events_comparison_and_report(tmp_path, capsys):
    assert main(["demo", "--no-ui", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "  provisional  micro · surprise " in printed
    assert "\nground truth " in printed
    assert printed.endswith(f"\n\nReport: {tmp_path / 'short.html'}\n")
    assert (tmp_path / "short.html").read_text().startswith("<!doctype html>")
