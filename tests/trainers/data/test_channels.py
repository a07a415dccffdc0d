"""The check of the order of channels."""

import json

import cv2
import numpy as np
import pytest

from merau.engine import flow as engine_flow
from merau.trainers.cli import main
from merau.trainers.data import channels, flow_set
from merau.trainers.data.synth.flow_fields import FlowSettings, flows


@pytest.fixture(scope="module")
def drawn():
    return flows(np.random.default_rng(4), 40, FlowSettings(no_expression=0.2)).flow


def strain(flow: np.ndarray, *, shear: float = 0.5, power: float = 0.5) -> np.ndarray:
    (u_y, u_x), (v_y, v_x) = (np.gradient(axis.astype(np.float64)) for axis in flow)
    return (u_x**2 + v_y**2 + shear * (u_y + v_x) ** 2) ** power


def small(channels) -> np.ndarray:
    return np.stack([cv2.resize(c.astype(np.float32), (28, 28), interpolation=cv2.INTER_AREA) for c in channels])


STRAINS = {
    "of the flow": engine_flow.strain,
    "at 28 x 28": lambda flow: strain(small(flow)),
    "a quarter of the shear": lambda flow: strain(flow, shear=0.25),
    "squared": lambda flow: strain(flow, power=1),
    "squared at 28 x 28": lambda flow: strain(small(flow), power=1),
}


def pictures(flow: np.ndarray, strain_of) -> np.ndarray:
    """(N, 28, 28, 3) uint8."""
    drawn = []
    for one in flow:
        kept = np.moveaxis(np.concatenate([small([strain_of(one)]), small(one[::-1])]), 0, -1)
        low, high = kept.min((0, 1)), kept.max((0, 1))
        drawn.append(np.round(255 * (kept - low) / (high - low)).astype(np.uint8))
    return np.stack(drawn)


@pytest.mark.parametrize("definition", STRAINS)
def test_warning_names_wrong_order_only(definition, drawn):
    right = pictures(drawn, STRAINS[definition])
    assert not channels.warning("samm", right)
    assert not channels.warning("samm", right[:5])
    assert "samm: its images seem to hold u, v, strain in" in channels.warning("samm", right[..., ::-1])
    assert "seem to hold strain, u, v in" in channels.warning("samm", right[..., [0, 2, 1]])


def test_warning_names_missing_strain(drawn):
    warning = channels.warning("samm", pictures(drawn, lambda flow: np.hypot(*flow)))
    assert warning.startswith("samm: the first channel of its images is not the strain of the other two")


def test_commands_report_channel_warning(drawn, tmp_path, capsys):
    right = pictures(drawn, engine_flow.strain)
    rows = [{"dataset": ("casme2", "samm")[i % 2], "subject": i, "sample": i, "label": i // 2 % 3} for i in range(40)]
    index, out = tmp_path / "index.csv", tmp_path / "out.json"
    flow_set.write(index, rows, [p[..., ::-1] if i % 2 else p for i, p in enumerate(right)])
    assert main(["predict", "--flows", str(index), "--out", str(tmp_path / "pred.csv")]) == 0
    sentence = channels.warning("samm", right[1::2, ..., ::-1])
    assert capsys.readouterr().err == f"merau-lab: warning: {sentence}\n"
    assert main(["evaluate", "--protocol", "zero-shot", "--flows", str(index), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["warnings"] == [sentence]
    assert ">samm: its images seem to hold u, v, strain" in out.with_suffix(".html").read_text()
