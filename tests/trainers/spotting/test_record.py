"""Recorded candidates: labels from the truth, painted expressions, and a replay that equals a live spotter."""

from dataclasses import replace

import numpy as np
import pytest

from merau.stream.spotter import KINDS, Spotter
from merau.trainers.baselines.spot_rules import SpotRules
from merau.trainers.spotting.dataset import load_clip
from merau.trainers.spotting.record import NOT_MICRO, crops_of, load_recording, record
from merau.trainers.spotting.recordings import paint


@pytest.fixture(scope="module")
def recording(face_clip):
    return record(face_clip)


def test_clip_is_read_as_it_was_written(face_clip, tmp_path):
    face_clip.save(tmp_path)
    again = load_clip(tmp_path / "clip.npz")
    np.testing.assert_array_equal(again.grey, face_clip.grey)
    assert (again.spans, again.identity, again.complete) == (face_clip.spans, "astronaut#0", True)


def test_candidates_are_labelled_by_the_truth(recording):
    ended = [
        label for (_, decision), label in zip(recording.steps, recording.labels, strict=True) if decision.stage == "end"
    ]
    assert KINDS.index("micro") in ended
    assert len(recording.labels) == len(recording.inputs.features)


def test_replay_finds_what_a_live_spotter_finds(face_clip, recording):
    spotter = Spotter(SpotRules())
    live = [span for crop in crops_of(face_clip) for span in spotter.push(crop)] + spotter.finish()
    last = {span.id: span for span in live if span.final}
    replayed = recording.replay(SpotRules()(recording.inputs), SpotRules.thresholds).detections
    spans = sorted((s.kind, round(s.onset_s, 6), round(s.offset_s, 6)) for s in last.values())
    assert spans == sorted((d.kind, round(d.onset_s, 6), round(d.offset_s, 6)) for d in replayed)
    assert ("micro" in {kind for kind, _, _ in spans}) is True


def test_recording_is_read_as_it_was_written(recording, tmp_path):
    recording.save(tmp_path / "one.npz")
    again = load_recording(tmp_path / "one.npz")
    assert again.steps[0][1].onset_s == recording.steps[0][1].onset_s
    np.testing.assert_array_equal(again.labels, recording.labels)
    np.testing.assert_allclose(again.inputs.motion, recording.inputs.motion, rtol=1e-3, atol=1e-2)


def test_painted_expressions_are_seen(face_clip):
    bare = replace(face_clip, spans=())
    painting = next(p for p in (paint(bare, "scans", version) for version in range(20)) if p.actions)
    painted = record(bare, painting)
    assert painted.motion_model == "scans"
    assert len(painted.spans) == len(painting.actions)
    assert len(painted.labels) != len(record(bare).labels)


def test_footage_is_only_known_to_show_no_micro(face_clip):
    footage = record(replace(face_clip, spans=(), complete=False))
    assert set(footage.labels) == {NOT_MICRO}
