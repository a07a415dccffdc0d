"""The field's spotting protocol on intervals written by hand, beside what public scoring codes make of them."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.cli import main
from merau.trainers.evaluate.intervals import SCORED_AS, Interval, iou, read_intervals, score_intervals

TRUE = [
    Interval("a", "1", "micro", 10, 19, "negative"),
    Interval("a", "1", "micro", 24, 33, "surprise"),
    Interval("a", "2", "macro", 5, 64, "positive"),
    Interval("b", "1", "micro", 40, 49, "negative"),
]
SPOTTED = [
    Interval("a", "1", "micro", 10, 19, "negative"),
    Interval("a", "1", "micro", 12, 20, "surprise"),  # the first once more
    Interval("a", "2", "macro", 10, 60, "positive"),
    Interval("c", "1", "micro", 1, 9, "negative"),  # a video without truth
]


def test_frames_are_inclusive():
    assert iou(TRUE[0], Interval("a", "1", "micro", 15, 19)) == 0.5
    assert iou(TRUE[0], Interval("a", "1", "micro", 20, 29)) == 0.0


def test_megc_matches_one_to_one_and_counts_everybody():
    scored = score_intervals(TRUE, SPOTTED)
    assert (scored["micro"]["found"], scored["micro"]["true"], scored["micro"]["spotted"]) == (1, 3, 3)
    assert scored["macro"]["f1"] == 1.0
    assert scored["overall"]["f1"] == pytest.approx(2 * 2 / (4 + 4))
    assert scored["classes"] == {"f1": 1.0, "uf1": 1.0, "uar": 1.0, "strs": 0.5}


def test_megc_finds_the_largest_matching():
    rng = np.random.default_rng(0)
    for _ in range(30):
        true, spotted = (
            [Interval("a", "1", "micro", o, o + rng.integers(4, 12)) for o in rng.integers(0, 25, 4)] for _ in range(2)
        )
        best = max(
            sum(iou(t, s) >= 0.5 for t, s in zip(true, order, strict=True)) for order in itertools.permutations(spotted)
        )
        assert score_intervals(true, spotted)["micro"]["found"] == best


def test_public_codes_give_other_scores_on_the_same_intervals():
    found = {name: score_intervals(TRUE, SPOTTED, name)["micro"] for name in SCORED_AS}
    assert found["strs"] == {"true": 3, "spotted": 2, "found": 2, "precision": 1.0, "recall": 0.6667, "f1": 0.8}
    assert found["auw-gcn"]["f1"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["me-tst"]["f1"] == found["megc"]["f1"] == pytest.approx(1 / 3, abs=1e-4)
    many = [TRUE[0]] * 3  # one true interval, spotted three times
    assert score_intervals(TRUE[:1], many, "auw-gcn")["micro"]["f1"] == 1.5


def write(path: Path, rows: list[Interval]) -> Path:
    lines = [f"{i.subject},{i.video},{i.kind},{i.onset},{i.offset},{i.label}" for i in rows]
    path.write_text("subject,video,kind,onset,offset,label\n" + "\n".join(lines) + "\n")
    return path


def test_command_scores_two_tables(tmp_path, capsys):
    truth, spotted = write(tmp_path / "truth.csv", TRUE), write(tmp_path / "spotted.csv", SPOTTED)
    command = ["evaluate", "--protocol", "spotting", "--truth", str(truth), "--spotted", str(spotted)]
    assert main(command) == 0
    assert '"scored_as": "megc"' in capsys.readouterr().out
    assert main([*command, "--score-as", "strs"]) == 0
    assert '"scored_as": "strs"' in capsys.readouterr().out
    assert main(command[:3]) == 1
    assert "--truth" in capsys.readouterr().err


def test_wrong_tables_are_named(tmp_path):
    wrong = write(tmp_path / "wrong.csv", [Interval("a", "1", "micro", 9, 3)])
    with pytest.raises(UserError, match="line 2: onset and offset"):
        read_intervals(wrong)
