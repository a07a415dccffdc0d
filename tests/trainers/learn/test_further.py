"""`merau-lab train --from BUNDLE --few-shot INDEX.csv`: a trunk learns a domain from a few samples."""

import numpy as np
import pytest
import torch

from merau.engine.preprocess import split_pattern_and_magnitude
from merau.trainers.cli import main
from merau.trainers.data import flow_set, labelled
from merau.trainers.data.synth.flow_fields import FlowSettings, flows
from merau.trainers.export.bundle import DEFAULT, load_model
from merau.trainers.learn.fusion import FlowTraining, train, with_replay

AS_SET = FlowSettings(no_expression=0, peak_px=(2, 8))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Ten samples a class of crops that lie too low and aside, and 150 more of them."""
    torch.set_num_threads(1)
    drawn = flows(np.random.default_rng(3), 180, AS_SET)
    pictures = [flow_set.draw_picture(np.roll(flow, (6, 4), (1, 2))) for flow in drawn.flow]
    rows = [{"dataset": "low", "subject": i, "sample": i, "label": int(label)} for i, label in enumerate(drawn.label)]
    shown = np.concatenate([np.flatnonzero(drawn.label == c)[:10] for c in range(3)])
    folder = tmp_path_factory.mktemp("sets")
    for name, which in (("shots", shown), ("rest", np.setdiff1d(np.arange(180), shown))):
        flow_set.write(folder / name / "index.csv", [rows[i] for i in which], [pictures[i] for i in which])
    return folder / "shots" / "index.csv", folder / "rest" / "index.csv"


def right(model, data):
    pattern, magnitude = (torch.from_numpy(part) for part in split_pattern_and_magnitude(data.flow, data.known))
    with torch.no_grad():
        said = model.eval().classify(model(pattern, magnitude)[0])[:, :3].argmax(1).numpy()
    return float((said == data.label).mean())


def test_a_trunk_learns_a_domain_from_ten_samples_a_class_and_forgets_nothing(sets):
    shots, rest = (labelled.read_set(index) for index in sets)
    known, usual = (flows(np.random.default_rng(seed), 300, AS_SET) for seed in (5, 6))
    before = load_model(DEFAULT)
    settings = FlowTraining(epochs=6, batch=64, nets=2, rate=1e-3)
    after = train(with_replay(shots, known, share=0.5), settings, start=before.flow)
    assert right(after, rest) > right(before, rest) + 0.03
    assert right(after, usual) > right(before, usual) - 0.05


def test_what_is_wrong_with_few_shots_is_told_before_anything_is_drawn(sets, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("merau.trainers.data.synth.flow_fields.draw", lambda *_: pytest.fail("flows were drawn first"))
    (tmp_path / "broken.csv").write_text("dataset,subject\n")
    for shots, start, sentence in (
        (sets[0], [], "name it with --from"),
        (tmp_path / "broken.csv", ["--from", str(DEFAULT)], "lacks the column sample"),
    ):
        assert main(["train", "--out", str(tmp_path), "--few-shot", str(shots), *start]) == 1
        assert sentence in capsys.readouterr().err
