"""A small flow set of drawn flow."""

import numpy as np
import pytest

from merau.trainers.data import flow_set
from merau.trainers.data.synth.flow_fields import FlowSettings, flows

SAMPLES = 90
DATABASES = ("casme2", "samm")


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    """Two databases with subjects of the same names, three classes, five samples without a label."""
    drawn = flows(np.random.default_rng(5), SAMPLES, FlowSettings(no_expression=0, peak_px=(1.5, 8)))
    rows = [
        {
            "dataset": DATABASES[i % 2],
            "subject": f"s{i % 10 // 2}",
            "sample": f"c{i}",
            "label": "" if i < 5 else drawn.label[i],
            "emotion": ("Repression", "tense", "surprise")[drawn.label[i]],
            "aus": "12" if drawn.label[i] == 1 else "4+L1",
        }
        for i in range(SAMPLES)
    ]
    path = tmp_path_factory.mktemp("set") / "index.csv"
    flow_set.write(path, rows, [flow_set.draw_picture(flow) for flow in drawn.flow])
    return path
