"""Scores equal those of independent implementations: scikit-learn, krippendorff, and the matching of the laboratory."""

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, precision_recall_fscore_support

from merau.engine.errors import UserError
from merau.stream.study.agreement import (
    BOTH,
    AgreementSettings,
    agree,
    difference_figures,
    match_spans,
)
from merau.stream.study.coded import CodedSpan, JointRecording
from merau.trainers.evaluate.spotting import Detection, match

KINDS, CLASSES = ("micro", "macro"), ("negative", "positive", "surprise")
BIN_S, LENGTH_S = 0.1, 60.0


def draw_coders(rng, number=3):
    """What some coders say of one recording: movements that most of them see, a little earlier or later."""
    coders = [[] for _ in range(number)]
    for start_s in np.arange(1.0, LENGTH_S - 3, 3.0):
        kind, label = KINDS[rng.integers(2)], CLASSES[rng.integers(3)]
        for spans in coders:
            if rng.random() < 0.8:
                onset_s = start_s + rng.normal(0, 0.08)
                length_s = (0.4 if kind == "micro" else 1.5) * rng.uniform(0.7, 1.3)
                seen = label if rng.random() < 0.7 else CLASSES[rng.integers(3)]
                named = kind if rng.random() < 0.9 else KINDS[rng.integers(2)]
                spans.append(CodedSpan(named, seen, onset_s, onset_s + length_s / 2, onset_s + length_s))
    return tuple(tuple(spans) for spans in coders)


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(5)
    return [JointRecording(f"{i}.mp4", LENGTH_S, draw_coders(rng), 1.0) for i in range(6)]


@pytest.fixture(scope="module")
def agreement(recordings):
    return agree(("machine", "Ann", "Bob"), recordings)


def matched(a, b):
    """The matches of the laboratory's own function, which takes the best overlap first."""
    truth = [{"onset_s": span.onset_s, "offset_s": span.offset_s} for span in b]
    found = [Detection("", span.onset_s, 0, span.offset_s, 0, 0) for span in a]
    return [(a[j], b[i]) for i, j in match(truth, found)]


def of_kind(spans, kind):
    return [span for span in spans if span.kind == kind]


def bins(spans, kind):
    """Whether a movement of the kind goes on, sampled in the middle of each bin."""
    times_s = BIN_S * (np.arange(round(LENGTH_S / BIN_S)) + 0.5)
    return [int(any(s.onset_s <= t_s < s.offset_s for s in of_kind(spans, kind))) for t_s in times_s]


def test_f1_by_kind_is_that_of_sklearn(agreement, recordings):
    for kind in KINDS:
        truth, found = [], []
        for recording in recordings:
            a, b = (of_kind(spans, kind) for spans in recording.spans[:2])
            both = len(matched(a, b))
            truth += [1] * len(b) + [0] * (len(a) - both)
            found += [1] * both + [0] * (len(b) - both) + [1] * (len(a) - both)
        expected = precision_recall_fscore_support(truth, found, average="binary")[:3]
        own = next(row for row in agreement.pairs[0].kinds if row.name == kind)
        scores = (own.precision, own.recall, own.f1)
        assert [score.value for score in scores] == pytest.approx(expected, abs=1e-4)
        assert all(score.low < score.value < score.high for score in scores)
    assert [row.name for row in agreement.pairs[0].kinds] == [*KINDS, BOTH]


def test_classes_kappas_and_strs_are_those_of_sklearn(agreement, recordings):
    pair = agreement.pairs[0]
    found = [both for recording in recordings for both in matched(*recording.spans[:2])]
    labels_a, labels_b = ([span.label for span in spans] for spans in zip(*found, strict=True))
    expected = f1_score(labels_b, labels_a, average=None)
    assert [row.f1.value for row in pair.classes] == pytest.approx(expected, abs=1e-4)
    assert pair.class_kappa.value == pytest.approx(cohen_kappa_score(labels_a, labels_b), abs=1e-4)
    kinds = [[span.kind for span in spans] for spans in zip(*found, strict=True)]
    assert pair.kind_kappa.value == pytest.approx(cohen_kappa_score(*kinds), abs=1e-4)
    micro = [(a.label, b.label) for a, b in found if a.kind == b.kind == "micro"]
    f1 = next(row for row in pair.kinds if row.name == "micro").f1.value
    analysis = f1_score([b for _, b in micro], [a for a, _ in micro], average="macro")
    assert pair.strs.value == pytest.approx(f1 * analysis, abs=1e-4)
    assert pair.megc_f1 == pair.kinds[-1].f1


def test_kappa_and_alpha_of_bins_are_those_of_the_libraries(agreement, recordings):
    for kind in KINDS:
        coded = [[bit for recording in recordings for bit in bins(recording.spans[i], kind)] for i in range(3)]
        kappas = [pair.bin_kappa[kind].value for pair in agreement.pairs]
        expected = [cohen_kappa_score(coded[i], coded[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        assert kappas == pytest.approx(expected, abs=1e-4)
        alpha = krippendorff.alpha(reliability_data=coded, level_of_measurement="nominal")
        assert agreement.alpha[kind].value == pytest.approx(alpha, abs=1e-4)


def test_differences_and_limits_are_those_of_the_pairs(agreement, recordings):
    found = [(a, b) for recording in recordings for a, b in matched(*recording.spans[:2]) if a.kind == b.kind]
    values = np.array([1e3 * (a.offset_s - b.offset_s) for a, b in found])
    figures = difference_figures(agreement.pairs[0].differences[2])
    assert (figures["edge"], figures["pairs"]) == ("offset", len(values))
    assert figures["median_ms"] == pytest.approx(np.median(abs(values)), abs=0.1)
    assert figures["limits_ms"][1] == pytest.approx(values.mean() + 1.96 * values.std(ddof=1), abs=0.1)


def test_as_many_as_can_are_matched():
    a = [CodedSpan("micro", None, 0, None, 10), CodedSpan("micro", None, 5, None, 15)]
    b = [CodedSpan("micro", None, 4, None, 12), CodedSpan("micro", None, 9, None, 19)]
    assert match_spans(a, b, 0.3) == [(0, 0), (1, 1)]  # the best overlap first would leave one alone
    assert match_spans(a, b, 0.5) == [(1, 0)]


def test_disagreements_name_what_differs():
    a = [CodedSpan("micro", "positive", 1, 1.2, 1.4), CodedSpan("macro", "positive", 5, 6, 7)]
    b = [CodedSpan("micro", "Negative", 1, 1.2, 1.4), CodedSpan("micro", None, 5, 6, 7)]
    b += [CodedSpan("macro", None, 9, None, 11)]
    (pair,) = agree(("A", "B"), [JointRecording("a.mp4", 20, (tuple(a), tuple(b)), 1)]).pairs
    assert [found.what for found in pair.disagreements] == ["positive or Negative", "macro or micro", "only B"]
    assert pair.kinds[0].f1.low is None  # one recording has no interval


def test_nothing_coded_is_no_agreement_and_no_error():
    nothing = JointRecording("a.mp4", 20.0, ((), ()), 1.0)
    found = agree(("A", "B"), [nothing, nothing], ["micro"])
    assert found.alpha["micro"].value is None
    assert found.pairs[0].bin_kappa["micro"].value is None
    assert found.pairs[0].megc_f1.value is None


def test_kinds_that_only_one_uses_are_left_out():
    a = (CodedSpan("micro", None, 1, None, 2), CodedSpan("blink", None, 3, None, 4))
    b = (CodedSpan("micro", None, 1, None, 2),)
    assert agree(("A", "B"), [JointRecording("a.mp4", 20, (a, b), 1)]).kinds == ("micro",)
    with pytest.raises(UserError, match="A and B have no kind of movement in common: micro and blink"):
        agree(("A", "B"), [JointRecording("a.mp4", 20, (b, a[1:]), 1)])
    with pytest.raises(UserError, match=r"AgreementSettings.bin_s is 0.0: choose 0.01 to 10."):
        AgreementSettings(bin_s=0.0)
