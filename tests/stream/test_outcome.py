import numpy as np

from merau.engine.errors import Message
from merau.stream.faces import Face, Quality
from merau.stream.outcome import REMEDIES, explain_outcome
from merau.stream.pipeline import FrameResult
from merau.stream.sources import Frame
from merau.stream.summary import Summary

SMALL = "too small: {size} px between the outer eye corners, needs {needed}"


def summary_of(*reasons, seconds=4.0, grey=128, events=()):
    """One frame for each reason; "" for one that is analysed, None for one without a face."""
    summary = Summary("talk.mp4", seconds)
    for index, reason in enumerate(reasons):
        face = Face(1, np.zeros((468, 3), np.float32), Quality(90.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.5, reason or None, 1.0))
        image = np.full((32, 32, 3), grey, np.uint8)
        faces = [] if reason is None else [face]
        summary.add(FrameResult(Frame(image, 0.1 * index, index, 0.0), faces, [], {}, {}, list(events), 1.0))
    return summary


def told(summary, detector="short"):
    return " ".join(map(str, explain_outcome(summary, detector)))


def test_no_face_is_explained():
    assert "Use --faces wide" in told(summary_of(None))
    assert "--faces" not in told(summary_of(None), "wide")
    assert "the picture is dark" in told(summary_of(None, grey=10))


def test_no_event_is_explained_by_the_main_reason():
    small = [Message(SMALL, {"size": str(size), "needed": "45"}) for size in (23, 31, 27)]
    summary = summary_of(*small, Message("blurred"), "")
    assert "in 60% of its frames the face is too small. Bring the face nearer" in told(summary)
    (track,) = summary.document(1.0)["tracks"]
    assert track["not_analysed"] == {"too small": 3, "blurred": 1}
    assert track["not_analysed_ranges"] == {"too small": {"size": [23, 31], "needed": [45, 45]}}
    assert "above its noise floor" in told(summary_of("", "", Message("blurred")))


def test_short_recording_is_said_to_be_short(make_event):
    assert "lasts 0.60 s, which is too short" in told(summary_of("", seconds=0.6, events=[make_event()]))
    assert told(summary_of("", events=[make_event()])) == ""


def test_every_reason_has_a_remedy():
    known = (Message("blurred"), Message("hidden"), Message("turned away {degrees} degrees", {"degrees": "40"}))
    summary = summary_of(*known, Message(SMALL, {"size": "1", "needed": "2"}))
    assert set(summary.tracks[1].not_analysed) <= set(REMEDIES)
