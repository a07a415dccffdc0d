from dataclasses import replace

import numpy as np
import pytest

from merau.stream.spotter import KINDS, SpotterSettings, Thresholds
from merau.stream.spotter.assembler import Decision, SpanAssembler

LIMITS = Thresholds(enter=0.6, final=0.6, leave=0.3, macro=0.5)
SETTINGS = SpotterSettings()


@pytest.fixture
def decide(make_crops):
    (crop,) = make_crops([], [0.0])

    def make(candidate: int, stage: str, apex_s: float, length_s: float = 0.3, **shares: float) -> Decision:
        shares.setdefault("other", max(1 - sum(shares.values()), 0))
        probabilities = tuple(shares.get(kind, 0.0) for kind in KINDS)
        onset_s, offset_s = apex_s - length_s / 2, apex_s + length_s / 2
        return Decision(candidate, stage, onset_s, apex_s, offset_s, 1.0, probabilities, crop, crop)

    return make


def assemble(*steps: tuple[float, Decision]) -> list:
    """(kind, id, final) of all that is reported."""
    assembler = SpanAssembler(SETTINGS)
    spans = [span for t_s, decision in steps for span in assembler.update([decision], LIMITS, t_s)]
    return [(span.kind, span.id, span.final) for span in [*spans, *assembler.update([], LIMITS, np.inf)]]


def test_movement_is_provisional_then_final_under_one_id(decide):
    apex, end = decide(1, "apex", 2.0, micro=0.7), decide(1, "end", 2.01, micro=0.9)
    assert assemble((2.1, apex), (2.15, apex), (2.3, end)) == [("micro", 1, False), ("micro", 1, True)]


def test_provisional_span_is_taken_back_only_if_it_is_unlikely(decide):
    apex = decide(1, "apex", 2.0, micro=0.7)
    for probability, last in ((0.4, ("micro", 1, True)), (0.2, ("other", 1, True))):
        assert assemble((2.1, apex), (2.3, decide(1, "end", 2.0, micro=probability))) == [("micro", 1, False), last]
    assert assemble((2.3, decide(1, "end", 2.0, micro=0.4))) == []  # it was never reported


def test_candidates_of_one_movement_are_one_event(decide):
    brows, mouth = decide(1, "apex", 2.0, micro=0.7), decide(2, "apex", 2.05, micro=0.7)
    first, second = decide(1, "end", 2.0, other=1.0), decide(2, "end", 2.05, micro=0.8)
    assert assemble((2.1, brows), (2.1, mouth), (2.3, first), (2.3, second)) == [
        ("micro", 1, False),
        ("micro", 1, True),
    ]
    again = decide(3, "end", 2.1, micro=0.9)  # the way back
    assert assemble((2.3, second), (2.4, again)) == [("micro", 1, True)]
    assert len(assemble((2.3, second), (3.3, decide(4, "end", 3.0, micro=0.9)))) == 2


def test_nothing_longer_than_the_limit_is_micro(decide):
    spans = SpanAssembler(SETTINGS).update([decide(1, "end", 2.0, SETTINGS.micro_max_s + 0.04, micro=0.9)], LIMITS, 2.3)
    assert [(span.kind, round(span.offset_s - span.onset_s, 6)) for span in spans] == [("micro", SETTINGS.micro_max_s)]
    assert assemble((2.5, decide(1, "end", 2.0, 0.7, micro=0.9))) == [("macro", 1, True)]


def test_held_expression_is_reported_while_it_lasts(decide):
    held, end = decide(1, "held", 2.0, 0.8, macro=0.8), decide(1, "end", 2.0, 2.0, macro=0.8)
    assert assemble((2.6, held), (4.0, end)) == [("macro", 1, False), ("macro", 1, True)]


def test_speech_is_one_span_until_it_pauses(decide):
    syllables = [decide(i, "end", 2.0 + 0.3 * i, 0.2, speech=0.9) for i in range(5)]
    later = decide(9, "end", 5.0, 0.2, speech=0.9)
    steps = [(syllable.apex_s + 0.3, syllable) for syllable in (*syllables, later)]
    assert assemble(*steps) == [("speech", 1, False), ("speech", 1, True), ("speech", 2, False), ("speech", 2, True)]


def test_first_syllable_reported_as_micro_is_taken_back(decide):
    apex, end = decide(1, "apex", 2.0, micro=0.7), decide(1, "end", 2.0, speech=0.9)
    assert ("other", 1, True) in assemble((2.1, apex), (2.3, end))


def test_blink_is_reported_once_beside_an_expression(decide):
    lids, again = decide(1, "end", 2.0, blink=0.9), decide(2, "end", 2.03, blink=0.9)
    brows = decide(3, "end", 2.05, micro=0.9)
    assert [kind for kind, _, _ in assemble((2.3, lids), (2.3, again), (2.3, brows))] == ["blink", "micro"]


def test_final_spans_never_change_whatever_comes(decide):
    rng = np.random.default_rng(0)
    for _ in range(40):
        assembler, ended, open_ids = SpanAssembler(SETTINGS), set(), set()
        for t_s in np.arange(1, 6, 0.04):
            shares = dict(zip(KINDS, rng.dirichlet(np.full(6, 0.3)).tolist(), strict=True))
            stage = str(rng.choice(["apex", "held", "end", "dropped"]))
            decision = decide(
                int(rng.integers(1, 12)), stage, t_s - rng.uniform(0.05, 0.5), rng.uniform(0.1, 1.5), **shares
            )
            for span in assembler.update([decision], LIMITS, float(t_s)):
                assert span.id not in ended
                assert span.kind != "micro" or span.offset_s - span.onset_s <= SETTINGS.micro_max_s + 1e-9
                (ended if span.final else open_ids).add(span.id)
        ends = [decide(i, "end", 6.0, other=1.0) for i in range(1, 12)]
        ended |= {span.id for span in assembler.update(ends, LIMITS, np.inf)}
        assert open_ids <= ended


def test_candidate_that_turns_out_to_be_part_of_another_is_taken_back(decide):
    apex = decide(1, "apex", 2.0, micro=0.7)
    dropped = replace(apex, stage="dropped")
    assert assemble((2.1, apex), (2.5, dropped)) == [("micro", 1, False), ("other", 1, True)]
