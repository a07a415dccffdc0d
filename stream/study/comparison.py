"""Comparison of conditions by permutation tests on the participants' rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas
from scipy import stats

from merau.stream.study.participants import PARTICIPANT
from merau.stream.study.table import Study, measure

RESAMPLES = 9999
SEED = 0
MIN_PARTICIPANTS = 2  # in each condition


@dataclass(frozen=True)
class Comparison:
    """How the levels of one condition differ in the rates of the participants.

    Attributes:
        condition: Name of the condition.
        levels: Its values.
        paired: Whether each participant was seen under all levels.
        rates: Events a minute, a row for each participant and level: participant, the condition, measure, name,
            rate_per_min.
        tests: A row for each measure: condition, measure, name, level_a, level_b ..., the mean rate of each level,
            participants, p and p_adjusted.
        left_out: Participants who were not seen under all levels, though most were.
    """

    condition: str
    levels: tuple[str, ...]
    paired: bool
    rates: pandas.DataFrame
    tests: pandas.DataFrame
    left_out: tuple[str, ...]


def compare(study: Study, condition: str, seed: int = SEED) -> Comparison | None:
    """Compare the rates under the levels of a condition; None if there is too little to compare.

    Each participant has one rate for each level: all events over all minutes. If each participant belongs to one level,
    participants are permuted between levels. If they were seen under several, the levels are permuted within each
    participant, and participants who lack a level are left out. The statistic is the difference between the means of
    two levels, or the variance of the means of more. p is two-sided, and adjusted over all measures by Benjamini and
    Hochberg (1995).

    It is assumed that participants are independent of each other, and that without an effect each rate could as well
    belong to another level. Nothing is assumed about how rates are distributed.

    Args:
        study: The study.
        condition: One of its assigned columns.
        seed: Of the permutations, where there are too many to try all.
    """
    known = study.faces[(study.faces[condition] != "") & (study.faces[PARTICIPANT] != "")]
    chosen = Study(study.run, study.assigned, known, study.events, ())
    rates = measure(chosen, (PARTICIPANT, condition))
    rates = rates[rates["measure"] != "au"][[PARTICIPANT, condition, "measure", "name", "rate_per_min"]].dropna()
    levels = tuple(sorted(rates[condition].unique()))
    per_participant = rates.groupby(PARTICIPANT)[condition].nunique()
    paired = bool((per_participant > 1).any())
    left_out = tuple(per_participant.index[per_participant < len(levels)]) if paired else ()
    rates = rates[~rates[PARTICIPANT].isin(left_out)]
    sizes = rates.groupby(condition)[PARTICIPANT].nunique()
    if len(levels) < 2 or len(sizes) < len(levels) or sizes.min() < MIN_PARTICIPANTS:
        return None
    rows = [
        _test(own, condition, levels, paired, seed) | {"measure": what, "name": name}
        for (what, name), own in rates.groupby(["measure", "name"], sort=False)
        if own["rate_per_min"].any()
    ]
    tests = pandas.DataFrame(rows)
    if len(tests):
        tests["p_adjusted"] = stats.false_discovery_control(tests["p"])
    first = ["condition", "measure", "name"]
    tests = tests[first + [name for name in tests.columns if name not in first]] if len(tests) else tests
    return Comparison(condition, levels, paired, rates, tests, left_out)


def _test(rates: pandas.DataFrame, condition: str, levels: Sequence[str], paired: bool, seed: int) -> dict[str, Any]:
    ordered = rates.sort_values(PARTICIPANT)
    samples = [ordered.loc[ordered[condition] == level, "rate_per_min"].to_numpy() for level in levels]

    def spread(*parts: np.ndarray, axis: int) -> np.ndarray:
        means = np.stack([part.mean(axis=axis) for part in parts])
        difference: np.ndarray = means[0] - means[1] if len(parts) == 2 else means.var(axis=0)
        return difference

    result = stats.permutation_test(
        samples,
        spread,
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative="two-sided" if len(levels) == 2 else "greater",
        rng=np.random.default_rng(seed),
    )
    means = {f"mean_{level}": round(float(sample.mean()), 4) for level, sample in zip(levels, samples, strict=True)}
    return {
        "condition": condition,
        **means,
        "participants": ordered[PARTICIPANT].nunique(),
        "test": "permutation within participants" if paired else "permutation between participants",
        "p": round(float(result.pvalue), 4),
    }
