import numpy as np
import pytest
from scipy import stats

from merau.engine.errors import UserError
from merau.stream.store import Store, read_sessions
from merau.stream.study.participants import Assignment, from_pattern
from merau.stream.study.table import measure, poisson_interval, read_study, widen
from tests.stream.study.conftest import MICROS, add_session, make_event

PATTERN = from_pattern("{participant}/{condition}")


def row(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    (found,) = table.to_dict("records")
    return found


def test_measures_count_rate_share_and_medians(study_store):
    table = measure(read_study(study_store, PATTERN), ["participant", "condition"])
    found = row(table, participant="P02", condition="stress", measure="kind", name="micro")
    assert found["analysed_min"] == 1
    assert (found["count"], found["rate_per_min"]) == (6, 6)
    assert found["share_of_time"] == pytest.approx(6 * 0.4 / 60)
    assert found["duration_median_s"] == pytest.approx(0.4)
    assert found["strength_median_px"] == pytest.approx(1.25)
    assert row(table, participant="P02", condition="stress", measure="au", name="12")["count"] == 6
    assert row(table, participant="P02", condition="stress", measure="au", name="6")["count"] == 0
    assert row(table, participant="P03", condition="rest", measure="class", name="positive")["count"] == 0
    assert table.groupby("condition")["analysed_min"].first().tolist() == [1, 1]


def test_groups_add_up(study_store):
    study = read_study(study_store, PATTERN)
    micro = {"measure": "kind", "name": "micro"}
    for condition, numbers in MICROS.items():
        found = row(measure(study, ["condition"]), condition=condition, **micro)
        assert (found["count"], found["analysed_min"]) == (sum(numbers), 6)
    wide = widen(measure(study, ["recording"]), ["recording"])
    assert len(wide) == 12
    assert wide["kind_micro_count"].sum() == sum(map(sum, MICROS.values()))
    assert not [name for name in wide.columns if " " in name]


def test_corrections_leave_out_false_events_and_add_missed_ones(study_store):
    stress = {"condition": "stress", "participant": "P01"}
    for coder, micro, macro in ((None, 3, 1), ("Ann", 3, 1), ("Bob", 4, 0)):
        study = read_study(study_store, PATTERN, corrected=True, coder=coder)
        table = measure(study, ["participant", "condition"])
        assert row(table, measure="kind", name="micro", **stress)["count"] == micro
        assert row(table, measure="kind", name="macro", **stress)["count"] == macro
    assert row(measure(read_study(study_store, PATTERN), list(stress)), measure="kind", name="micro", **stress)


def test_interval_is_that_of_the_exact_test():
    for count, low, high in zip((0, 1, 7), *poisson_interval(np.array([0, 1, 7])), strict=True):
        assert stats.poisson.cdf(count, high) == pytest.approx(0.025)
        assert low == 0 if count == 0 else stats.poisson.sf(count - 1, low) == pytest.approx(0.025)


def test_overlapping_events_are_counted_once(tmp_path):
    path = tmp_path / "merau.db"
    with Store(path) as store:
        spans = ((1.0, 2.0), (2.0, 2.0), (2.5, 0.5), (8.0, 1.0))
        add_session(store, "a.mp4", [make_event(i, "speech", *span) for i, span in enumerate(spans)])
    table = measure(read_study(path, Assignment()), ["recording"])
    assert row(table, name="speech")["share_of_time"] == pytest.approx((3 + 1) / 60, abs=1e-4)


def test_other_runs_and_partial_sessions_do_not_count_twice(tmp_path):
    path = tmp_path / "merau.db"
    with Store(path) as store:
        add_session(store, "a.mp4", [make_event(1, "micro", 1, 0.4)], partial=True, end_s=10)
        add_session(store, "a.mp4", [make_event(1, "micro", 1, 0.4)], partial=True, end_s=60)
        add_session(store, "b.mp4", [])
        add_session(store, "a.mp4", [], precision="fp32")
    study = read_study(path, Assignment())
    assert study.faces["session"].tolist() == [2, 3]
    assert study.run == read_sessions(path)[0].run
    told = " ".join(map(str, study.notes))
    assert "--run chooses another one" in told
    assert "Partial, as the analysis was interrupted: a.mp4." in told
    other = read_sessions(path)[3].run
    assert read_study(path, Assignment(), run=other).faces["session"].tolist() == [4]
    with pytest.raises(UserError, match="has no run 'x': choose default-"):
        read_study(path, Assignment(), run="x")


def test_store_of_an_older_version_has_no_rates(tmp_path):
    path = tmp_path / "merau.db"
    with Store(path) as store:
        session = store.start_session("a.mp4", settings={}, bundle="default", bundle_sha256="ab")
        store.put(session, make_event(1, "micro", 1, 0.4))
    study = read_study(path, Assignment())
    assert "minutes are not known" in str(study.notes[0])
    assert measure(study, ["recording"]).empty
    assert len(study.events) == 1
