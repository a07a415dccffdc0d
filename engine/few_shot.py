"""Few-shot learning on a running recognizer: labelled onset-apex pairs in, a head for the user's own classes out.

The trunk stays as it is; a head is fitted to its embeddings in well under a second. All samples stay in the fit, so
later samples refine it and old classes do not fade. A `FewShotHead` is immutable; to undo, use the one before.

A class may be one that the bundle knows, or be named by Action Units ("AU4", "4+7"). The head's probabilities are then
multiplied with the bundle's own, the prior, because five samples alone say less than the bundle does. Where the bundle
knows all classes, the head is a correction of it: a logistic regression with the bundle's log-probabilities as offset,
whose penalty is so strong that a few samples move it little, unless cross-validation shows that the bundle is wrong.
Beside classes that are new to the bundle, the head counts as far as cross-validation shows that it helps. A class with
few samples never becomes certain by them.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from merau.engine import heads
from merau.engine.bundle import Bundle
from merau.engine.bundle_arrays import read_domain, read_head
from merau.engine.errors import Message, UserError
from merau.engine.few_shot_file import HeadFile, not_a_head, other_bundle

AUTO = "auto"
CANDIDATE_KINDS = ("cosine", "prototypes", "linear")  # the first is the best choice without cross-validation
MIN_KIND_GAIN = 0.1  # log-likelihood by which another kind must beat the first one: few samples are a noisy estimate
MAX_FOLDS = 30  # keeps the fit of a few hundred samples under a second
MIN_FOLDS = 3
FOLD_WORK = 45_000  # samples times classes, of all folds together
MAX_SAMPLES, MAX_CLASSES = 2000, 50
MAX_WORK = 20_000  # samples times classes; keeps every fit under ten seconds
# Strength of the belief that the bundle is right where it knows all classes, in samples: what so many samples say on
# average weighs as much. "free" is taken where cross-validation shows that the bundle errs.
ANCHORS = {"anchored": 60.0, "free": 0.5}
STANDARD_ERRORS = 1.5  # of the cross-validated gain of "free", which are subtracted from it
COMPLEXITY_PENALTY = 0.5  # in log-likelihood, for "free"
TEMPERATURES = np.geomspace(0.5, 4, 13)
WEAK_TEMPERATURES = (8.0, 16.0, np.inf)  # beside a prior, whose word alone counts at the last
ENOUGH_SAMPLES = 5  # of a class; with fewer its probability is limited
LABEL_NOISE = 0.1  # assumed share of wrong labels, so that no single sample outweighs the bundle
SYNONYMS = {  # classes of the public data sets by the names that bundles use
    "happiness": "positive",
    "happy": "positive",
    "anger": "negative",
    "contempt": "negative",
    "disgust": "negative",
    "fear": "negative",
    "sadness": "negative",
    "neutral": "no expression",
    "none": "no expression",
}
ACTION_UNITS = re.compile(r"(?:AU)?\s*\d+(?:\s*\+\s*(?:AU)?\s*\d+)*", re.IGNORECASE)


@dataclass(frozen=True)
class Sample:
    """A labelled onset-apex pair, as the trunk described it.

    Attributes:
        label: Class of the pair.
        embedding: (d,) float32.
        probabilities: Of the bundle's own classes, 0 to 1.
        aus: Probability of each Action Unit, 0 to 1.
    """

    label: str
    embedding: np.ndarray
    probabilities: dict[str, float]
    aus: dict[str, float]


@dataclass(frozen=True)
class FewShotHead:
    """A head fitted to a user's own samples.

    Attributes:
        head: The classifier, on embeddings that are centred and scaled.
        centre: (d,), subtracted from an embedding.
        scale: (d,), by which the centred embedding is divided, so that no dimension outweighs the others.
        kind: Kind of classifier, a key of heads.KINDS.
        classes: Names of the classes.
        with_prior: Whether the head's probabilities are multiplied with the prior.
        temperature: Divisor of the head's logits; with the prior infinite where the samples earned no weight.
        limits: Highest probability (C,) that the samples of each class can give it.
        known: Whether the prior has an opinion on each class (C,).
        left_out: Probabilities (M, C) of the samples that cross-validation left out, and their labels (M,).
        estimate: Cross-validated accuracy; None where a class has a single sample.
        explanation: What was fitted and how well it does, for people.
        samples: The samples.
        bundle_sha256: The bundle that made the embeddings.
    """

    head: heads.Head
    centre: np.ndarray
    scale: np.ndarray
    kind: str
    classes: tuple[str, ...]
    with_prior: bool
    temperature: float
    limits: np.ndarray
    known: np.ndarray
    left_out: tuple[np.ndarray, np.ndarray]
    estimate: float | None
    explanation: Message
    samples: tuple[Sample, ...]
    bundle_sha256: str

    def probabilities(self, sample: Sample) -> dict[str, float]:
        """Probability of each of `classes`, summing to 1; the label of `sample` is ignored."""
        logits = self.head.logits((sample.embedding[None] - self.centre) / self.scale) / self.temperature
        prior = prior_probabilities([sample], self.classes)
        combined = combine_with_prior(logits, prior if self.with_prior else None)
        values = limit_certainty(combined, prior, self.limits, self.known)[0]
        return {name: float(value) for name, value in zip(self.classes, values, strict=True)}

    def check(self, bundle: Bundle) -> None:
        """Raise UserError unless the head was fitted to `bundle`, as embeddings of two trunks do not compare."""
        if self.bundle_sha256 != bundle.sha256:
            raise UserError("This head was fitted to another bundle than {bundle}: fit it again.", bundle=bundle.name)

    def save(self, path: Path) -> None:
        """Write the head to a safetensors file.

        Raises:
            UserError: The file cannot be written.
        """
        self._file.write(path)

    @cached_property
    def sha256(self) -> str:
        """Hash of the file that `save` writes, which tells one head from another."""
        return hashlib.sha256(self._file.content).hexdigest()

    @property
    def _file(self) -> HeadFile:
        return HeadFile.of(
            self.bundle_sha256,
            self.kind,
            [sample.label for sample in self.samples],
            [sample.embedding for sample in self.samples],
            [sample.probabilities for sample in self.samples],
            [sample.aus for sample in self.samples],
        )

    @classmethod
    def load(cls, path: Path, bundle: Bundle) -> "FewShotHead":
        """Read a head that was fitted to `bundle` and fit it again.

        Raises:
            UserError: The file is not a head, or the head was fitted to another bundle.
        """
        file = HeadFile.read(path)
        try:
            if (sha256 := file.metadata["bundle_sha256"]) == bundle.sha256:
                samples = [Sample(*row) for row in file.rows(bundle)]
                return fit_few_shot(samples, bundle, kind=file.metadata["kind"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise not_a_head(path) from error
        raise other_bundle(path, sha256, bundle)


@dataclass(frozen=True)
class _SampleArrays:
    """Samples as arrays: scaled embeddings (N, d), labels (N,) as indices of `classes`, and the prior (N, C)."""

    embeddings: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    prior: np.ndarray

    def take(self, rows: np.ndarray) -> "_SampleArrays":
        """Return the samples `rows`."""
        return replace(self, embeddings=self.embeddings[rows], labels=self.labels[rows], prior=self.prior[rows])


@dataclass(frozen=True)
class _Selection:
    """What cross-validation selected, and the accuracy that it gave.

    `anchor` is a key of ANCHORS for a correction of a bundle that knows all classes, else None.
    """

    kind: str
    with_prior: bool
    temperature: float
    accuracy: float
    left_out: np.ndarray  # probabilities (M, C) of `left_out_indices`
    anchor: str | None = None


def fit_few_shot(samples: Sequence[Sample], bundle: Bundle, *, kind: str = AUTO) -> FewShotHead:
    """Fit a head to the samples of at least two classes.

    To refine a head, fit its samples and the new ones together. Labels that differ only in case or blanks are one
    class, see `merge_labels`.

    Args:
        samples: One or more of each class.
        bundle: The bundle that made the embeddings.
        kind: "linear", "cosine" or "prototypes"; "auto" selects by cross-validation, or takes a linear correction of
            the bundle where the bundle knows all classes.

    Raises:
        UserError: There are fewer than two classes, or too many, the samples are not of the bundle, or the kind is
            unknown.
    """
    if kind not in (AUTO, *heads.KINDS):
        raise UserError(f"The kind of head is {kind!r}: choose one of {', '.join((AUTO, *heads.KINDS))}.")
    merged = describe_merged_labels([sample.label for sample in samples])
    samples = merge_labels(samples)
    classes = tuple(sorted({sample.label for sample in samples}))
    if len(classes) < 2:
        raise too_few_classes(classes)
    check_limits(len(samples), len(classes))
    check_few_shot_samples(samples, bundle)
    centre, scale = embedding_scale(bundle)
    embeddings = np.stack([sample.embedding for sample in samples])
    problem = _SampleArrays(
        (embeddings - centre) / scale,
        np.array([classes.index(sample.label) for sample in samples]),
        classes,
        prior_probabilities(samples, classes),
    )
    known = np.array([match_known_class(name, samples[0]) is not None for name in classes])
    if known.all() and kind in (AUTO, "linear"):
        scale = scale * np.sqrt(embeddings.shape[1]) / 2  # makes embeddings about 2 long, beside a bias of 1
        problem = replace(problem, embeddings=(embeddings - centre) / scale)
        selection = select_correction(problem)
    else:
        selection = select_head(CANDIDATE_KINDS if kind == AUTO else (kind,), problem, with_prior=bool(known.any()))
    limits, left_out = certainty_limits(np.bincount(problem.labels)), left_out_indices(problem.labels)
    estimate = selection.accuracy if np.bincount(problem.labels).min() > 1 else None
    explanation = explain(selection, len(samples), classes, estimate=estimate)
    return FewShotHead(
        fit_head(selection.kind, problem, selection.anchor),
        centre,
        scale,
        selection.kind,
        classes,
        selection.with_prior,
        selection.temperature,
        limits,
        known,
        (limit_certainty(selection.left_out, problem.prior[left_out], limits, known), problem.labels[left_out]),
        estimate,
        Message("{explanation} {merged}", {"explanation": explanation, "merged": merged}) if merged else explanation,
        tuple(samples),
        bundle.sha256,
    )


def label_key(label: str) -> str:
    """Return what labels of one class have in common: not case, not blanks, not how an accent is encoded."""
    return "".join(unicodedata.normalize("NFC", label).casefold().split())


def merge_labels(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with one spelling for each class: the most frequent one, the first of equals."""
    spelling: dict[str, str] = {}
    for label, _ in Counter(sample.label.strip() for sample in samples).most_common():
        spelling.setdefault(label_key(label), label)
    return [replace(sample, label=spelling[label_key(sample.label)]) for sample in samples]


def describe_merged_labels(labels: Sequence[str]) -> Message | None:
    """Name the classes that `labels` spell in several ways; None where there is none."""
    spellings: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        spellings.setdefault(label_key(label), []).append(f"'{label}'")
    merged = [" = ".join(found) for found in spellings.values() if len(found) > 1]
    if not merged:
        return None
    return Message("Labels that differ only in case or blanks are one class: {labels}.", {"labels": ", ".join(merged)})


def too_few_classes(classes: tuple[str, ...]) -> UserError:
    """Build the error for samples of one class or none."""
    if classes:
        return UserError("A head needs samples of at least two classes; all given are '{name}'.", name=classes[0])
    return UserError("A head needs samples of at least two classes; none were given.")


def check_limits(samples: int, classes: int) -> None:
    """Raise UserError for more samples or classes than can be fitted in seconds."""
    if samples > MAX_SAMPLES or classes > MAX_CLASSES or samples * classes > MAX_WORK:
        raise UserError(
            "A head takes at most {samples} samples and {classes} classes, and both together up to {work}, such as 2000"
            " samples of 10 classes; {given} samples of {given_classes} classes were given.",
            samples=MAX_SAMPLES,
            classes=MAX_CLASSES,
            work=MAX_WORK,
            given=samples,
            given_classes=classes,
        )


def check_few_shot_samples(samples: Sequence[Sample], bundle: Bundle) -> None:
    """Raise UserError unless the bundle can have made the samples: a head learns from their every number."""
    known, units = set(bundle.card["classes"]), set(bundle.card["aus"])
    shape = (read_head(bundle).dimension,)
    for sample in samples:
        values = [*sample.probabilities.values(), *sample.aus.values()]
        if (
            sample.embedding.shape != shape
            or not heads.is_sound(sample.embedding)
            or set(sample.probabilities) != known
            or not set(sample.aus) <= units
            or set(sample.aus) != set(samples[0].aus)
            or not all(0 <= value <= 1 for value in values)
            or not 0.9 <= sum(sample.probabilities.values()) <= 1.1
        ):
            raise UserError(
                "A sample of class '{name}' holds values that {bundle} cannot have given: leave it out.",
                name=sample.label,
                bundle=bundle.name,
            )


def embedding_scale(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread (d,) of embeddings in the bundle's own domain; 0 and 1 where it has no such samples."""
    known = read_domain(bundle)
    if known is None:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    return known.mean(0), known.std(0) + 0.05 * known.std()


def cross_validation_folds(labels: np.ndarray) -> list[np.ndarray]:
    """Indices of the samples that each fold leaves out.

    A sample that is the only one of its class is never left out. Up to MAX_FOLDS samples are left out one by one; more
    are spread over that many folds, each class evenly. Many samples of many classes have fewer folds.
    """
    counts = np.bincount(labels)
    repeated = np.flatnonzero(counts[labels] > 1)
    by_class = repeated[np.argsort(labels[repeated], kind="stable")]
    folds = max(MIN_FOLDS, min(MAX_FOLDS, FOLD_WORK // (len(labels) * len(counts))))
    return [by_class[fold::folds] for fold in range(min(folds, len(by_class)))]


def left_out_indices(labels: np.ndarray) -> np.ndarray:
    """Indices (M,) of the samples in `cross_validation_folds`, in the order of the folds."""
    return np.concatenate([np.empty(0, int), *cross_validation_folds(labels)])


def fit_head(kind: str, problem: _SampleArrays, anchor: str | None = None) -> heads.Head:
    """Fit a head of `kind`, or, with an anchor of ANCHORS, a linear one to the errors of the prior."""
    if anchor is None:
        return heads.KINDS[kind].fit(problem.embeddings, problem.labels, problem.classes)
    l2 = ANCHORS[anchor] / len(problem.labels)
    return heads.Linear.fit_residual(problem.prior, problem.embeddings, problem.labels, problem.classes, l2=l2)


def cross_validated_logits(kind: str, problem: _SampleArrays, anchor: str | None = None) -> np.ndarray:
    """Logits (M, C) for each of `left_out_indices`, by a head fitted without it."""
    rows = [np.empty((0, len(problem.classes)))]
    for left_out in cross_validation_folds(problem.labels):
        rest = np.setdiff1d(np.arange(len(problem.labels)), left_out)
        rows.append(fit_head(kind, problem.take(rest), anchor).logits(problem.embeddings[left_out]))
    return np.concatenate(rows)


def select_correction(problem: _SampleArrays) -> _Selection:
    """Select how far samples may correct a bundle that knows all classes.

    The correction is anchored to the bundle, unless the cross-validated gain in log-likelihood of the free one, less
    STANDARD_ERRORS standard errors, exceeds the complexity penalty.
    """
    left_out = problem.take(left_out_indices(problem.labels))
    if not len(left_out.labels):
        return _Selection("linear", True, 1.0, 0.0, left_out.prior, "anchored")
    found, likelihood = {}, {}
    for anchor in ANCHORS:
        p = combine_with_prior(cross_validated_logits("linear", problem, anchor), left_out.prior)
        accuracy = float((p.argmax(1) == left_out.labels).mean())
        found[anchor] = _Selection("linear", True, 1.0, accuracy, p, anchor)
        of_label = p[np.arange(len(left_out.labels)), left_out.labels]
        likelihood[anchor] = np.log((1 - LABEL_NOISE) * of_label + LABEL_NOISE)
    gain = (likelihood["free"] - likelihood["anchored"]) * heads.class_balanced_weights(left_out.labels)
    proven = gain.sum() - STANDARD_ERRORS * np.sqrt((gain**2).sum()) > COMPLEXITY_PENALTY
    return found["free" if proven else "anchored"]


def select_head(kinds: Sequence[str], problem: _SampleArrays, *, with_prior: bool) -> _Selection:
    """Select the kind of head and its temperature, with the prior as far as it helps beside that."""
    left_out = left_out_indices(problem.labels)
    labels, prior = problem.labels[left_out], problem.prior[left_out]
    trials = []
    for kind in kinds:
        logits = cross_validated_logits(kind, problem)
        select = earn_temperature if with_prior else select_temperature
        loss, temperature = select(logits, labels, prior)
        p = combine_with_prior(logits / temperature, prior if with_prior else None)
        accuracy = float((p.argmax(1) == labels).mean()) if len(labels) else 0.0
        penalty = 0 if kind == CANDIDATE_KINDS[0] else MIN_KIND_GAIN
        trials.append((loss + penalty, _Selection(kind, with_prior, temperature, accuracy, p)))
    return min(trials, key=lambda trial: trial[0])[1]


def select_temperature(logits: np.ndarray, labels: np.ndarray, _: np.ndarray) -> tuple[float, float]:
    """Least mean negative log-likelihood without the prior, and its temperature (1/2 to 4)."""
    if not len(labels):
        return 0.0, 1.0
    of_label = [combine_with_prior(logits / t, None)[np.arange(len(labels)), labels] for t in TEMPERATURES]
    loss = -np.log(np.array(of_label) + 1e-9).mean(1)
    return float(loss.min()), float(TEMPERATURES[loss.argmin()])


def earn_temperature(logits: np.ndarray, labels: np.ndarray, prior: np.ndarray) -> tuple[float, float]:
    """Mean negative log-likelihood with the prior, and the temperature (1/2 to infinite) that the samples earned.

    The temperature maximizes the cross-validated gain in log-likelihood over the prior alone, less STANDARD_ERRORS
    standard errors and the complexity penalty. It is infinite where the samples show no gain, or are too few.

    Args:
        logits: (M, C) of samples left out of the fit.
        labels: (M,).
        prior: (M, C).
    """
    if not len(labels):
        return 0.0, np.inf
    temperatures = np.array([*TEMPERATURES, *WEAK_TEMPERATURES])
    p = np.stack([combine_with_prior(logits / t, prior)[np.arange(len(labels)), labels] for t in temperatures])
    gain = np.log((1 - LABEL_NOISE) * p + LABEL_NOISE) * heads.class_balanced_weights(labels)
    gain -= gain[-1]
    score = gain.sum(1) - STANDARD_ERRORS * np.sqrt((gain**2).sum(1)) - COMPLEXITY_PENALTY * np.isfinite(temperatures)
    best = int(score.argmax())
    return float(-np.log(p[best] + 1e-9).mean()), float(temperatures[best])


def combine_with_prior(logits: np.ndarray, prior: np.ndarray | None) -> np.ndarray:
    """Probabilities (N, C) of `logits`, times `prior` where there is one."""
    return heads.softmax(logits if prior is None else logits + np.log(prior + 1e-9))


def certainty_limits(counts: np.ndarray) -> np.ndarray:
    """Highest probability that so many samples of a class can give it, by Laplace's rule of succession.

    Args:
        counts: Samples of each class, (C,).
    """
    return np.where(counts < ENOUGH_SAMPLES, (counts + 1) / (counts + 2), 1.0)


def limit_certainty(probabilities: np.ndarray, prior: np.ndarray, limits: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Give what lies above the limit of a class to the others, by their prior.

    The prior itself may be more certain of a class that it knows.

    Args:
        probabilities: (N, C).
        prior: (N, C).
        limits: (C,), at least 2/3: one class at most lies above its limit.
        known: Whether the prior has an opinion on each class, (C,).
    """
    kept = np.minimum(probabilities, np.maximum(limits, np.where(known, prior, 0.0)))
    excess = probabilities - kept
    shares = np.where(excess > 0, 0.0, prior + 1e-9)
    shared: np.ndarray = kept + excess.sum(1, keepdims=True) * shares / shares.sum(1, keepdims=True)
    return shared


def prior_probabilities(samples: Sequence[Sample], classes: Sequence[str]) -> np.ndarray:
    """Probabilities (N, C) that the bundle gives to `classes`; rows sum to 1.

    A class that the bundle knows has the bundle's probability, shared where several of `classes` mean the same one. A
    class named by Action Units has their geometric mean. The others share equally what the bundle gives to its
    remaining classes.
    """
    matches = [match_known_class(name, samples[0]) for name in classes]
    known = [match for match in matches if isinstance(match, str)]
    scores = np.zeros((len(samples), len(classes)))
    for i, sample in enumerate(samples):
        left = max(1 - sum(sample.probabilities[name] for name in set(known)), 1e-3)
        for c, match in enumerate(matches):
            if isinstance(match, str):
                scores[i, c] = sample.probabilities[match] / known.count(match)
            elif match:
                scores[i, c] = np.exp(np.mean(np.log([sample.aus[au] + 1e-6 for au in match])))
            else:
                scores[i, c] = left / (len(classes) - len(known))
    return scores / scores.sum(1, keepdims=True)


def match_known_class(label: str, sample: Sample) -> str | tuple[str, ...] | None:
    """Find the bundle's class, or the Action Units, that `label` means; None for a new class."""
    name = SYNONYMS.get(label.lower(), label.lower())
    same = next((known for known in sample.probabilities if known.lower() == name), None)
    if same or not ACTION_UNITS.fullmatch(label.strip()):
        return same
    units = tuple(re.findall(r"\d+", label))
    return units if set(units) <= set(sample.aus) else None


def explain(selection: _Selection, samples: int, classes: Sequence[str], *, estimate: float | None) -> Message:
    """Say what was fitted and how well it does."""
    return Message(
        "Trained on {samples} labelled samples in {count} classes ({classes}). {method} {accuracy}",
        {
            "samples": samples,
            "count": len(classes),
            "classes": ", ".join(classes),
            "method": describe_correction(selection.anchor) if selection.anchor else describe_method(selection),
            "accuracy": describe_estimate(estimate),
        },
    )


def describe_method(selection: _Selection) -> Message:
    """Name the classifier, and the prior where it is used."""
    if not selection.with_prior:
        return Message("Classifier: {kind}.", {"kind": selection.kind})
    if np.isinf(selection.temperature):
        return Message("The samples do not show that the recognizer is wrong: its own probabilities are used.")
    return Message("Classifier: {kind}, combined with the recognizer's own probabilities.", {"kind": selection.kind})


def describe_correction(anchor: str) -> Message:
    """Say how far the samples change the probabilities of a bundle that knows all classes."""
    if anchor == "anchored":
        return Message(
            "The recognizer already knows these classes, and the samples do not show that it is wrong: they adjust its "
            "own probabilities a little, spread over these classes alone."
        )
    return Message(
        "The recognizer already knows these classes, but the samples show that it is wrong: they correct it."
    )


def describe_estimate(estimate: float | None) -> Message:
    """State the cross-validated accuracy, or that it is unknown."""
    if estimate is None:
        return Message("Too few samples to estimate the accuracy: label at least 5 of each class.")
    return Message("Estimated accuracy: {accuracy} (cross-validation).", {"accuracy": f"{estimate:.0%}"})
