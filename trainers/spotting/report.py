"""How well classifiers of the spotter do beside the rules, by motion model and strength, with intervals."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from merau.stream.spotter import SpanClassifier
from merau.trainers.baselines.spot_rules import SpotRules
from merau.trainers.evaluate.spotting import ClipResult, match_micro, score
from merau.trainers.spotting.record import Recording
from merau.trainers.spotting.tune import calibrate, choose_thresholds, replay_all, softmax

STRENGTHS_PX = (0.0, 0.7, 1.4, 100.0)  # limits: about 0.5, 1, and 2 px and more
DRAWS, LEVEL = 1000, (2.5, 97.5)


def compare(
    recordings: Sequence[Recording], logits: dict[str, list[np.ndarray]], most_false_per_minute: float | None = None
) -> dict[str, Any]:
    """Report each learner by its logits of what it was not trained on, and the rules.

    Each learner has its own temperature and thresholds, as the trained one has.
    """
    rules = SpotRules()
    reports = {"rules": describe_results(recordings, score_classifier(recordings, rules))}
    for name, said in logits.items():
        temperature = calibrate(recordings, said)
        probabilities = [softmax(one, temperature) for one in said]
        thresholds = choose_thresholds(recordings, probabilities, most_false_per_minute)
        results = replay_all(recordings, probabilities, thresholds)
        reports[name] = {"thresholds": vars(thresholds)} | describe_results(recordings, results)
    return reports


def score_classifier(recordings: Sequence[Recording], classifier: SpanClassifier) -> list[ClipResult]:
    """Assemble what a classifier makes of each recording."""
    return replay_all(recordings, [classifier(recording.inputs) for recording in recordings], classifier.thresholds)


def describe_results(recordings: Sequence[Recording], results: Sequence[ClipResult]) -> dict[str, Any]:
    """Score all recordings, those of each motion model, and footage in which nothing was painted."""
    groups: dict[str, Callable[[Recording], bool]] = {"all": lambda recording: True}
    for model in sorted({recording.motion_model for recording in recordings}):
        groups[model] = lambda recording, model=model: recording.motion_model == model  # type: ignore[misc]
    return {
        name: _with_intervals([result for r, result in zip(recordings, results, strict=True) if belongs(r)])
        for name, belongs in groups.items()
    }


def _with_intervals(results: Sequence[ClipResult]) -> dict[str, Any]:
    counts = np.array([_count(result) for result in results], float)
    draws = np.random.default_rng(0).integers(len(results), size=(DRAWS, len(results)))
    totals = counts[draws].sum(axis=1)
    f1 = 2 * totals[:, 0] / np.maximum(totals[:, 1] + totals[:, 2], 1)
    false = (totals[:, 2] - totals[:, 0]) / np.maximum(totals[:, 3], 1e-9)
    scored = score(results)
    recall = {}
    for low, high in pairwise(STRENGTHS_PX):
        found, true = np.sum([_found(result, low, high) for result in results], axis=0)
        recall[f"{low:g}-{high:g} px"] = [int(found), int(true)]
    return scored | {
        "f1_interval": np.percentile(f1, LEVEL).round(3).tolist(),
        "false_per_minute_interval": np.percentile(false, LEVEL).round(2).tolist(),
        "found_of_true": recall,
    }


def _count(result: ClipResult) -> tuple[float, ...]:
    spans, detections, matches = match_micro(result)
    return len(matches), len(spans), len(detections), result.duration_s / 60


def _found(result: ClipResult, low: float, high: float) -> tuple[int, int]:
    spans, _, matches = match_micro(result)
    chosen = {i for i, span in enumerate(spans) if low <= span["peak_px"] < high}
    return len({i for i, _ in matches} & chosen), len(chosen)
