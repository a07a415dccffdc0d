"""Few-shot learning on a running recognizer: from labelled onset-apex pairs to a head that names the taught classes.

The trunk stays as it is; a head is fit on its embeddings in well under a second. All samples stay in the fit, so later
ones refine and old classes do not fade; a `Lesson` is never changed, so to undo is to take the one before. Where a
taught class is one that the bundle knows, or is named by Action Units ("AU4", "4+7"), what the few samples say is
multiplied with what the bundle says: five samples alone know less than the bundle does. Where all classes are known, it
counts only as far as samples left out in turn show that the bundle errs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as deserialize
from safetensors.numpy import save as serialize

from merau.engine import heads
from merau.engine.bundle import DOMAIN, HEAD, Bundle, shipped
from merau.engine.errors import UserError

AUTO = "auto"
FROM_ONE_SAMPLE_ON = ("cosine", "prototypes", "linear")  # the first is best where no sample can be left out
FOLDS = 30  # at most so many times samples are left out, so that teaching stays under a second
WEIGHTS = np.linspace(0, 1, 21)
SURE = 1.5  # standard errors by which samples left out must become likelier for what was learned to count
PRICE = 0.5  # log-likelihood that the whole weight must gain beyond that, a part of it as much less
MISLABELLED = 0.1  # as if so many samples were: no single one makes the case against the bundle
ASKED_FOR, BEST = "was asked for", "told samples left out in turn best"
NONE_TO_SPARE = "is the choice without samples to spare"
SAME_AS = {  # classes of the public sets by the names that bundles use
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


class Seen(Protocol):
    """What `Sample.from_prediction` needs of a Prediction."""

    @property
    def embedding(self) -> np.ndarray: ...
    @property
    def prior(self) -> dict[str, float]: ...
    @property
    def aus(self) -> dict[str, float]: ...


class Taught(Protocol):
    """Whoever has a bundle: a Recognizer."""

    @property
    def bundle(self) -> Bundle: ...


@dataclass(frozen=True)
class Sample:
    """One labelled onset-apex pair as the trunk saw it: `embedding` (d,) float32, `probabilities` of the bundle's own
    classes (the prior) and `aus`, both 0..1.
    """

    label: str
    embedding: np.ndarray
    probabilities: dict[str, float]
    aus: dict[str, float]

    @classmethod
    def from_prediction(cls, label: str, prediction: Seen) -> "Sample":
        return cls(label, prediction.embedding, prediction.prior, prediction.aus)


@dataclass(frozen=True)
class Lesson:
    """What was taught: the samples and the head fit on them.

    `head` was fit on embeddings less `centre` (d,), divided by `scale` (d,), so that no part of them outweighs the
    others; `kind` names it; `temperature` divides its logits. What it says, to the power of `weight`, is multiplied
    with the bundle's prior; None: it stands alone. `estimate` is the accuracy on samples left out in turn, None where a
    class has but one sample; `explanation` says all this to a person, in one sentence.
    """

    head: heads.Head
    centre: np.ndarray
    scale: np.ndarray
    kind: str
    classes: tuple[str, ...]
    weight: float | None
    temperature: float
    estimate: float | None
    explanation: str
    samples: tuple[Sample, ...]
    bundle_sha256: str

    def probabilities(self, seen: Sample) -> dict[str, float]:
        """Probability of each of `classes`, summing to 1, for a pair as the trunk saw it; its label does not matter."""
        logits = self.head.logits((seen.embedding[None] - self.centre) / self.scale) / self.temperature
        values = mixed(logits, prior([seen], self.classes), self.weight)[0]
        return {name: float(value) for name, value in zip(self.classes, values, strict=True)}

    def check(self, bundle: Bundle) -> None:
        """Raise UserError unless it was taught to `bundle`: embeddings of another trunk mean something else."""
        if self.bundle_sha256 != bundle.sha256:
            raise UserError(f"This head was taught to another bundle than {bundle.name}: teach it anew.")

    def save(self, path: Path) -> None:
        """Write the head and its samples as safetensors. Raises UserError where the file cannot be written."""
        known, units = (tuple(names) for names in (self.samples[0].probabilities, self.samples[0].aus))
        metadata = {
            "bundle_sha256": self.bundle_sha256,
            "kind": self.kind,
            "labels": json.dumps([sample.label for sample in self.samples]),
            "known": json.dumps(known),
            "aus": json.dumps(units),
        }
        arrays = {
            "embedding": np.stack([sample.embedding for sample in self.samples]).astype(np.float32),
            "probabilities": table([sample.probabilities for sample in self.samples], known),
            "aus": table([sample.aus for sample in self.samples], units),
        }
        try:
            path.write_bytes(serialize(arrays, metadata=metadata))
        except OSError as error:
            raise UserError(f"The head cannot be written to {path}: {error.strerror}.") from error

    @classmethod
    def load(cls, path: Path, taught: Taught | Bundle) -> "Lesson":
        """Read a head that was taught to the same bundle; the fit is repeated. UserError for another's, or no head."""
        metadata, arrays = read(path)
        bundle = taught if isinstance(taught, Bundle) else taught.bundle
        try:
            if (sha256 := metadata["bundle_sha256"]) == bundle.sha256:
                return teach(unpacked(metadata, arrays, bundle), bundle, kind=metadata["kind"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path.name} is no head file of merau.") from error
        if shipped(sha256):
            raise UserError(
                f"{path.name} was taught to another bundle than {bundle.name}: start merau with this --head and "
                "without --bundle."
            )
        raise UserError(
            f"{path.name} was taught to a recognizer that does not ship with this version, an older one perhaps: teach "
            "its samples again from their films or pictures (merau adapt), or start merau with that --bundle."
        )


def unpacked(metadata: dict[str, str], arrays: dict[str, np.ndarray], bundle: Bundle) -> list[Sample]:
    """The samples of a head's file. ValueError, KeyError or TypeError unless `Lesson.save` could have written it."""
    labels, known, units = (json.loads(metadata[name]) for name in ("labels", "known", "aus"))
    embeddings, probabilities, aus = (arrays[name] for name in ("embedding", "probabilities", "aus"))
    if (
        metadata["kind"] not in heads.KINDS
        or not all(isinstance(label, str) and label for label in labels)
        or set(known) != set(bundle.card["classes"])
        or not set(units) <= set(bundle.card["aus"])
        or embeddings.shape != (len(labels), heads.load(bundle.content[HEAD]).dimension)
        or not all(((part >= 0) & (part <= 1)).all() for part in (probabilities, aus))
    ):
        raise ValueError
    return [
        Sample(label, embedding, dict(zip(known, p, strict=True)), dict(zip(units, u, strict=True)))
        for label, embedding, p, u in zip(
            labels, embeddings.astype(np.float32), probabilities.tolist(), aus.tolist(), strict=True
        )
    ]


def taught_to(path: Path) -> str:
    """sha256 of the bundle that the head at `path` was taught to. UserError where there is no head."""
    metadata, _ = read(path)
    return metadata.get("bundle_sha256", "")


def read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Metadata and arrays of a head's file. UserError where it is none."""
    try:
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        return json.loads(data[8 : 8 + size]).get("__metadata__") or {}, deserialize(data)
    except OSError as error:
        raise UserError(f"There is no head to be read at {path}: {error.strerror}.") from error
    except (SafetensorError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path.name} is no head file of merau.") from error


def teach(samples: Sequence[Sample], taught: Taught | Bundle, *, kind: str = AUTO) -> Lesson:
    """Fit a head on `samples`, one or more of each of at least two classes.

    With kind "auto" the one of heads.KINDS that best tells samples left out in turn; where all classes are known, a
    linear one that corrects the bundle. To refine a lesson, teach its samples and the new ones together. Raises
    UserError where it cannot be taught, or `kind` is unknown.
    """
    bundle = taught if isinstance(taught, Bundle) else taught.bundle
    if kind not in (AUTO, *heads.KINDS):
        raise UserError(f"The kind of head is {kind!r}: choose one of {', '.join((AUTO, *heads.KINDS))}.")
    classes = tuple(sorted({sample.label for sample in samples}))
    if len(classes) < 2:
        only = f"only {classes[0]!r} was" if classes else "none was"
        raise UserError(f"A head needs samples of at least two classes; {only} given.")
    centre, scale = spread(bundle)
    embeddings = (np.stack([sample.embedding for sample in samples]) - centre) / scale
    labels = np.array([classes.index(sample.label) for sample in samples])
    known = prior(samples, classes)
    coincide = sum(meaning(name, samples[0]) is not None for name in classes)
    held = np.concatenate([np.empty(0, int), *held_out(labels)])
    corrected = known if coincide == len(classes) else None
    weight: float | None
    if corrected is not None:
        chosen, temperature = "linear" if kind == AUTO else kind, 1.0
        weight, accuracy = earned(left_out(chosen, embeddings, labels, classes, corrected), labels[held], known[held])
        told = explained_correction(chosen, weight, len(samples), classes)
    else:
        trials = []
        for name in FROM_ONE_SAMPLE_ON if kind == AUTO else (kind,):
            logits = left_out(name, embeddings, labels, classes)
            for weight in (None, 1.0) if coincide else (None,):
                trials.append((*judged(logits, labels[held], known[held], weight), name, weight))
        usual = FROM_ONE_SAMPLE_ON[0]  # a few samples left out err: another kind must be clearly better
        _, accuracy, temperature, chosen, weight = min(trials, key=lambda t: t[0] + (0.1 if t[3] != usual else 0))
        reason = ASKED_FOR if kind != AUTO else BEST if len(held) else NONE_TO_SPARE
        told = explained(chosen, reason, weight is not None, len(samples), classes)
    estimate = accuracy if np.bincount(labels).min() > 1 else None
    return Lesson(
        fit(chosen, embeddings, labels, classes, corrected),
        centre,
        scale,
        chosen,
        classes,
        weight,
        temperature,
        estimate,
        told + rated(estimate),
        tuple(samples),
        bundle.sha256,
    )


def spread(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of each dimension of the embeddings in the bundle's own domain; 0 and 1 where it holds none."""
    if DOMAIN not in bundle.content:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    known = deserialize(bundle.content[DOMAIN])["embedding"]
    return known.mean(0), known.std(0) + 0.05 * known.std()


def held_out(labels: np.ndarray) -> list[np.ndarray]:
    """Indices of the samples that are left out in turn, those whose class keeps another one: one by one, and where they
    are many, so many at a time that there are FOLDS of them, of each class its share.
    """
    repeated = np.flatnonzero(np.bincount(labels)[labels] > 1)
    by_class = repeated[np.argsort(labels[repeated], kind="stable")]
    return [by_class[fold::FOLDS] for fold in range(min(FOLDS, len(by_class)))]


def fit(
    kind: str, embeddings: np.ndarray, labels: np.ndarray, classes: Sequence[str], corrected: np.ndarray | None
) -> heads.Head:
    """A head of `kind`; a linear one is fit to what the prior `corrected` (N, C) gets wrong, where there is one."""
    if kind == "linear" and corrected is not None:
        return heads.Linear.correcting(corrected, embeddings, labels, classes)
    return heads.KINDS[kind].fit(embeddings, labels, classes)


def left_out(
    kind: str, embeddings: np.ndarray, labels: np.ndarray, classes: Sequence[str], corrected: np.ndarray | None = None
) -> np.ndarray:
    """Logits (M, C) for each of `held_out`, by the head fit without it."""
    rows = [np.empty((0, len(classes)))]
    for out in held_out(labels):
        rest = np.setdiff1d(np.arange(len(labels)), out)
        head = fit(kind, embeddings[rest], labels[rest], classes, None if corrected is None else corrected[rest])
        rows.append(head.logits(embeddings[out]))
    return np.concatenate(rows)


def earned(logits: np.ndarray, labels: np.ndarray, known: np.ndarray) -> tuple[float, float]:
    """The weight of what was said of samples left out, `logits` (M, C), in the product with the prior `known`, and the
    accuracy with it. It is that one of WEIGHTS by which they become likelier most surely: 0 where the prior is right
    about the samples, or they are too few to tell.
    """
    if not len(labels):
        return 0.0, 0.0
    said = np.stack([mixed(logits, known, weight) for weight in WEIGHTS])
    right = said[:, np.arange(len(labels)), labels]
    likelihood = np.log((1 - MISLABELLED) * right + MISLABELLED) * heads.evenly(labels)
    gain = likelihood - likelihood[0]
    best = np.argmax(gain.sum(1) - SURE * np.sqrt((gain**2).sum(1)) - PRICE * WEIGHTS)
    return float(WEIGHTS[best]), float((said[best].argmax(1) == labels).mean())


def judged(
    logits: np.ndarray, labels: np.ndarray, known: np.ndarray, weight: float | None
) -> tuple[float, float, float]:
    """Mean negative log-likelihood, accuracy, and the temperature (from 1/2 to 4) at which the former is least."""
    if not len(labels):
        return 0.0, 0.0, 1.0
    best = (np.inf, 0.0, 1.0)
    for temperature in np.geomspace(0.5, 4, 13):
        p = mixed(logits / temperature, known, weight)
        loss = float(-np.log(p[np.arange(len(labels)), labels] + 1e-9).mean())
        best = min(best, (loss, float((p.argmax(1) == labels).mean()), float(temperature)))
    return best


def mixed(logits: np.ndarray, known: np.ndarray, weight: float | None) -> np.ndarray:
    """Probabilities (N, C): of the samples' `logits`, and with a `weight` their power times the prior `known`."""
    alone = heads.softmax(logits)
    return alone if weight is None else heads.softmax(weight * np.log(alone + 1e-9) + np.log(known + 1e-9))


def prior(samples: Sequence[Sample], classes: Sequence[str]) -> np.ndarray:
    """What the bundle says of the taught `classes`, (N, C), rows sum to 1.

    A known class has its own probability (shared, where several taught classes are the same known one), one named by
    Action Units their geometric mean; the others share equally what the bundle gives to classes that were not taught.
    """
    meanings = [meaning(name, samples[0]) for name in classes]
    known = [m for m in meanings if isinstance(m, str)]
    scores = np.zeros((len(samples), len(classes)))
    for i, sample in enumerate(samples):
        left = max(1 - sum(sample.probabilities[name] for name in set(known)), 1e-3)
        for c, m in enumerate(meanings):
            if isinstance(m, str):
                scores[i, c] = sample.probabilities[m] / known.count(m)
            elif m:
                scores[i, c] = np.exp(np.mean(np.log([sample.aus[au] + 1e-6 for au in m])))
            else:
                scores[i, c] = left / (len(classes) - len(known))
    return scores / scores.sum(1, keepdims=True)


def meaning(label: str, sample: Sample) -> str | tuple[str, ...] | None:
    """The bundle's class, or its Action Units, that a taught class is; None for a new one."""
    name = SAME_AS.get(label.lower(), label.lower())
    same = next((known for known in sample.probabilities if known.lower() == name), None)
    if same or not ACTION_UNITS.fullmatch(label.strip()):
        return same
    units = tuple(re.findall(r"\d+", label))
    return units if set(units) <= set(sample.aus) else None


def table(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> np.ndarray:
    """(N, len(names)) float32."""
    return np.array([[row[name] for name in names] for row in rows], np.float32)


def explained(chosen: str, reason: str, product: bool, samples: int, classes: Sequence[str]) -> str:
    times = ", multiplied with what the bundle knows of these classes" if product else ""
    head = f"A {chosen} head" if chosen != "prototypes" else "Prototypes"
    return f"{head} on {samples} samples of {', '.join(classes)}{times}: it {reason}; "


def explained_correction(chosen: str, weight: float, samples: int, classes: Sequence[str]) -> str:
    listed = ", ".join(classes)
    if not weight:
        return f"The bundle knows {listed}, and {samples} samples do not show that it errs: its answers stay; "
    head = f"A head of kind {chosen} on {samples} samples"
    return f"{head} corrects the bundle, which knows {listed}, with a weight of {weight:.0%}; "


def rated(estimate: float | None) -> str:
    right = "not known, there are too few samples (one of a class)" if estimate is None else f"{estimate:.0%} right"
    return f"estimate from samples left out: {right}."
