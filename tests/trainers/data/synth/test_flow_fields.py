import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.data.synth.action_units import AUS, SOURCE
from merau.trainers.data.synth.flow_fields import CLASSES, GRID, FlowSettings, cell_basis, flows, remove_head

CLEAN = FlowSettings(noise_px=(1e-3, 1e-3), head_px=(1e-3, 1e-3), no_expression=0)


def test_flows_are_reproducible():
    first, second = (flows(np.random.default_rng(5), 40, FlowSettings()) for _ in range(2))
    assert np.array_equal(first.flow, second.flow)
    assert np.array_equal(first.aus, second.aus)
    assert first.flow.shape == (40, 2, GRID, GRID)
    assert first.flow.dtype == np.float32
    assert first.aus.shape == (40, len(AUS))
    assert np.isfinite(first.flow).all()


def test_flows_classes_show_their_action_units():
    drawn = flows(np.random.default_rng(0), 400, FlowSettings())
    smiles = drawn.aus[:, AUS.index(12)][drawn.label == CLASSES.index("positive")]
    brows = drawn.aus[:, AUS.index(2)][drawn.label == CLASSES.index("surprise")]
    assert smiles.mean() > 0.7
    assert brows.mean() > 0.6
    resting = drawn.label == CLASSES.index("no expression")
    assert 0.37 < resting.mean() < 0.53
    assert drawn.aus[resting][:, AUS.index(12)].max() == 0


def test_flows_brows_go_up_and_smiles_go_out():
    drawn = flows(np.random.default_rng(1), 300, CLEAN)
    raised = drawn.flow[drawn.label == CLASSES.index("surprise")]
    smiling = drawn.flow[drawn.label == CLASSES.index("positive")]
    assert np.median(raised[:, 1, 1:5, 4:28].mean((1, 2))) < -0.1  # v of the brows
    corners = smiling[:, 0, 24:27]  # u of the mouth's rows
    assert np.median(corners[:, :, 6:12].mean((1, 2))) < -0.1 < 0.1 < np.median(corners[:, :, 20:26].mean((1, 2)))


def test_remove_head_leaves_nothing_of_rigid_motion():
    basis = cell_basis()[0]
    field = np.tensordot([[1.0, 0.5, -0.3, 2.0], [0.3, 0.2, 0.8, -1.0]], basis, axes=(1, 0))[None]
    assert np.abs(remove_head(field, np.ones(field[:, 0].shape))).max() < 1e-3


def test_flows_of_other_classes():
    settings = FlowSettings(combinations=SOURCE)
    drawn = flows(np.random.default_rng(3), 200, settings)
    assert settings.classes == ("happiness", "disgust", "surprise", "repression", "others", "no expression")
    assert drawn.aus[:, AUS.index(12)][drawn.label == 0].mean() > 0.7


def test_settings_reversed_range_is_refused():
    with pytest.raises(UserError, match="noise_px"):
        FlowSettings(noise_px=(0.3, 0.1))
