"""Synthetic clips: whether a rendered face does what the ground truth says."""

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from merau.engine import crop
from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.engine.flow import pair_flow
from merau.trainers.data.synth import action_units, timelines
from merau.trainers.data.synth.clips import (
    ASTRONAUT,
    DEMO,
    STILL,
    ClipPlan,
    HeadMotion,
    actions_of,
    make_clip,
    person_bumps,
    random_plan,
)
from merau.trainers.data.synth.portrait import LOWER_LID, UPPER_LID, Mouth, find_face
from merau.trainers.data.synth.timelines import CROP_PX, channels_at

SPEC = crop.CropSpec()


def decode(file: Path) -> tuple[list[np.ndarray], np.ndarray]:
    with av.open(str(file)) as container:
        frames = list(container.decode(video=0))
    return [frame.to_ndarray(format="bgr24") for frame in frames], np.array([frame.time for frame in frames])


def eye_opening(landmarks: np.ndarray) -> float:
    lids = zip(UPPER_LID.values(), LOWER_LID.values(), strict=True)
    return float(np.mean([landmarks[low[4], 1] - landmarks[up[4], 1] for up, low in lids]))


def dense_flow(truth: dict[str, Any], from_s: float, to_s: float, size_px: int = CROP_PX) -> np.ndarray:
    """The true motion of the skin between two times: (2, size_px, size_px) float64 px of the crop, right and down.

    Lids, gaze and the inside of the mouth are not included.
    """
    actions, axis = actions_of(truth), (np.arange(size_px) + 0.5) / size_px
    weights = [action_units.weights(timelines.action_units(channels_at(actions, t_s))) for t_s in (from_s, to_s)]
    points = Mouth(**truth["mouth"]).closed(np.stack(np.meshgrid(axis, axis), axis=-1))
    change = (weights[1] - weights[0]) * size_px / CROP_PX
    return np.moveaxis(action_units.displacement(points, change, person_bumps(truth["person"])), -1, 0)


def test_make_clip_moves_as_ground_truth_says(tmp_path: Path):
    bumps = person_bumps(3)
    rng = np.random.default_rng(2)
    shown = [("surprise", (1, 2), 0.2), ("positive", (12,), 0.9), ("negative", (15,), 1.6)]
    actions = tuple(
        timelines.micro(rng, at, timelines.expression(rng, aus, 2.0, bumps=bumps), c, 2.0) for c, aus, at in shown
    )
    plan = ClipPlan((*actions, timelines.blink(rng, 2.2)), duration_s=2.7, person=3, motion=STILL)
    truth = make_clip(ASTRONAUT, plan, tmp_path / "clip.mp4", seed=0)
    assert json.loads((tmp_path / "clip.truth.json").read_text()) == truth

    pictures, times_s = decode(tmp_path / "clip.mp4")
    nets = FaceNets("wide")
    landmarks = find_face(pictures[0], nets)
    matrix = crop.layout_transform(landmarks, SPEC)
    for span in truth["spans"][:3]:
        onset, apex = (int(np.abs(times_s - span[moment]).argmin()) for moment in ("onset_s", "apex_s"))
        greys = [crop.crop_face(pictures[i][..., 1], matrix, SPEC) for i in (onset, apex)]
        seen, true = pair_flow(*greys, spec=SPEC), dense_flow(truth, times_s[onset], times_s[apex])
        assert 1.7 < np.hypot(*true).max() < 2.1
        assert (seen * true).sum() / np.sqrt((seen**2).sum() * (true**2).sum()) > 0.8, span["label"]

    blink = truth["spans"][3]
    openness = [eye_opening(nets.mesh(picture, landmarks).landmarks) for picture in pictures]
    closed = int(np.argmin(openness))
    assert blink["onset_s"] < times_s[closed] < blink["offset_s"]
    assert openness[closed] < 0.8 * openness[0]


def test_make_clip_frames_lossless_and_flow_true(tmp_path: Path):
    rng = np.random.default_rng(5)
    action = timelines.micro(rng, 0.1, timelines.expression(rng, (6, 12), 2.0, side="left"), "positive", 2.0)
    aside = HeadMotion(shift=0.15, roll_deg=4)  # far from where the portrait rests
    plan = ClipPlan((action, timelines.blink(rng, 0.7)), duration_s=0.9, noise=0.0, motion=aside)
    truth = make_clip(ASTRONAUT, plan, tmp_path / "clip.mp4", seed=1, frames=True, flow=True)
    assert json.loads((tmp_path / "clip.truth.json").read_text()) == truth
    files = sorted((tmp_path / truth["frames"]["folder"]).iterdir())
    assert [file.name for file in files] == [f"{i:05d}.png" for i in range(truth["frames"]["count"])]
    filmed = decode(tmp_path / "clip.mp4")[0]
    assert len(files) == len(filmed) == 27
    assert np.abs(cv2.imread(str(files[9])).astype(int) - filmed[9]).mean() < 4

    span, blink = truth["spans"]
    assert list(span["aus"]) == ["6", "12"]
    assert set(span["aus"]["12"]) == {"left"}
    assert not blink["aus"]
    assert 0.5 < max(px["left"] for px in span["aus"].values()) < 2.5
    with np.load(tmp_path / truth["flow"]) as fields:
        assert list(fields) == [span["flow"]["array"]]
        assert "flow" not in blink
        flow = fields[span["flow"]["array"]]
    assert flow.shape == (2, 480, 640)
    assert flow.dtype == np.float32
    onset, apex = (cv2.imread(str(files[span["flow"][end]])) for end in ("from_frame", "to_frame"))
    y, x = np.mgrid[:480, :640].astype(np.float32)
    back = cv2.remap(apex, x + flow[0], y + flow[1], cv2.INTER_CUBIC)
    apart = [np.abs(picture[100:420, 180:460].astype(int) - onset[100:420, 180:460]).mean() for picture in (apex, back)]
    assert apart[1] < apart[0] / 4


def test_make_clip_of_a_scan_moves_as_ground_truth_says(tmp_path: Path):
    who = {"person": 4, "geometry": "scans", "held_out": True}
    bumps = person_bumps(*who.values())
    channels = timelines.expression(np.random.default_rng(0), (12,), 2.0, bumps=bumps)
    action = timelines.micro(np.random.default_rng(0), 0.1, channels, "positive", 2.0)
    plan = ClipPlan((action,), duration_s=0.5, noise=0.5, motion=STILL, **who)
    truth = make_clip(ASTRONAUT, plan, tmp_path / "clip.mp4", seed=0, frames=True, flow=True)
    assert truth["geometry"] == "scans"
    span = truth["spans"][0]
    with np.load(tmp_path / truth["flow"]) as fields:
        true = fields[span["flow"]["array"]]
    files = [str(tmp_path / "clip" / f"{span['flow'][end]:05d}.png") for end in ("from_frame", "to_frame")]
    greys = [cv2.imread(file, cv2.IMREAD_GRAYSCALE) for file in files]
    seen = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*greys, None)
    face = np.hypot(*true) > 0.5
    assert face.sum() > 5000
    assert (np.moveaxis(seen, -1, 0) * true)[:, face].sum() / (true**2)[:, face].sum() > 0.7


def test_make_clip_flow_of_video_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="animate a picture"):
        make_clip(DEMO, ClipPlan(()), tmp_path / "clip.mp4", seed=0, flow=True)


def test_make_clip_animates_frames_of_video(tmp_path: Path):
    channels = timelines.expression(np.random.default_rng(0), (1, 2), 2.0, bumps=person_bumps(0))
    action = timelines.micro(np.random.default_rng(0), 0.1, channels, "surprise", 2.0)
    settings = {"duration_s": 0.5, "motion": STILL, "face_px": None, "noise": 0.0, "light": 0.0, "stop_s": 0.3}
    truth = make_clip(DEMO, ClipPlan((action,), **settings), tmp_path / "painted.mp4", seed=0)
    make_clip(DEMO, ClipPlan((), **settings), tmp_path / "plain.mp4", seed=0)

    (painted, times_s), (plain, _) = decode(tmp_path / "painted.mp4"), decode(tmp_path / "plain.mp4")
    apex = int(np.abs(times_s - action.apex_s).argmin())
    matrix = crop.layout_transform(find_face(plain[apex], FaceNets("wide")), SPEC)
    seen = pair_flow(
        *(crop.crop_face(pictures[apex][..., 1], matrix, SPEC) for pictures in (plain, painted)), spec=SPEC
    )
    true = dense_flow(truth, 0.0, times_s[apex])
    assert (seen * true).sum() / np.sqrt((seen**2).sum() * (true**2).sum()) > 0.8


def test_make_clip_is_reproducible_with_variable_rate(tmp_path: Path):
    plans = [random_plan(np.random.default_rng(4), "mixed", duration_s=1.2, jitter=0.2) for _ in range(2)]
    files = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    truths = [make_clip(ASTRONAUT, plan, file, seed=4) for plan, file in zip(plans, files, strict=True)]
    assert truths[0] == truths[1]
    assert files[0].read_bytes() == files[1].read_bytes()
    steps = np.diff(decode(files[0])[1])
    assert steps.min() > 0
    assert steps.std() > 0.003
    assert len(steps) < 36
