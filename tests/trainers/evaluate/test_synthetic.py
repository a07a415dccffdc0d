import json

from merau.engine.bundle import SHIPPED
from merau.trainers.cli import main


def test_a_bundle_is_scored_on_its_own_classes_and_its_reliability_drawn(tmp_path):
    scores, drawn = tmp_path / "scores.json", tmp_path / "reliability.svg"
    where = ["--samples", "500", "--json", str(scores), "--reliability", str(drawn)]
    assert main(["evaluate", "--bundle", str(SHIPPED / "source"), *where]) == 0
    said = json.loads(scores.read_text())["kept_out_settings"]
    assert "disgust" in said["recall"]
    assert said["acc"] > 0.75
    assert said["ece"] < 0.1
    assert drawn.read_text().startswith("<svg")
