import os

from merau.stream.demo import CLIP, comparison_table, match_events, read_ground_truth


def test_match_events_pairs_spans_with_events(make_event):
    micro, blink, macro = (
        {"kind": kind, "label": "", "onset_s": at - 0.2, "apex_s": at, "offset_s": at + 0.2, "aus": ["12"]}
        for kind, at in (("micro", 1.0), ("blink", 2.0), ("macro", 3.0))
    )
    events = [make_event(1.02), make_event(1.3, id="near"), make_event(2.0, kind="other"), make_event(9.0)]
    matches = match_events([micro, blink, macro], events)
    assert [match.verdict for match in matches] == [
        "found, apex +20 ms",
        "not in the clip",
        "named other",
        "missed",
        "not in the clip",
    ]
    assert len(comparison_table(matches).splitlines()) == 6
    assert matches[0].fields()["event"] == events[0].id


def test_ground_truth_of_the_clip_has_all_it_demonstrates():
    kinds = [span["kind"] for span in read_ground_truth()]
    assert kinds.count("macro") == 2
    assert kinds.count("micro") >= 3
    assert "blink" in kinds
    assert all(span["aus"] for span in read_ground_truth() if span["kind"] in ("micro", "macro"))


def test_clip_is_small():
    assert os.path.getsize(CLIP) < 5_000_000
