from itertools import product

import numpy as np
import pytest

from merau.stream.study.comparison import compare
from merau.stream.study.participants import Assignment, from_pattern
from merau.stream.study.table import read_study
from tests.stream.study.conftest import MICROS


def test_paired_comparison_is_the_exact_sign_flip_test(study_store):
    found = compare(read_study(study_store, from_pattern("{participant}/{condition}")), "condition")
    micro = found.tests[found.tests["name"] == "micro"].iloc[0]
    assert found.paired
    assert micro[["mean_rest", "mean_stress"]].tolist() == pytest.approx([7 / 6, 28 / 6], abs=1e-4)
    differences = np.subtract(MICROS["rest"], MICROS["stress"])
    means = [np.dot(signs, differences) for signs in product((-1, 1), repeat=6)]
    assert micro["p"] == pytest.approx(np.mean(np.abs(means) >= abs(differences.sum())), abs=1e-4)
    assert (found.tests["p_adjusted"] >= found.tests["p"]).all()


def test_participants_of_one_group_each_are_permuted_between_groups(study_store):
    groups = Assignment(
        ("participant", "group"),
        lambda path, face: {"participant": path[6:9], "group": "young" if path[8] < "4" else "old"},
    )
    found = compare(read_study(study_store, groups), "group")
    assert not found.paired
    assert found.tests["participants"].tolist() == [6] * len(found.tests)
    blink = found.tests[found.tests["name"] == "blink"].iloc[0]
    assert blink["p"] == 1


def test_too_little_is_not_compared(study_store):
    one = Assignment(("participant", "group"), lambda path, face: {"participant": path[6:9], "group": path[8]})
    assert compare(read_study(study_store, one), "group") is None
