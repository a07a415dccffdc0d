import numpy as np

from merau.stream.summary import BINS, MotionTrace


def test_document_counts_and_rounds(summary):
    document = summary.document(elapsed_s=1.23456)
    assert list(document) == ["source", "frames", "duration_s", "elapsed_s", "partial", "notes", "tracks", "events"]
    assert (document["frames"], document["duration_s"], document["elapsed_s"]) == (100, 4.0, 1.2346)
    assert document["tracks"] == [
        {
            "track": 1,
            "from_s": 0.4,
            "to_s": 3.96,
            "frames": 90,
            "analysed": 81,
            "not_analysed": {"the face is turned away": 9},
            "not_analysed_ranges": {},
        }
    ]
    assert [(event["id"], event["final"]) for event in document["events"]] == [(f"1-{n}", True) for n in range(3)]


def test_motion_trace_keeps_peaks_in_bounded_memory():
    trace = MotionTrace()
    for t_s in range(36_000):
        trace.add(t_s, 5.0 if t_s == 20_000 else 0.1, 0.05)
    assert trace.motion_px.shape == (BINS,)
    assert BINS * trace.bin_s >= 36_000
    assert trace.motion_px[int(20_000 / trace.bin_s)] == 5.0
    assert np.nanmedian(trace.motion_px) == np.float32(0.1)
