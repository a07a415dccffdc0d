"""The report stands alone, shows what was found and escapes what it was given."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from merau.engine.bundle import Bundle
from merau.engine.errors import Message
from merau.stream.faces import Face, Quality
from merau.stream.pipeline import FrameResult
from merau.stream.report import render_report
from merau.stream.sources import Frame
from merau.stream.summary import BINS, MotionTrace, Summary

BUNDLE = Bundle("default", {}, {}, "ab" * 32)
VOID = {"meta", "img", "path"}


class Page(HTMLParser):
    """Checks that tags close in order; collects attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


def face(reason: Message | None = None) -> Face:
    quality = Quality(90.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.5, reason, 1.0)
    return Face(1, np.zeros((468, 3), np.float32), quality)


@pytest.fixture
def summary(make_event) -> Summary:
    summary = Summary("/home/ann/<script src=x> & Söhne.mp4", stated_s=4.0)
    image = np.zeros((8, 8, 3), np.uint8)
    for index in range(100):
        t_s = index / 25
        seen = [] if index < 10 else [face(Message("the face is turned away") if index > 90 else None)]
        measured = {1: 0.2 + 0.8 * np.exp(-((t_s - 2) ** 2) / 0.02)} if 10 <= index <= 90 else {}
        summary.add(
            FrameResult(Frame(image, t_s, index, 0.0), seen, [], measured, dict.fromkeys(measured, 0.15), [], 1.0)
        )
    pictures = {"onset_jpeg": b"onset", "apex_jpeg": b"apex", "flow_png": b"flow"}
    said = [
        make_event(2.0, id="1-0", final=False, **pictures),
        make_event(2.0, id="1-0", **pictures),
        make_event(3.0, id="1-1", kind="macro", uncertain=True, **pictures),
        make_event(3.5, id="1-2", kind="blink", aus={}, probabilities={}, label="", **pictures),
    ]
    summary.add(FrameResult(None, [], [], {}, {}, said, 1.0))
    return summary


def test_document_counts_and_rounds(summary):
    document = summary.document(elapsed_s=1.23456)
    assert list(document) == ["source", "frames", "duration_s", "elapsed_s", "tracks", "events"]
    assert (document["frames"], document["duration_s"], document["elapsed_s"]) == (100, 4.0, 1.2346)
    assert document["tracks"] == [
        {
            "track": 1,
            "from_s": 0.4,
            "to_s": 3.96,
            "frames": 90,
            "analysed": 81,
            "not_analysed": {"the face is turned away": 9},
        }
    ]
    assert [(event["id"], event["final"]) for event in document["events"]] == [(f"1-{n}", True) for n in range(3)]


def test_report_stands_alone(summary):
    html = render_report(summary, elapsed_s=1.0, bundle=BUNDLE)
    page = Page(html)
    assert all(value.startswith("data:image/") for value in page.values("src"))
    assert all(value.startswith("#event-") for value in page.values("href"))
    assert not re.search(r"url\(|@import|https?:|<script|<link", html)


def test_report_shows_each_expression_once(summary):
    page = Page(render_report(summary, elapsed_s=1.0, bundle=BUNDLE))
    assert page.values("id") == ["event-1-0", "event-1-1"]
    assert len(page.values("src")) == 6  # three pictures each; a blink has none
    assert "micro-expression" in page.text
    assert "uncertain" in page.text
    assert "AU12 lip corner puller" in page.text
    assert "9 frames: the face is turned away" in page.text
    assert page.text.count("<script src=x> & Söhne.mp4") == 2  # title and heading, as text and not as a tag
    assert "/home/ann" not in page.text


def test_report_draws_the_curve_and_the_truth(summary):
    truth = [{"kind": "micro", "label": "positive", "onset_s": 1.8, "apex_s": 2.0, "offset_s": 2.2, "aus": ["12"]}]
    page = Page(render_report(summary, elapsed_s=1.0, bundle=BUNDLE, truth=truth))
    motion, noise = page.values("d")
    assert motion.count("M") == noise.count("M") == 1
    assert motion.count("L") == 80
    assert "micro AU12 at 0:02.000" in page.values("title")


def test_report_of_nobody():
    page = Page(render_report(Summary("empty.mp4", 2.0), elapsed_s=1.0, bundle=BUNDLE))
    assert "No face was found" in page.text
    assert "Expressions" not in page.text


def test_trace_keeps_every_peak_in_bounded_memory():
    trace = MotionTrace()
    for t_s in range(36_000):
        trace.add(t_s, 5.0 if t_s == 20_000 else 0.1, 0.05)
    assert trace.motion_px.shape == (BINS,)
    assert BINS * trace.bin_s >= 36_000
    assert trace.motion_px[int(20_000 / trace.bin_s)] == 5.0
    assert np.nanmedian(trace.motion_px) == np.float32(0.1)
