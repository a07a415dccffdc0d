import weakref
from dataclasses import replace

import numpy as np
import pytest

from merau.stream.spotter import Span, Spotter, SpotterSettings
from merau.trainers.data.synth.timelines import Action, Ramp, expression, macro, micro, speech


def smile(onset_s: float, px: float = 2.0) -> Action:
    rng = np.random.default_rng(5)
    return micro(rng, onset_s, expression(rng, (12,), px), "positive", px)


def said(crops: list) -> list[Span]:
    spotter = Spotter()
    return [span for crop in crops for span in spotter.push(crop)] + spotter.finish()


def last_words(spans: list[Span], kind: str) -> list[Span]:
    """The spans that were this kind in the end."""
    return [span for span in {span.id: span for span in spans}.values() if span.kind == kind and span.final]


def overlap(span: Span, act: Action) -> float:
    common = min(span.offset_s, act.offset_s) - max(span.onset_s, act.onset_s)
    return common / (max(span.offset_s, act.offset_s) - min(span.onset_s, act.onset_s))


def test_a_still_face_says_nothing(film):
    assert said(film([], np.arange(0, 4, 1 / 30))) == []


def test_a_micro_expression_is_said_at_its_apex_and_finally_under_the_same_id(film):
    act = smile(2.0)
    spotter = Spotter()
    heard = [(crop.t_s, span) for crop in film([act], np.arange(0, 4, 1 / 30)) for span in spotter.push(crop)]
    (final,) = last_words([span for _, span in heard], "micro")
    first_s, first = next((t_s, span) for t_s, span in heard if span.id == final.id)
    assert (first.kind, first.final) == ("micro", False)
    assert first_s - act.apex_s < 0.25
    assert overlap(final, act) > 0.7
    assert abs(final.apex_s - act.apex_s) < 0.04
    assert final.onset.t_s == pytest.approx(final.onset_s, abs=1 / 30)
    assert final.apex.t_s == pytest.approx(final.apex_s, abs=1 / 30)


def test_what_still_rises_is_not_said_yet(film):
    quick = Action("micro", (Ramp(2.0, 2.1, 2.25, expression(np.random.default_rng(5), (12,), 0.8)),), "positive", 0.8)
    spotter = Spotter()
    heard = [(crop.t_s, span) for crop in film([quick], np.arange(0, 3.2, 1 / 30)) for span in spotter.push(crop)]
    first_s, first = heard[0]
    assert first.kind == "micro"
    assert first_s > quick.apex_s
    assert first.apex_s == pytest.approx(quick.apex_s, abs=0.02)


def test_a_judge_of_expressions_has_the_last_word_on_what_is_in_doubt(film):
    clear, faint = smile(2.0), smile(2.0, px=0.3)
    slow = replace(clear, pulses=tuple(replace(pulse, offset_s=2.75) for pulse in clear.pulses))
    cases = ((clear, 1.1, 1), (faint, 0.2, 1), (faint, 0.4, 0), (slow, 0.2, 0), (slow, 0.05, 1))
    for act, doubt, count in cases:
        spotter = Spotter(judge=lambda onset, apex, doubt=doubt: doubt)
        spans = [span for crop in film([act], np.arange(0, 3.2, 1 / 30)) for span in spotter.push(crop)]
        assert len(last_words(spans + spotter.finish(), "micro")) == count, (act.offset_s, doubt)


def test_the_rules_stand_where_the_judge_cannot_tell(film):
    for px, count in ((0.3, 1), (0.1, 0)):
        crops = film([smile(2.0, px=px)], np.arange(0, 3.2, 1 / 30))
        told = [
            [span for crop in crops for span in spotter.push(crop)] + spotter.finish()
            for spotter in (Spotter(), Spotter(judge=lambda onset, apex: None))
        ]
        words = [[(span.kind, span.onset_s, span.final) for span in spans] for spans in told]
        assert words[0] == words[1]
        assert len(last_words(told[1], "micro")) == count


def test_no_single_frame_convinces_the_judge(film):
    crops = film([smile(2.0, px=0.3)], np.arange(0, 3.2, 1 / 30))

    def found(at_apex: float, about_it: float, apex: int | None = None) -> list[Span]:
        spotter = Spotter(judge=lambda _, crop: at_apex if apex in (None, crop.index) else about_it)
        return last_words([span for crop in crops for span in spotter.push(crop)] + spotter.finish(), "micro")

    (usual,) = found(0.2, 0.2)
    for at_apex, about_it, count in ((-0.1, 0.9, 0), (0.9, 0.2, 1), (1.1, 0.2, 0)):
        assert len(found(at_apex, about_it, usual.apex.index)) == count, (at_apex, about_it)


def test_what_shows_at_the_lids_alone_is_a_micro_expression_if_a_judge_believes_it(film):
    rng = np.random.default_rng(5)
    act = micro(rng, 2.0, expression(rng, (5,), 1.5), "surprise", 1.5)
    crops = film([act], np.arange(0, 3.2, 1 / 30))
    for judge, count in ((None, 0), (lambda onset, apex: 0.4, 0), (lambda onset, apex: 0.2, 1)):
        spotter = Spotter(judge=judge)
        spans = [span for crop in crops for span in spotter.push(crop)] + spotter.finish()
        found = last_words(spans, "micro")
        assert len(found) == count
        assert all(overlap(span, act) > 0.5 for span in found)
        assert not last_words(spans, "blink")


def test_what_brows_and_lids_show_together_is_said_of_the_brows(film):
    rng = np.random.default_rng(1)
    act = micro(rng, 2.0, expression(rng, (4, 7), 1.0), "negative", 1.0)
    spotter = Spotter(judge=lambda onset, apex: 0.05)
    spans = [span for crop in film([act], np.arange(0, 3.2, 1 / 30)) for span in spotter.push(crop)]
    (found,) = last_words(spans + spotter.finish(), "micro")
    assert not found.evidence.on_eyes
    assert overlap(found, act) > 0.8


def test_a_judge_may_deny_a_macro_unless_it_is_large_and_not_of_the_mouth_alone(film):
    rng, brows, jaw = np.random.default_rng(2), (1, 2), (25, 26)
    cases = ((brows, 3.0, 0.2, 1), (brows, 3.0, 0.4, 0), (brows, 12.0, 0.4, 1), (jaw, 12.0, 0.4, 0))
    for aus, px, doubt, count in cases:
        act = macro(rng, 1.5, expression(rng, aus, px), "", px)
        spotter = Spotter(judge=lambda onset, apex, doubt=doubt: doubt)
        crops = film([act], np.arange(0, act.offset_s + 1, 1 / 30))
        spans = [span for crop in crops for span in spotter.push(crop)] + spotter.finish()
        assert len(last_words(spans, "macro")) == count, (aus, px, doubt)


def test_more_is_asked_of_a_movement_while_the_noise_of_a_new_face_is_not_known(film):
    for onset_s, count in ((0.5, 0), (2.5, 1)):
        spans = said(film([smile(onset_s, px=0.5)], np.arange(0, onset_s + 1.2, 1 / 30)))
        assert len(last_words(spans, "micro")) == count, onset_s


@pytest.mark.parametrize("rate", [25, 100])
def test_the_frame_rate_changes_nothing_but_the_grain(film, rate):
    act = smile(1.8)
    (usual,) = last_words(said(film([act], np.arange(0, 3, 1 / 30))), "micro")
    (other,) = last_words(said(film([act], np.arange(0, 3, 1 / rate))), "micro")
    for moment in ("onset_s", "apex_s", "offset_s"):
        assert getattr(other, moment) == pytest.approx(getattr(usual, moment), abs=0.04)


def test_a_variable_rate_gives_the_same_span(film):
    act = smile(1.8)
    times_s = np.arange(0, 3, 1 / 60)
    uneven_s = times_s[np.random.default_rng(1).random(len(times_s)) > 0.3]
    (usual,) = last_words(said(film([act], times_s)), "micro")
    (other,) = last_words(said(film([act], uneven_s)), "micro")
    for moment in ("onset_s", "apex_s", "offset_s"):
        assert getattr(other, moment) == pytest.approx(getattr(usual, moment), abs=0.04)


def test_a_gap_in_the_frames_closes_what_is_open(film):
    act = smile(2.0)
    times_s = np.concatenate([np.arange(0, act.offset_s, 1 / 30), np.arange(act.offset_s + 1, 6, 1 / 30)])
    spotter = Spotter()
    heard = [(crop.t_s, span) for crop in film([act], times_s) for span in spotter.push(crop)]
    (final,) = last_words([span for _, span in heard], "micro")
    assert final.offset_s <= act.offset_s + 0.05
    assert all(t_s <= act.offset_s + 1.04 for t_s, _ in heard)


def test_an_expression_that_stays_is_a_macro(film):
    rng = np.random.default_rng(2)
    act = macro(rng, 1.5, expression(rng, (6, 12), 4.0), "positive", 4.0)
    spans = said(film([act], np.arange(0, act.offset_s + 1, 1 / 30)))
    assert [overlap(span, act) > 0.5 for span in last_words(spans, "macro")] == [True]
    assert last_words(spans, "micro") == []


def test_the_way_back_from_a_micro_expression_is_no_macro(film):
    rng = np.random.default_rng(8)
    acts = [micro(rng, onset_s, expression(rng, (12,), 2.0), "positive", 2.0) for onset_s in (2.0, 4.0)]
    spans = said(film(acts, np.arange(0, 5, 1 / 30)))
    assert len(last_words(spans, "micro")) == 2
    assert not [span for span in spans if span.kind == "macro"]


def test_a_micro_expression_on_one_that_is_held_leaves_it_a_macro(film):
    rng = np.random.default_rng(2)
    held = Action("macro", (Ramp(1.0, 2.5, 4.0, expression(rng, (12,), 4.0), hold_s=2.0),), "positive", 4.0)
    short = micro(rng, 2.6, expression(rng, (12,), 1.5), "positive", 1.5)
    spans = said(film([held, short], np.arange(0, 4.8, 1 / 30)))
    for kind, act in (("macro", held), ("micro", short)):
        assert [overlap(span, act) > 0.5 for span in last_words(spans, kind)] == [True], kind


def test_a_part_of_the_rise_of_an_expression_is_no_micro_expression(film):
    rng = np.random.default_rng(2)
    large = Action("macro", (Ramp(2.0, 2.5, 3.5, expression(rng, (1, 2), 4.0), hold_s=0.3),), "surprise", 4.0)
    small = Action("other", (Ramp(2.12, 2.3, 2.5, expression(rng, (12,), 0.6)),))
    spans = said(film([large, small], np.arange(0, 4.5, 1 / 30)))
    assert len(last_words(spans, "macro")) == 1
    assert last_words(spans, "micro") == []


def test_what_the_brows_show_of_a_jaw_that_drops_is_not_said(film):
    rng = np.random.default_rng(7)
    jaw = Action("other", (Ramp(2.0, 2.2, 2.45, expression(rng, (26, 25), 12.0)),))
    brows = Action("other", (Ramp(2.02, 2.15, 2.35, expression(rng, (4,), 0.8)),))
    spans = said(film([jaw, brows], np.arange(0, 3.5, 1 / 30)))
    assert [span for span in spans if span.kind == "micro" and span.evidence.upper_share > 0.5] == []


def test_speech_is_one_stretch_and_no_syllable_of_it_stays_a_micro_expression(film):
    act = speech(np.random.default_rng(3), 1.5, 3.0)
    spans = said(film([act], np.arange(0, act.offset_s + 2, 1 / 30)))
    (stretch,) = last_words(spans, "speech")
    assert overlap(stretch, act) > 0.5
    assert last_words(spans, "micro") == []
    named = next(i for i, span in enumerate(spans) if span.kind == "speech")
    assert [span for span in spans[named:] if span.kind == "micro"] == []


def test_memory_does_not_grow_with_the_stream(film):
    spotter, rate = Spotter(), 30
    alive = []
    for crop in film([smile(1.5), smile(3.5)], np.arange(0, 6, 1 / rate)):
        spotter.push(crop)
        alive.append(weakref.ref(crop))
    del crop
    kept = sum(crop() is not None for crop in alive)
    assert kept <= (spotter.RING_S + 1) * rate


@pytest.mark.parametrize("name", ["micro_max_s", "lag_s", "rate_hz", "pulse_trigger"])
def test_a_setting_that_makes_no_sense_is_refused_by_name(name):
    with pytest.raises(Exception, match=name):
        SpotterSettings(**{name: 0.0})
