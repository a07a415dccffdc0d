"""Synthetic flow sets, and whether they look like real ones in numbers."""

from dataclasses import replace

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.data.flow_set import UNLABELLED
from merau.trainers.data.synth.action_units import AUS, SOURCE
from merau.trainers.data.synth.set_fields import ICT_HARD, PATCHY, R1, SHARPER, SetSettings, draw_images, draw_set
from merau.trainers.data.synth.statistics import REAL, REAL_SHARES, flow_statistics


@pytest.mark.parametrize("settings", [SetSettings(), SHARPER, ICT_HARD, R1])
def test_draw_set_is_reproducible_in_the_form_of_a_set(settings: SetSettings):
    first, second = (draw_set(4, 90, settings) for _ in range(2))
    assert np.array_equal(first.flow, second.flow)
    assert first.flow.shape == (90, 2, 32, 32)
    assert first.flow.dtype == np.float32
    assert not first.known.any()
    assert np.abs(first.flow).max() <= 6
    assert np.median(first.flow, axis=(2, 3)) == pytest.approx(0, abs=1e-5)
    assert 0.8 < first.flow.std((2, 3)).mean() <= 1.001
    assert set(first.label) <= {UNLABELLED, 0, 1, 2}
    assert (settings.free > 0) == (UNLABELLED in first.label)


def test_draw_set_shows_what_its_labels_say():
    drawn = draw_set(0, 300, SetSettings())
    assert drawn.aus[drawn.label == 1][:, AUS.index(12)].mean() > 0.7
    raised = drawn.flow[(drawn.label == 2) & (drawn.aus[:, AUS.index(2)] == 1)]
    assert np.median(raised[:, 1, 1:6, 4:28].mean((1, 2))) < -0.3
    free = drawn.label == UNLABELLED
    assert 0.08 < free.mean() < 0.22
    assert 1.5 < drawn.aus[free].sum(1).mean() < 5


def test_draw_set_of_other_classes():
    drawn = draw_set(0, 80, SetSettings(combinations=SOURCE, free=0))
    assert set(drawn.label) == set(range(len(SOURCE)))


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="SetSettings.geometry"):
        SetSettings(geometry="round")
    with pytest.raises(UserError, match="SetSettings.mask"):
        SetSettings(mask=1.5)


def test_draw_images_of_classes_by_their_shares():
    image, label, present = draw_images(1, 200, SetSettings(free=0, shares=(0, 0.25, 0.75)))
    assert image.shape == (200, 28, 28, 3)
    assert image.dtype == np.uint8
    assert present.shape == (200, len(AUS))
    assert 0.65 < (label == 2).mean() < 0.85
    with pytest.raises(UserError, match="shares"):
        SetSettings(shares=(0.5, 0.5))


def test_patchy_flow_is_as_real_flow_in_numbers():
    image, _, _ = draw_images(3, 1200, replace(PATCHY, free=0, shares=REAL_SHARES, samples_per_face=10))
    found = flow_statistics(np.moveaxis(image[..., :0:-1].astype(float), -1, 1))  # u, v
    for name, channels in REAL.items():
        for channel, (low, high) in channels.items():
            assert low <= found[channel][name] <= high, (name, channel, found[channel][name])
