import json
import re
from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from merau.engine.recognizer import Recognizer
from merau.stream.demo import match_events, read_ground_truth
from merau.stream.light import LightEvener
from merau.stream.pipeline import FrameResult, Pipeline
from merau.stream.sources import Frame, open_source
from scripts.support.mains_light import flickering
from tests.clips import demo_start
from tests.stream.commands.process import messages, run_merau

TO_CROP = np.array([[0.9, 0.2, 3.0], [-0.2, 0.9, 8.0]])  # of a head that is held aslant


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    """The demo's first two micro-expressions and its first macro-expression."""
    with open_source(str(demo_start(tmp_path_factory.mktemp("clip") / "steady.mp4", 9.5))) as source:
        return list(source)


def analyse(frames: Iterable[Frame]) -> list[FrameResult]:
    pipeline = Pipeline("clip", Recognizer.load())
    return [*(pipeline.process(frame) for frame in frames), pipeline.finish()]


def test_steady_light_leaves_every_crop_as_it_is(frames):
    crops = [crop for result in analyse(frames) for crop in result.crops]
    assert len(crops) > 200
    for crop in crops:
        assert not crop.flicker
        assert np.array_equal(crop.grey, cv2.cvtColor(crop.image, cv2.COLOR_BGR2GRAY))


def test_expressions_are_found_in_mains_light(frames):
    results = analyse(flickering(frames, 0.1))
    last = {event.id: event for result in results for event in result.events}
    spans = [span for span in read_ground_truth() if span["kind"] in ("micro", "macro") and span["offset_s"] < 9]
    matches = match_events(spans, [event for event in last.values() if event.kind in ("micro", "macro")])
    assert len(spans) == 3
    assert [match.verdict.split(",")[0] for match in matches] == ["found"] * 3
    assert all(event.quality < 0.6 for event in last.values() if event.kind in ("micro", "macro"))
    assert results[-2].flicker == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("rate", "mains_hz", "readout_s"), [(30, 50, 0.025), (25, 60, 0.025), (24, 50, 0.025), (30, 50, 0)]
)
def test_rows_get_their_usual_brightness_back(rate, mains_hz, readout_s):
    rng = np.random.default_rng(0)
    skin = cv2.GaussianBlur(rng.normal(0, 60, (300, 260)), (0, 0), 3) * 3 + 120
    image = np.repeat(skin.clip(20, 200).astype(np.uint8)[..., None], 3, axis=2)
    steady = [Frame(image, index / rate, index, 0.0) for index in range(2 * rate)]
    evener, evened, raw = LightEvener(), [], []
    for frame in flickering(steady, 0.08, mains_hz=mains_hz, readout_s=readout_s):
        raw.append(cv2.warpAffine(frame.image[..., 0], TO_CROP, (168, 180), borderMode=cv2.BORDER_REPLICATE))
        evened.append(evener.even(raw[-1], TO_CROP, frame.t_s))
    assert evener.flicker == pytest.approx(0.08, abs=0.025)
    inside = np.s_[rate:, 40:140, 30:140]
    left, was = (np.std(np.array(crops, float)[inside], axis=0).mean() for crops in (evened, raw))
    assert left < 0.25 * was


def test_steps_of_exposure_are_no_flicker():
    evener, rng = LightEvener(), np.random.default_rng(0)
    for index in range(120):
        light = (100, 130, 90)[index // 40]
        grey = np.clip(rng.normal(light, 3, (180, 168)), 0, 255).astype(np.uint8)
        assert evener.even(grey, TO_CROP, index / 30) is grey
        assert not evener.flicker


@pytest.fixture(scope="module")
def recording(frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flicker") / "lamp.mp4"
    with av.open(str(path), "w") as target:
        video = target.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "18"})
        video.width, video.height, video.pix_fmt = 640, 480, "yuv420p"
        for frame in flickering(frames[:75], 0.08):
            target.mux(video.encode(av.VideoFrame.from_ndarray(frame.image, format="bgr24")))
        target.mux(video.encode(None))
    return path


def test_analyse_notes_flicker_everywhere(recording, tmp_path):
    done = run_merau("analyse", recording, "--out", tmp_path, "--json")
    (note,) = json.loads(done.stdout)["notes"]
    assert re.match(rf"'{recording}' was taken in light that flickers by [789]% for [12]\.\d s, as mains light", note)
    assert messages(done.stderr) == [f"Note: {note}"]
    (report,) = tmp_path.glob("*.html")
    assert "was taken in light that flickers by " in report.read_text()


def test_watch_shows_flicker_in_its_status(recording, tmp_path):
    done = run_merau("watch", recording, "--store", tmp_path / "events.db")
    assert "live · 1 face · light flickers" in done.stderr
