from dataclasses import replace

import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.engine.bundle_arrays import read_head
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.few_shot import FewShotHead, Sample, cross_validation_folds, fit_few_shot
from merau.engine.recognizer import Recognizer
from tests.support import clustered_samples

DIMENSION = read_head(bundles.load()).dimension  # of an embedding


def predict_labels(head: FewShotHead, samples: list[Sample]) -> list[str]:
    answers = [head.probabilities(sample) for sample in samples]
    return [max(answer, key=answer.__getitem__) for answer in answers]


@pytest.mark.parametrize("kind", ["auto", "linear", "cosine", "prototypes"])
def test_new_classes_are_learned_from_five_samples(recognizer, kind):
    samples = clustered_samples(recognizer, ("tense", "repression", "surprise"), 10)
    head = fit_few_shot([s for i, s in enumerate(samples) if i % 2], recognizer.bundle, kind=kind)
    assert predict_labels(head, samples[::2]) == [s.label for s in samples[::2]]
    assert head.kind == kind or kind == "auto"
    assert head.estimate == 1
    assert "Estimated accuracy: 100%" in str(head.explanation)


@pytest.mark.parametrize(
    "wrong",
    [
        {"embedding": np.full(DIMENSION, 1e30, np.float32)},
        {"embedding": np.zeros(7, np.float32)},
        {"probabilities": {}},
        {"probabilities": dict.fromkeys(("positive", "surprise", "negative", "no expression"), 0.0)},
        {"aus": {"4": float("nan")}},
        {"aus": {"99": 0.5}},
        {"aus": {}},
    ],
    ids=str,
)
def test_sample_that_the_bundle_cannot_have_given_is_refused(recognizer, wrong):
    samples = clustered_samples(recognizer, ("tense", "positive"), 2)
    with pytest.raises(UserError, match="holds values that merau-default cannot have given"):
        fit_few_shot([*samples, replace(samples[0], **wrong)], recognizer.bundle)


def test_many_samples_have_fewer_folds():
    assert len(cross_validation_folds(np.arange(300) % 5)) == 30
    assert len(cross_validation_folds(np.arange(2000) % 10)) == 3


def test_uninformative_samples_leave_the_prior(recognizer):
    same = [replace(s, embedding=0 * s.embedding) for s in clustered_samples(recognizer, ("positive", "surprise"), 5)]
    head = fit_few_shot(same, recognizer.bundle)
    sure = {"positive": 0.1, "surprise": 0.8, "negative": 0.05, "no expression": 0.05}
    assert predict_labels(head, [replace(same[0], probabilities=sure)]) == ["surprise"]


POSITIVE = {"positive": 0.94, "surprise": 0.02, "negative": 0.02, "no expression": 0.02}
SURPRISE = POSITIVE | {"positive": 0.02, "surprise": 0.94}


def samples_that_agree(recognizer: Recognizer) -> list[Sample]:
    """Five samples each of two classes that the bundle knows and classifies correctly."""
    samples = clustered_samples(recognizer, ("positive", "surprise"), 5)
    return [replace(s, probabilities=POSITIVE if s.label == "positive" else SURPRISE) for s in samples]


def test_samples_that_agree_with_the_prior_change_little(recognizer):
    samples = samples_that_agree(recognizer)
    head = fit_few_shot(samples, recognizer.bundle)
    for seen in samples:
        assert head.probabilities(replace(seen, probabilities=SURPRISE))["surprise"] > 0.94
        undecided = seen.probabilities | dict.fromkeys(("positive", "surprise"), 0.48)
        assert 0.5 < head.probabilities(replace(seen, probabilities=undecided))[seen.label] < 0.6
    assert head.estimate == 1
    assert "they adjust its own probabilities a little, spread over these classes alone" in str(head.explanation)


def test_one_contradicting_sample_changes_no_class(recognizer):
    samples = samples_that_agree(recognizer)
    samples[0] = replace(samples[0], probabilities=SURPRISE)
    head = fit_few_shot(samples, recognizer.bundle)
    assert predict_labels(head, samples) == ["surprise"] + [s.label for s in samples[1:]]


@pytest.mark.parametrize("kind", ["auto", "cosine"])
def test_repeated_errors_of_the_bundle_are_corrected(recognizer, kind):
    samples = [replace(s, probabilities=POSITIVE) for s in clustered_samples(recognizer, ("positive", "surprise"), 10)]
    head = fit_few_shot([s for i, s in enumerate(samples) if i % 2], recognizer.bundle, kind=kind)
    assert predict_labels(head, samples[::2]) == [s.label for s in samples[::2]]
    assert ("the samples show that it is wrong: they correct it" in str(head.explanation)) == (kind == "auto")


def test_folds_leave_out_all_samples_and_keep_all_classes():
    labels = np.repeat([0, 1, 2, 3], [1, 2, 40, 100])
    folds = cross_validation_folds(labels)
    assert sorted(np.concatenate(folds)) == list(range(1, 143))  # the only one of its class stays
    assert len(folds) == 30
    assert all(set(np.delete(labels, out)) == {0, 1, 2, 3} for out in folds)


def test_one_sample_per_class_leaves_the_prior(recognizer):
    samples = [replace(s, probabilities=POSITIVE) for s in clustered_samples(recognizer, ("positive", "surprise"), 1)]
    head = fit_few_shot(samples, recognizer.bundle)
    assert predict_labels(head, samples) == ["positive", "positive"]
    assert head.estimate is None


def test_few_samples_of_a_new_class_make_nothing_certain(recognizer):
    for shots, limit in ((1, 2 / 3), (2, 3 / 4), (4, 5 / 6)):
        samples = clustered_samples(recognizer, ("wink", "surprise", "smirk"), shots)
        head = fit_few_shot(samples, recognizer.bundle)
        answers = [head.probabilities(sample) for sample in samples]
        assert max(max(answer["wink"], answer["smirk"]) for answer in answers) <= limit + 1e-9
        assert [sum(answer.values()) for answer in answers] == pytest.approx([1.0] * len(answers))
    sure = replace(samples[0], probabilities=SURPRISE)
    one = fit_few_shot(clustered_samples(recognizer, ("surprise", "positive"), 1), recognizer.bundle)
    assert one.probabilities(sure)["surprise"] > 0.9  # the prior may be certain


def test_weight_beside_a_new_class_is_earned(recognizer):
    samples = clustered_samples(recognizer, ("wink", "surprise"), 1)
    assert fit_few_shot(samples, recognizer.bundle).temperature == np.inf
    assert fit_few_shot(clustered_samples(recognizer, ("wink", "surprise"), 8), recognizer.bundle).temperature < 4


@pytest.mark.parametrize("new", ["wink", "positive"])
def test_one_sample_of_a_class_gives_no_estimate(recognizer, new):
    samples = [*clustered_samples(recognizer, ("surprise",), 5), *clustered_samples(recognizer, (new,), 1)]
    head = fit_few_shot(samples, recognizer.bundle)
    assert head.estimate is None
    assert "Too few samples" in str(head.explanation)
    assert "%" not in str(head.explanation)


def test_class_named_by_action_units_has_their_probability(recognizer):
    same = [replace(s, embedding=0 * s.embedding) for s in clustered_samples(recognizer, ("AU12", "4+7"), 2)]
    frowning = same[0].aus | {"4": 0.9, "7": 0.8, "12": 0.1}
    assert predict_labels(fit_few_shot(same, recognizer.bundle), [replace(same[0], aus=frowning)]) == ["4+7"]


def test_labels_that_differ_in_case_or_blanks_are_one_class(recognizer):
    samples = clustered_samples(recognizer, ("calm", "\u00fcble Laune"), per_class=4)
    spelled = [
        replace(samples[0], label=" Calm"),
        *samples[1:-1],
        replace(samples[-1], label="U\u0308ble  laune"),  # how macOS encodes the umlaut
    ]
    head = fit_few_shot(spelled, recognizer.bundle)
    assert head.classes == ("calm", "\u00fcble Laune")
    assert {sample.label for sample in head.samples} == set(head.classes)
    assert "are one class: ' Calm' = 'calm', '\u00fcble Laune' = 'U\u0308ble  laune'." in str(head.explanation)


def test_refined_head_keeps_old_classes(recognizer):
    samples = clustered_samples(recognizer, ("tense", "repression", "surprise"), 5)
    before = fit_few_shot(samples[:10], recognizer.bundle)
    after = fit_few_shot([*before.samples, *samples[10:]], recognizer.bundle)
    assert before.classes == ("repression", "tense")
    assert predict_labels(before, samples[:10]) == predict_labels(after, samples[:10])
    assert predict_labels(after, samples[10:]) == ["surprise"] * 5


def test_use_head_switches_classes_and_back(recognizer):
    crop = np.random.default_rng(0).integers(0, 255, CropSpec().full, dtype=np.uint8)
    own = recognizer.predict(crop, crop)
    recognizer.use_head(fit_few_shot(clustered_samples(recognizer, ("tense", "repression"), 3), recognizer.bundle))
    taught = recognizer.predict(crop, crop)
    assert set(taught.probabilities) == {"tense", "repression"}
    assert taught.label in taught.probabilities
    assert taught.prior == own.probabilities
    assert taught.aus == own.aus
    recognizer.use_head(None)
    assert recognizer.predict(crop, crop).probabilities == own.probabilities


def test_too_few_classes_and_unknown_kind_are_refused(recognizer):
    with pytest.raises(UserError, match="all given are 'tense'"):
        fit_few_shot(clustered_samples(recognizer, ("tense",), 3), recognizer.bundle)
    with pytest.raises(UserError, match="none were given"):
        fit_few_shot([], recognizer.bundle)
    with pytest.raises(UserError, match="'forest': choose one of auto, linear"):
        fit_few_shot(clustered_samples(recognizer, ("a", "b"), 3), recognizer.bundle, kind="forest")
