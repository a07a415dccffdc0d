"""The report stands alone, shows what was found and escapes what it was given."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from merau.engine.bundle import Bundle
from merau.stream.pipeline import FrameResult
from merau.stream.report import render_report
from merau.stream.summary import Summary

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


def test_report_needs_no_other_file(summary):
    html = render_report(summary, elapsed_s=1.0, bundle=BUNDLE)
    page = Page(html)
    assert all(value.startswith("data:image/") for value in page.values("src"))
    assert all(value.startswith("#event-") for value in page.values("href"))
    assert not re.search(r"url\(|@import|https?:|<script|<link", html)


def test_report_names_the_head_that_classified(summary):
    assert "few-shot head" not in render_report(summary, elapsed_s=1.0, bundle=BUNDLE)
    events = [replace(event, head_sha256="ab" * 32) for event in summary.events]
    summary.add(FrameResult(None, [], [], {}, {}, events, 0.0))
    html = render_report(summary, elapsed_s=1.0, bundle=BUNDLE)
    assert f"few-shot head, sha256 {'ab' * 8}" in html


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


def test_report_shows_curves_and_ground_truth(summary):
    truth = [{"kind": "micro", "label": "positive", "onset_s": 1.8, "apex_s": 2.0, "offset_s": 2.2, "aus": ["12"]}]
    page = Page(render_report(summary, elapsed_s=1.0, bundle=BUNDLE, truth=truth))
    motion, noise = page.values("d")
    assert motion.count("M") == noise.count("M") == 1
    assert motion.count("L") == 80
    assert "micro AU12 at 0:02.000" in page.values("title")


def test_report_without_faces_says_so():
    page = Page(render_report(Summary("empty.mp4", 2.0), elapsed_s=1.0, bundle=BUNDLE))
    assert "No face was found" in page.text
    assert "Expressions" not in page.text


def test_report_of_a_very_long_recording_has_few_ticks():
    html = render_report(Summary("long.mp4", 1e9), elapsed_s=1.0, bundle=BUNDLE)
    assert len(html) < 100_000  # not a mark for every hour
