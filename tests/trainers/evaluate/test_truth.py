"""The truth bench: what it measures of a recognizer and of the generator."""

import json

import numpy as np
import pytest

from merau.engine.recognizer import Recognizer
from merau.trainers.cli import main
from merau.trainers.evaluate import truth
from merau.trainers.evaluate.metrics import auc

SAMPLES = 120


@pytest.fixture(scope="module")
def told():
    return truth.answer(Recognizer.load(device="cpu"), truth.draw_bench("abroad", SAMPLES))


def test_draw_bench_is_the_same_again_and_of_many_faces():
    first, second = (truth.draw_bench("foreign", 40).flow for _ in range(2))
    assert np.array_equal(first, second)
    assert all(settings.held_out for name, settings in truth.BENCHES.items() if settings.geometry == "scans")


def test_class_figures_fall_when_answers_are_turned(told):
    turned = truth.Answers(told.label, told.face, told.probabilities[:, [1, 2, 0]], told.aus, told.au_logits)
    right, wrong = truth.class_figures(told), truth.class_figures(turned)
    assert right["uf1_interval"][0] <= right["uf1"] <= right["uf1_interval"][1]
    assert wrong["uf1"] < right["uf1"] - 0.3


def test_bootstrap_auc_of_one_draw_is_the_auc():
    rng = np.random.default_rng(0)
    truths, score = (rng.random(200) < 0.3).astype(float), rng.normal(size=200)
    drawn = truth.bootstrap_auc(truths, score + truths, np.arange(200))
    assert drawn.mean() == pytest.approx(auc(truths, score + truths), abs=0.01)
    assert truth.bootstrap_auc(truths, score + truths, np.zeros(200, int))[0] == pytest.approx(
        auc(truths, score + truths)
    )


def test_bench_truth_writes_figures_and_page(tmp_path):
    out = tmp_path / "truth.json"
    assert main(["bench", "truth", "--samples", "40", "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    figures = document["bundles"]["default"]
    assert set(figures["foreign_au_auc"]["by_unit"]) >= {"1", "26"}
    assert document["generator"]["statistics"]["kurtosis"]["u"]["patchy"] > 1
    assert "AU 12" in out.with_suffix(".html").read_text()
