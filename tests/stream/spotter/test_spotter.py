"""Crops in, spans out: mechanics with a classifier of the test's own, judgement with the one that ships."""

import weakref
from dataclasses import replace

import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.stream.spotter import KINDS, CandidateInput, Span, SpanClassifier, Spotter, SpotterSettings, Thresholds
from merau.stream.spotter.classifier import CHANNELS, FEATURES, STEPS
from merau.stream.spotter.extractor import HISTORY_S
from merau.stream.spotter.span_net import span_net
from merau.trainers.data.synth.timelines import Action, Ramp, expression, macro, micro, speech


class Plain:
    """Calls what is clear and not at the eyes micro, and macro where it lasts."""

    thresholds = Thresholds()

    def __init__(self) -> None:
        self.seen: list[CandidateInput] = []

    def __call__(self, candidates: CandidateInput) -> np.ndarray:
        self.seen.append(candidates)
        value = dict(zip(FEATURES, candidates.features.T, strict=True))
        clear = (value["snr"] > 4) & (value["at_eyes"] == 0)
        kinds = np.where(clear, np.where(value["held"] + (value["duration_s"] > 0.56) > 0, 1, 0), 5)
        return np.eye(len(KINDS))[kinds]


@pytest.fixture(scope="session")
def shipped() -> SpanClassifier:
    return span_net(bundles.load())


def smile(onset_s: float, px: float = 2.0) -> Action:
    rng = np.random.default_rng(5)
    return micro(rng, onset_s, expression(rng, (12,), px), "positive", px)


def spot(crops: list, classifier: SpanClassifier | None = None) -> list[Span]:
    spotter = Spotter(classifier or Plain())
    return [span for crop in crops for span in spotter.push(crop)] + spotter.finish()


def finals(spans: list[Span], kind: str) -> list[Span]:
    """The spans whose final kind is this one."""
    return [span for span in {span.id: span for span in spans}.values() if span.kind == kind and span.final]


def overlap(span: Span, action: Action) -> float:
    common = min(span.offset_s, action.offset_s) - max(span.onset_s, action.onset_s)
    return common / (max(span.offset_s, action.offset_s) - min(span.onset_s, action.onset_s))


def test_still_face_gives_no_span(make_crops, shipped):
    assert spot(make_crops([], np.arange(0, 4, 1 / 30)), shipped) == []


def test_micro_is_provisional_at_its_apex_then_final(make_crops):
    action = smile(2.0)
    spotter = Spotter(Plain())
    reported = [
        (crop.t_s, span) for crop in make_crops([action], np.arange(0, 4, 1 / 30)) for span in spotter.push(crop)
    ]
    (final,) = finals([span for _, span in reported], "micro")
    first_s, first = next((t_s, span) for t_s, span in reported if span.id == final.id)
    assert (first.kind, first.final) == ("micro", False)
    assert first_s - action.apex_s < 0.25
    assert overlap(final, action) > 0.7
    assert abs(final.apex_s - action.apex_s) < 0.04
    assert final.onset.t_s == pytest.approx(final.onset_s, abs=1 / 30)
    assert final.apex.t_s == pytest.approx(final.apex_s, abs=1 / 30)


def test_rising_movement_is_not_reported_yet(make_crops):
    quick = Action("micro", (Ramp(2.0, 2.1, 2.25, expression(np.random.default_rng(5), (12,), 0.8)),), "positive", 0.8)
    spotter = Spotter(Plain())
    reported = [
        (crop.t_s, span) for crop in make_crops([quick], np.arange(0, 3.2, 1 / 30)) for span in spotter.push(crop)
    ]
    first_s, first = reported[0]
    assert first.kind == "micro"
    assert first_s > quick.apex_s
    assert first.apex_s == pytest.approx(quick.apex_s, abs=0.02)


@pytest.mark.parametrize("rate", [25, 100])
def test_frame_rate_hardly_changes_the_span(make_crops, rate):
    action = smile(1.8)
    (usual,) = finals(spot(make_crops([action], np.arange(0, 3, 1 / 30))), "micro")
    (other,) = finals(spot(make_crops([action], np.arange(0, 3, 1 / rate))), "micro")
    for moment in ("onset_s", "apex_s", "offset_s"):
        assert getattr(other, moment) == pytest.approx(getattr(usual, moment), abs=0.04)


def test_variable_rate_gives_the_same_span(make_crops):
    action = smile(1.8)
    times_s = np.arange(0, 3, 1 / 60)
    uneven_s = times_s[np.random.default_rng(1).random(len(times_s)) > 0.3]
    (usual,) = finals(spot(make_crops([action], times_s)), "micro")
    (other,) = finals(spot(make_crops([action], uneven_s)), "micro")
    for moment in ("onset_s", "apex_s", "offset_s"):
        assert getattr(other, moment) == pytest.approx(getattr(usual, moment), abs=0.04)


def test_gap_in_the_frames_closes_open_movements(make_crops):
    action = smile(2.0)
    times_s = np.concatenate([np.arange(0, action.offset_s, 1 / 30), np.arange(action.offset_s + 1, 6, 1 / 30)])
    spotter = Spotter(Plain())
    reported = [(crop.t_s, span) for crop in make_crops([action], times_s) for span in spotter.push(crop)]
    (final,) = finals([span for _, span in reported], "micro")
    assert final.offset_s <= action.offset_s + 0.05
    assert all(t_s <= action.offset_s + 1.04 for t_s, _ in reported)


def test_expression_that_stays_is_macro(make_crops, shipped):
    rng = np.random.default_rng(2)
    action = macro(rng, 1.5, expression(rng, (6, 12), 4.0), "positive", 4.0)
    spans = spot(make_crops([action], np.arange(0, action.offset_s + 1, 1 / 30)), shipped)
    assert [overlap(span, action) > 0.5 for span in finals(spans, "macro")] == [True]
    assert finals(spans, "micro") == []


def test_return_from_a_micro_is_no_macro(make_crops):
    rng = np.random.default_rng(8)
    actions = [micro(rng, onset_s, expression(rng, (12,), 2.0), "positive", 2.0) for onset_s in (2.0, 4.0)]
    spans = spot(make_crops(actions, np.arange(0, 5, 1 / 30)))
    assert len(finals(spans, "micro")) == 2
    assert not [span for span in spans if span.kind == "macro"]


def test_micro_on_a_held_expression_leaves_it_macro(make_crops, shipped):
    rng = np.random.default_rng(2)
    held = Action("macro", (Ramp(1.0, 2.5, 4.0, expression(rng, (12,), 4.0), hold_s=2.0),), "positive", 4.0)
    short = micro(rng, 2.6, expression(rng, (12,), 1.5), "positive", 1.5)
    spans = spot(make_crops([held, short], np.arange(0, 4.8, 1 / 30)), shipped)
    for kind, action in (("macro", held), ("micro", short)):
        assert [overlap(span, action) > 0.5 for span in finals(spans, kind)] == [True], kind


def test_speech_is_named_and_nearly_free_of_micros(make_crops, shipped):
    action = speech(np.random.default_rng(3), 1.5, 3.0)
    spans = spot(make_crops([action], np.arange(0, action.offset_s + 2, 1 / 30)), shipped)
    assert any(overlap(segment, action) > 0.2 for segment in finals(spans, "speech"))
    assert len(finals(spans, "micro")) <= 1


def test_history_does_not_grow_with_the_stream(make_crops):
    spotter, rate = Spotter(Plain()), 30
    alive = []
    for crop in make_crops([smile(1.5), smile(3.5)], np.arange(0, 6, 1 / rate)):
        spotter.push(crop)
        alive.append(weakref.ref(crop))
    del crop
    kept = sum(crop() is not None for crop in alive)
    assert kept <= (HISTORY_S + 1) * rate


@pytest.mark.parametrize("name", ["micro_max_s", "lag_s", "rate_hz", "pulse_trigger"])
def test_setting_of_zero_raises_with_its_name(name):
    with pytest.raises(Exception, match=name):
        SpotterSettings(**{name: 0.0})


def test_shipped_classifier_finds_clear_micros(make_crops, shipped):
    rng = np.random.default_rng(3)
    for aus, px in (((12,), 2.0), ((1, 2), 1.5), ((4,), 1.5)):
        action = micro(rng, 2.0, expression(rng, aus, px), "", px)
        spans = spot(make_crops([action], np.arange(0, 3.6, 1 / 30)), shipped)
        assert [overlap(span, action) > 0.5 for span in finals(spans, "micro")] == [True], aus


def test_classifier_sees_its_candidates_and_nothing_else(make_crops):
    classifier = Plain()
    spot(make_crops([smile(2.0)], np.arange(0, 3.2, 1 / 30)), classifier)
    assert classifier.seen
    for candidates in classifier.seen:
        count = len(candidates.features)
        assert candidates.motion.shape == (count, CHANNELS, STEPS)
        assert candidates.mask.shape == (count, STEPS)
        assert candidates.features.shape == (count, len(FEATURES))
        assert not candidates.motion[np.broadcast_to(candidates.mask[:, None] == 0, candidates.motion.shape)].any()
        assert np.isfinite(candidates.features).all()


def test_what_a_candidate_is_called_does_not_change_what_is_followed(make_crops):
    class Silent(Plain):
        def __call__(self, candidates: CandidateInput) -> np.ndarray:
            super().__call__(candidates)
            return np.eye(len(KINDS))[[5] * len(candidates.features)]

    crops = make_crops([smile(2.0), smile(3.0)], np.arange(0, 4.2, 1 / 30))
    plain, silent = Plain(), Silent()
    assert finals(spot(crops, plain), "micro")
    assert not finals(spot(crops, silent), "micro")
    features = [np.concatenate([candidates.features for candidates in one.seen]) for one in (plain, silent)]
    np.testing.assert_array_equal(*features)


def test_reported_micro_is_never_longer_than_its_definition(make_crops):
    slow = replace(smile(2.0), ramps=tuple(replace(ramp, offset_s=2.75) for ramp in smile(2.0).ramps))
    spans = spot(make_crops([slow], np.arange(0, 4, 1 / 30)))
    assert all(span.offset_s - span.onset_s <= 0.5 + 1e-9 for span in spans if span.kind == "micro")
    assert finals(spans, "macro")
