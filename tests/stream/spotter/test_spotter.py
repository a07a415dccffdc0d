import weakref
from dataclasses import replace

import numpy as np
import pytest

from merau.stream.spotter import SecondStage, Span, Spotter, SpotterSettings
from merau.stream.spotter.spotter import no_second_stage
from merau.trainers.data.synth.timelines import Action, Ramp, expression, macro, micro, speech


def smile(onset_s: float, px: float = 2.0) -> Action:
    rng = np.random.default_rng(5)
    return micro(rng, onset_s, expression(rng, (12,), px), "positive", px)


def spot(crops: list, second_stage: SecondStage = no_second_stage) -> list[Span]:
    spotter = Spotter(second_stage=second_stage)
    return [span for crop in crops for span in spotter.push(crop)] + spotter.finish()


def finals(spans: list[Span], kind: str) -> list[Span]:
    """The spans whose final kind is this one."""
    return [span for span in {span.id: span for span in spans}.values() if span.kind == kind and span.final]


def overlap(span: Span, action: Action) -> float:
    common = min(span.offset_s, action.offset_s) - max(span.onset_s, action.onset_s)
    return common / (max(span.offset_s, action.offset_s) - min(span.onset_s, action.onset_s))


def test_still_face_gives_no_span(make_crops):
    assert spot(make_crops([], np.arange(0, 4, 1 / 30))) == []


def test_micro_is_provisional_at_its_apex_then_final(make_crops):
    action = smile(2.0)
    spotter = Spotter()
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
    spotter = Spotter()
    reported = [
        (crop.t_s, span) for crop in make_crops([quick], np.arange(0, 3.2, 1 / 30)) for span in spotter.push(crop)
    ]
    first_s, first = reported[0]
    assert first.kind == "micro"
    assert first_s > quick.apex_s
    assert first.apex_s == pytest.approx(quick.apex_s, abs=0.02)


def test_second_stage_decides_on_ambiguous_movements(make_crops):
    clear, faint = smile(2.0), smile(2.0, px=0.3)
    slow = replace(clear, ramps=tuple(replace(ramp, offset_s=2.75) for ramp in clear.ramps))
    cases = ((clear, 1.1, 1), (faint, 0.2, 1), (faint, 0.4, 0), (slow, 0.2, 0), (slow, 0.05, 1))
    for action, score, count in cases:
        spans = spot(make_crops([action], np.arange(0, 3.2, 1 / 30)), lambda onset, apex, score=score: score)
        assert len(finals(spans, "micro")) == count, (action.offset_s, score)


def test_rules_decide_where_the_second_stage_cannot(make_crops):
    for px, count in ((0.3, 1), (0.1, 0)):
        crops = make_crops([smile(2.0, px=px)], np.arange(0, 3.2, 1 / 30))
        reported = [spot(crops), spot(crops, lambda onset, apex: None)]
        alone, undecided = ([(span.kind, span.onset_s, span.final) for span in spans] for spans in reported)
        assert alone == undecided
        assert len(finals(reported[1], "micro")) == count


def test_no_single_frame_decides_in_the_second_stage(make_crops):
    crops = make_crops([smile(2.0, px=0.3)], np.arange(0, 3.2, 1 / 30))

    def found(at_apex: float, around_it: float, apex: int | None = None) -> list[Span]:
        spans = spot(crops, lambda _, crop: at_apex if apex in (None, crop.index) else around_it)
        return finals(spans, "micro")

    (usual,) = found(0.2, 0.2)
    for at_apex, around_it, count in ((-0.1, 0.9, 0), (0.9, 0.2, 1), (1.1, 0.2, 0)):
        assert len(found(at_apex, around_it, usual.apex.index)) == count, (at_apex, around_it)


def test_movement_of_the_lids_is_micro_if_second_stage_agrees(make_crops):
    rng = np.random.default_rng(5)
    action = micro(rng, 2.0, expression(rng, (5,), 1.5), "surprise", 1.5)
    crops = make_crops([action], np.arange(0, 3.2, 1 / 30))
    for second_stage, count in ((no_second_stage, 0), (lambda onset, apex: 0.4, 0), (lambda onset, apex: 0.2, 1)):
        spans = spot(crops, second_stage)
        found = finals(spans, "micro")
        assert len(found) == count
        assert all(overlap(span, action) > 0.5 for span in found)
        assert not finals(spans, "blink")


def test_movement_of_brows_and_lids_is_measured_at_the_brows(make_crops):
    rng = np.random.default_rng(1)
    action = micro(rng, 2.0, expression(rng, (4, 7), 1.0), "negative", 1.0)
    spans = spot(make_crops([action], np.arange(0, 3.2, 1 / 30)), lambda onset, apex: 0.05)
    (found,) = finals(spans, "micro")
    assert not found.features.in_eye_region
    assert overlap(found, action) > 0.8


def test_second_stage_rejects_macro_unless_large_beyond_mouth(make_crops):
    rng, brows, jaw = np.random.default_rng(2), (1, 2), (25, 26)
    cases = ((brows, 3.0, 0.2, 1), (brows, 3.0, 0.4, 0), (brows, 12.0, 0.4, 1), (jaw, 12.0, 0.4, 0))
    for aus, px, score, count in cases:
        action = macro(rng, 1.5, expression(rng, aus, px), "", px)
        crops = make_crops([action], np.arange(0, action.offset_s + 1, 1 / 30))
        spans = spot(crops, lambda onset, apex, score=score: score)
        assert len(finals(spans, "macro")) == count, (aus, px, score)


def test_faint_movement_of_a_new_face_is_rejected(make_crops):
    for onset_s, count in ((0.5, 0), (2.5, 1)):
        spans = spot(make_crops([smile(onset_s, px=0.5)], np.arange(0, onset_s + 1.2, 1 / 30)))
        assert len(finals(spans, "micro")) == count, onset_s


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
    spotter = Spotter()
    reported = [(crop.t_s, span) for crop in make_crops([action], times_s) for span in spotter.push(crop)]
    (final,) = finals([span for _, span in reported], "micro")
    assert final.offset_s <= action.offset_s + 0.05
    assert all(t_s <= action.offset_s + 1.04 for t_s, _ in reported)


def test_expression_that_stays_is_macro(make_crops):
    rng = np.random.default_rng(2)
    action = macro(rng, 1.5, expression(rng, (6, 12), 4.0), "positive", 4.0)
    spans = spot(make_crops([action], np.arange(0, action.offset_s + 1, 1 / 30)))
    assert [overlap(span, action) > 0.5 for span in finals(spans, "macro")] == [True]
    assert finals(spans, "micro") == []


def test_return_from_a_micro_is_no_macro(make_crops):
    rng = np.random.default_rng(8)
    actions = [micro(rng, onset_s, expression(rng, (12,), 2.0), "positive", 2.0) for onset_s in (2.0, 4.0)]
    spans = spot(make_crops(actions, np.arange(0, 5, 1 / 30)))
    assert len(finals(spans, "micro")) == 2
    assert not [span for span in spans if span.kind == "macro"]


def test_micro_on_a_held_expression_leaves_it_macro(make_crops):
    rng = np.random.default_rng(2)
    held = Action("macro", (Ramp(1.0, 2.5, 4.0, expression(rng, (12,), 4.0), hold_s=2.0),), "positive", 4.0)
    short = micro(rng, 2.6, expression(rng, (12,), 1.5), "positive", 1.5)
    spans = spot(make_crops([held, short], np.arange(0, 4.8, 1 / 30)))
    for kind, action in (("macro", held), ("micro", short)):
        assert [overlap(span, action) > 0.5 for span in finals(spans, kind)] == [True], kind


def test_part_of_a_rise_is_no_micro(make_crops):
    rng = np.random.default_rng(2)
    large = Action("macro", (Ramp(2.0, 2.5, 3.5, expression(rng, (1, 2), 4.0), hold_s=0.3),), "surprise", 4.0)
    small = Action("other", (Ramp(2.12, 2.3, 2.5, expression(rng, (12,), 0.6)),))
    spans = spot(make_crops([large, small], np.arange(0, 4.5, 1 / 30)))
    assert len(finals(spans, "macro")) == 1
    assert finals(spans, "micro") == []


def test_small_brow_movement_beside_a_jaw_drop_is_no_micro(make_crops):
    rng = np.random.default_rng(7)
    jaw = Action("other", (Ramp(2.0, 2.2, 2.45, expression(rng, (26, 25), 12.0)),))
    brows = Action("other", (Ramp(2.02, 2.15, 2.35, expression(rng, (4,), 0.8)),))
    spans = spot(make_crops([jaw, brows], np.arange(0, 3.5, 1 / 30)))
    assert [span for span in spans if span.kind == "micro" and span.features.upper_share > 0.5] == []


def test_speech_is_one_segment_without_micros(make_crops):
    action = speech(np.random.default_rng(3), 1.5, 3.0)
    spans = spot(make_crops([action], np.arange(0, action.offset_s + 2, 1 / 30)))
    (segment,) = finals(spans, "speech")
    assert overlap(segment, action) > 0.5
    assert finals(spans, "micro") == []
    named = next(i for i, span in enumerate(spans) if span.kind == "speech")
    assert [span for span in spans[named:] if span.kind == "micro"] == []


def test_history_does_not_grow_with_the_stream(make_crops):
    spotter, rate = Spotter(), 30
    alive = []
    for crop in make_crops([smile(1.5), smile(3.5)], np.arange(0, 6, 1 / rate)):
        spotter.push(crop)
        alive.append(weakref.ref(crop))
    del crop
    kept = sum(crop() is not None for crop in alive)
    assert kept <= (spotter.HISTORY_S + 1) * rate


@pytest.mark.parametrize("name", ["micro_max_s", "lag_s", "rate_hz", "pulse_trigger"])
def test_setting_of_zero_raises_with_its_name(name):
    with pytest.raises(Exception, match=name):
        SpotterSettings(**{name: 0.0})
