"""One track: where it expects the face, and how well an observation fits it."""

from dataclasses import replace

import numpy as np
import pytest

from merau.engine.face_mesh import Mesh
from merau.stream.faces.appearance import Appearance
from merau.stream.faces.track import (
    OTHER_PERSON_S,
    TRACKING_BONUS,
    WHOLE_FACE_LOGIT,
    Observation,
    Track,
    ema_weight,
    face_centre,
    is_near_another_face,
)

EYES_PX = 60.0


def appearance(seed: int) -> Appearance:
    rng = np.random.default_rng(seed)
    grey, shape = rng.normal(size=256), rng.normal(size=114)
    return Appearance(grey / np.linalg.norm(grey), np.zeros(2), shape / np.linalg.norm(shape))


def observation(x: float, looks: Appearance, logit: float = WHOLE_FACE_LOGIT + 1) -> Observation:
    landmarks = np.zeros((468, 3), np.float32)
    landmarks[33, 0], landmarks[263, 0] = -EYES_PX / 2, EYES_PX / 2
    landmarks[:, 0] += x
    return Observation(Mesh(landmarks, logit), np.zeros((64, 64, 3), np.uint8), looks, [])


@pytest.fixture
def person() -> Appearance:
    return appearance(1)


@pytest.fixture
def moving_track(person: Appearance) -> Track:
    """A track of one person who moves to the right at 100 px/s, seen until 1 s."""
    track = Track(1, observation(0, person), 0.0)
    for t_s in np.arange(0.1, 1.05, 0.1):
        track.learn(observation(100 * t_s, person), [], float(t_s), in_plain_view=True)
    return track


def test_lost_face_is_expected_to_come_to_rest(moving_track):
    assert moving_track.velocity[0] == pytest.approx(100, rel=0.05)
    assert moving_track.expected_position(1.1)[0] == pytest.approx(109, abs=1)
    assert moving_track.expected_position(60.0)[0] == pytest.approx(150, abs=3)


def test_landmarks_at_are_moved_to_the_position(moving_track):
    assert face_centre(moving_track.landmarks_at(np.array([7.0, 9.0]))) == pytest.approx([7, 9], abs=1e-2)


def test_tracked_observation_of_the_same_person_scores_highest(moving_track, person):
    tracked, found = observation(105, person), observation(105, person)
    tracked.source_tracks.append(moving_track)
    assert moving_track.match_score(tracked, [], 1.05) == pytest.approx(1 + TRACKING_BONUS, abs=1e-3)
    assert 0.9 < moving_track.match_score(found, [], 1.05) < 1


def test_found_face_far_away_scores_less(moving_track, person):
    near, far = (moving_track.match_score(observation(x, person), [], 1.05) for x in (105, 305))
    assert far < near - 0.3


def test_another_person_in_plain_view_does_not_match(moving_track):
    other = observation(105, appearance(2))
    other.source_tracks.append(moving_track)
    assert moving_track.is_ambiguous(other)
    assert moving_track.match_score(other, [], 1.05) == 0.0


def test_hidden_face_matches_for_a_while(moving_track):
    hidden = observation(105, appearance(2), logit=WHOLE_FACE_LOGIT / 2)
    hidden.source_tracks.append(moving_track)
    assert moving_track.match_score(hidden, [], 1.05) > 0
    assert moving_track.match_score(hidden, [], 1.1 + OTHER_PERSON_S) == 0.0


def test_suspected_drift_loses_the_tracking_bonus(moving_track, person):
    tracked = replace(observation(105, person), source_tracks=[moving_track], drift_suspected=True)
    assert moving_track.match_score(tracked, [], 1.05) == pytest.approx(1, abs=1e-3)


def test_face_is_near_another_within_occlusion_distance(person):
    here, beside, far = observation(0, person), observation(1.2 * EYES_PX, person), observation(3 * EYES_PX, person)
    assert is_near_another_face(here, [here, beside])
    assert not is_near_another_face(here, [here, far])


def test_ema_weight_is_independent_of_the_frame_rate():
    assert (1 - ema_weight(0.1, 2.0)) ** 10 == pytest.approx(1 - ema_weight(1.0, 2.0))
    assert ema_weight(1.0, 0.0) == 1.0
