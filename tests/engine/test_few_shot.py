from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from merau.engine.bundle import SHIPPED
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.few_shot import FewShotHead, Sample, cross_validation_folds, fit_few_shot
from merau.engine.few_shot_file import HeadFile
from merau.engine.recognizer import Recognizer


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load()


def shots(recognizer: Recognizer, labels: tuple[str, ...], per_class: int) -> list[Sample]:
    """Samples in clusters around random embeddings, one for each label; the bundle is in doubt about all of them."""
    rng = np.random.default_rng(0)
    doubt = {name: 1 / len(recognizer.head.classes) for name in recognizer.head.classes}
    aus = dict.fromkeys(recognizer.bundle.card["aus"], 0.5)
    samples = []
    for label in labels:
        centre = rng.normal(0, 1, recognizer.head.dimension)
        for _ in range(per_class):
            embedding = (centre + rng.normal(0, 0.4, len(centre))).astype(np.float32)
            samples.append(Sample(label, embedding, doubt, aus))
    return samples


def named(lesson: FewShotHead, samples: list[Sample]) -> list[str]:
    answers = [lesson.probabilities(sample) for sample in samples]
    return [max(answer, key=answer.__getitem__) for answer in answers]


@pytest.mark.parametrize("kind", ["auto", "linear", "cosine", "prototypes"])
def test_new_classes_are_told_from_five_samples(recognizer, kind):
    samples = shots(recognizer, ("tense", "repression", "surprise"), 10)
    lesson = fit_few_shot([s for i, s in enumerate(samples) if i % 2], recognizer.bundle, kind=kind)
    assert named(lesson, samples[::2]) == [s.label for s in samples[::2]]
    assert lesson.kind == kind or kind == "auto"
    assert lesson.estimate == 1
    assert "Estimated accuracy: 100%" in str(lesson.explanation)


def test_where_the_samples_say_nothing_the_bundle_is_believed(recognizer):
    same = [replace(s, embedding=0 * s.embedding) for s in shots(recognizer, ("positive", "surprise"), 5)]
    lesson = fit_few_shot(same, recognizer.bundle)
    sure = {"positive": 0.1, "surprise": 0.8, "negative": 0.05, "no expression": 0.05}
    assert named(lesson, [replace(same[0], probabilities=sure)]) == ["surprise"]


SURE = {"positive": 0.94, "surprise": 0.02, "negative": 0.02, "no expression": 0.02}
OTHER = SURE | {"positive": 0.02, "surprise": 0.94}


def judged_rightly(recognizer: Recognizer) -> list[Sample]:
    """Five samples each of two classes that the bundle knows and names rightly."""
    samples = shots(recognizer, ("positive", "surprise"), 5)
    return [replace(s, probabilities=SURE if s.label == "positive" else OTHER) for s in samples]


def test_samples_that_the_bundle_names_rightly_change_nothing(recognizer):
    samples = judged_rightly(recognizer)
    lesson = fit_few_shot(samples, recognizer.bundle)
    for seen in samples:
        strange = replace(seen, probabilities=OTHER)  # whatever it looks like
        assert lesson.probabilities(strange)["surprise"] == pytest.approx(0.94 / 0.96, abs=1e-6)
    assert lesson.estimate == 1
    assert "its own probabilities stay in use" in str(lesson.explanation)


def test_one_sample_against_the_bundle_does_not_make_the_case(recognizer):
    samples = judged_rightly(recognizer)
    samples[0] = replace(samples[0], probabilities=OTHER)
    assert fit_few_shot(samples, recognizer.bundle).weight == 0


@pytest.mark.parametrize("kind", ["auto", "cosine"])
def test_where_the_bundle_errs_again_and_again_it_is_corrected(recognizer, kind):
    samples = [replace(s, probabilities=SURE) for s in shots(recognizer, ("positive", "surprise"), 10)]
    lesson = fit_few_shot([s for i, s in enumerate(samples) if i % 2], recognizer.bundle, kind=kind)
    assert named(lesson, samples[::2]) == [s.label for s in samples[::2]]
    assert "the samples correct it with a weight of" in str(lesson.explanation)


def test_of_many_samples_all_are_left_out_and_each_class_stays():
    labels = np.repeat([0, 1, 2, 3], [1, 2, 40, 100])
    folds = cross_validation_folds(labels)
    assert sorted(np.concatenate(folds)) == list(range(1, 143))  # the only one of its class stays
    assert len(folds) == 30
    assert all(set(np.delete(labels, out)) == {0, 1, 2, 3} for out in folds)


def test_one_sample_a_class_is_no_evidence_against_the_bundle(recognizer):
    samples = [replace(s, probabilities=SURE) for s in shots(recognizer, ("positive", "surprise"), 1)]
    lesson = fit_few_shot(samples, recognizer.bundle)
    assert named(lesson, samples) == ["positive", "positive"]
    assert lesson.estimate is None


@pytest.mark.parametrize("new", ["wink", "positive"])
def test_one_sample_of_a_class_is_too_few_for_an_estimate(recognizer, new):
    samples = [*shots(recognizer, ("surprise",), 5), *shots(recognizer, (new,), 1)]
    lesson = fit_few_shot(samples, recognizer.bundle)
    assert lesson.estimate is None
    assert "Too few samples" in str(lesson.explanation)
    assert "%" not in str(lesson.explanation)


def test_a_class_named_by_action_units_has_their_probability(recognizer):
    same = [replace(s, embedding=0 * s.embedding) for s in shots(recognizer, ("AU12", "4+7"), 2)]
    frowning = same[0].aus | {"4": 0.9, "7": 0.8, "12": 0.1}
    assert named(fit_few_shot(same, recognizer.bundle), [replace(same[0], aus=frowning)]) == ["4+7"]


def test_old_classes_stay_when_a_new_one_is_taught(recognizer):
    samples = shots(recognizer, ("tense", "repression", "surprise"), 5)
    before = fit_few_shot(samples[:10], recognizer.bundle)
    after = fit_few_shot([*before.samples, *samples[10:]], recognizer.bundle)
    assert before.classes == ("repression", "tense")
    assert named(before, samples[:10]) == named(after, samples[:10])
    assert named(after, samples[10:]) == ["surprise"] * 5


def test_a_recognizer_answers_with_what_it_was_taught_and_goes_back(recognizer):
    crop = np.random.default_rng(0).integers(0, 255, CropSpec().full, dtype=np.uint8)
    own = recognizer.predict(crop, crop)
    recognizer.use_head(fit_few_shot(shots(recognizer, ("tense", "repression"), 3), recognizer.bundle))
    taught = recognizer.predict(crop, crop)
    assert set(taught.probabilities) == {"tense", "repression"}
    assert taught.label in taught.probabilities
    assert taught.prior == own.probabilities
    assert taught.aus == own.aus
    recognizer.use_head(None)
    assert recognizer.predict(crop, crop).probabilities == own.probabilities


def test_a_lesson_comes_back_from_its_file_and_no_other_bundle_takes_it(recognizer, tmp_path):
    samples = shots(recognizer, ("tense", "positive"), 4)
    lesson = fit_few_shot(samples, recognizer.bundle, kind="cosine")
    lesson.save(tmp_path / "head.safetensors")
    again = FewShotHead.load(tmp_path / "head.safetensors", recognizer.bundle)
    assert again.probabilities(samples[0]) == pytest.approx(lesson.probabilities(samples[0]), abs=1e-6)
    assert [s.label for s in again.samples] == [s.label for s in samples]

    other = replace(recognizer.bundle, name="another", sha256="0" * 64)
    with pytest.raises(UserError, match="fitted to another bundle than another"):
        FewShotHead.load(tmp_path / "head.safetensors", other)
    (tmp_path / "head.safetensors").write_bytes(b"no head at all")
    with pytest.raises(UserError, match="is not a head file"):
        FewShotHead.load(tmp_path / "head.safetensors", recognizer.bundle)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": None},
        {"kind": "forest"},
        {"bundle_sha256": None},
        {"labels": "[1, 2]"},
        {"labels": "null"},
        {"labels": '["tense"]'},
        {"known": '["something"]'},
        {"aus": "[" + ", ".join('"99"' for _ in range(17)) + "]"},
        {"embedding": np.zeros((2, 7), np.float32)},
        {"embedding": np.zeros(2, np.float32)},
        {"probabilities": np.full((2, 4), np.nan, np.float32)},
        {"aus_values": np.full((2, 3), 0.5, np.float32)},
    ],
    ids=str,
)
def test_a_file_that_holds_something_else_is_no_head(recognizer, tmp_path, wrong):
    path = tmp_path / "head.safetensors"
    fit_few_shot(shots(recognizer, ("tense", "positive"), 1), recognizer.bundle).save(path)
    file = HeadFile.read(path)
    metadata, arrays = file.metadata, file.arrays
    arrays |= {("aus" if name == "aus_values" else name): v for name, v in wrong.items() if isinstance(v, np.ndarray)}
    metadata |= {name: v for name, v in wrong.items() if not isinstance(v, np.ndarray)}
    save_file(arrays, path, {name: v for name, v in metadata.items() if v is not None})
    with pytest.raises(UserError, match=r"^head.safetensors is not a head file of merau\.$"):
        FewShotHead.load(path, recognizer.bundle)


def test_a_head_of_a_recognizer_that_no_longer_ships_says_what_to_do(recognizer, tmp_path):
    path = tmp_path / "head.safetensors"
    older = replace(recognizer.bundle, sha256="ff" * 32)
    fit_few_shot(shots(recognizer, ("tense", "positive"), 1), older).save(path)
    with pytest.raises(UserError, match=r"^head.safetensors was fitted .* perhaps an older one: fit its samples"):
        FewShotHead.load(path, recognizer.bundle)


def test_a_head_brings_the_shipped_bundle_that_it_was_taught_to_unless_another_is_named(recognizer, tmp_path):
    twin, head = Recognizer.load(SHIPPED / "farneback", device="cpu"), tmp_path / "head"
    fit_few_shot(shots(twin, ("tense", "positive"), 4), twin.bundle).save(head)
    taught = Recognizer.load(head=head, device="cpu")
    assert taught.bundle == twin.bundle
    assert taught.few_shot_head
    assert taught.few_shot_head.classes == ("positive", "tense")
    with pytest.raises(UserError, match="fitted to another bundle than merau-default: start merau with this --head"):
        Recognizer.load(SHIPPED / "default", head=head, device="cpu")


def test_what_cannot_be_taught_is_told(recognizer):
    with pytest.raises(UserError, match="all given are 'tense'"):
        fit_few_shot(shots(recognizer, ("tense",), 3), recognizer.bundle)
    with pytest.raises(UserError, match="none were given"):
        fit_few_shot([], recognizer.bundle)
    with pytest.raises(UserError, match="'forest': choose one of auto, linear"):
        fit_few_shot(shots(recognizer, ("a", "b"), 3), recognizer.bundle, kind="forest")
