"""Classifiers of embeddings: linear, cosine and prototypes, fitted to a few samples in numpy, and a gated one.

The first three are the classifiers of MERAU (Dai and Feng 2021, equations 5-7 and 9). The softmax of their logits
gives class probabilities. Embeddings are (N, d) float32, labels (N,) integers.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as deserialize

from merau.engine.arrays_file import serialize
from merau.engine.errors import UserError

MAX_DIMENSION = 4096  # of an embedding
MAX_VALUE = 1e6  # of an embedding or a weight; real ones are below 100


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities over the last axis."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def unit(x: np.ndarray) -> np.ndarray:
    """Divide `x` by its length along the last axis."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-8)


@dataclass(frozen=True)
class Linear:
    """Linear classifier, equation 5: y = W e + b. `weight` (C, d) and `bias` (C,) are float32."""

    classes: tuple[str, ...]
    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def fit(cls, embeddings: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, l2: float = 0.3) -> "Linear":
        """Fit a multinomial logistic regression on standardized embeddings."""
        check_samples(embeddings, labels, classes)
        mean, scale = embeddings.mean(0), embeddings.std(0) + 1e-3
        weight = regression((embeddings - mean) / scale, np.eye(len(classes))[labels], l2)
        slope = weight[:, :-1] / scale
        return cls(tuple(classes), slope.astype(np.float32), (weight[:, -1] - slope @ mean).astype(np.float32))

    @classmethod
    def fit_residual(
        cls, known: np.ndarray, embeddings: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, l2: float = 1.0
    ) -> "Linear":
        """Fit the errors of another classifier: logistic regression with its log-probabilities as offset.

        All classes have the same weight, and the embeddings are not standardized.

        Args:
            known: Probabilities (N, C) of the other classifier.
            embeddings: (N, d).
            labels: (N,).
            classes: Names of the classes.
            l2: Strength of the ridge penalty.

        Returns:
            A head whose logits are added to the other's log-probabilities.
        """
        check_samples(embeddings, labels, classes)
        target, offset = np.eye(len(classes))[labels], np.log(known + 1e-9)
        weight = regression(embeddings, target, l2, offset=offset, weights=class_balanced_weights(labels)).astype(
            np.float32
        )
        return cls(tuple(classes), weight[:, :-1], weight[:, -1])

    @property
    def dimension(self) -> int:
        """Length d of an embedding."""
        return self.weight.shape[1]

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """Return logits (N, C) of embeddings (N, d)."""
        return embeddings @ self.weight.T + self.bias


@dataclass(frozen=True)
class Cosine:
    """Cosine classifier, equations 6-7: y = scale * cos(e, w), with a learned scale (Chen et al. 2019).

    The rows of `weight` (C, d) have length 1.
    """

    classes: tuple[str, ...]
    weight: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, embeddings: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> "Cosine":
        """Fit by gradient descent from the class means, with rows projected to length 1 after each step."""
        check_samples(embeddings, labels, classes)
        x, target = unit(embeddings.astype(np.float64)), np.eye(len(classes))[labels]
        weight, log_scale = unit(target.T @ x), np.log(10.0)
        for _ in range(100):
            cosine = x @ weight.T
            error = (softmax(np.exp(log_scale) * cosine) - target) / len(x)
            weight = unit(weight - 0.5 * error.T @ x)
            log_scale = np.clip(log_scale - 0.1 * np.exp(log_scale) * (error * cosine).sum(), 0, np.log(30))
        return cls(tuple(classes), weight.astype(np.float32), np.exp([log_scale]).astype(np.float32))

    @property
    def dimension(self) -> int:
        """Length d of an embedding."""
        return self.weight.shape[1]

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """Return logits (N, C) of embeddings (N, d)."""
        return self.scale * (unit(embeddings) @ self.weight.T)


@dataclass(frozen=True)
class Prototypes:
    """Prototype classifier, equations 9-10: y = -scale * |e - c|^2 (Snell et al. 2017).

    `centres` is (C, d); `scale` (1,) is 1 / (2 variance).
    """

    classes: tuple[str, ...]
    centres: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, embeddings: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> "Prototypes":
        """Take the mean of each class as its prototype, and one variance for all."""
        check_samples(embeddings, labels, classes)
        centres = np.stack([embeddings[labels == c].mean(0) for c in range(len(classes))])
        spare = len(embeddings) - len(classes)  # degrees of freedom left within the classes
        spread = embeddings - (centres[labels] if spare else embeddings.mean(0))
        # The dimensions are correlated: a quarter of the total spread counts as one independent direction.
        scale = 1 / (0.5 * (spread**2).sum() / max(spare, 1) + 1e-6)
        return cls(tuple(classes), centres.astype(np.float32), np.array([scale], np.float32))

    @property
    def dimension(self) -> int:
        """Length d of an embedding."""
        return self.centres.shape[1]

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """Return logits (N, C) of embeddings (N, d)."""
        return -self.scale * ((embeddings[:, None] - self.centres) ** 2).sum(-1)


@dataclass(frozen=True)
class Gated:
    """Linear classifier behind a gate, which says apart from the classes whether anything is expressed.

    The last of `classes` is "no expression". With x = W e + b, the rows of `weight` (C, d) and `bias` (C,) but the
    last give logits l of the expressions; the last gives z, the log-odds of no expression against any. The softmax of
    `logits` is [(1 - p) softmax(l), p] with p = 1 / (1 + exp(-z)): the gate changes no class against another. A
    temperature belongs into the rows, as a divisor of the first C - 1.
    """

    classes: tuple[str, ...]
    weight: np.ndarray
    bias: np.ndarray

    @property
    def dimension(self) -> int:
        """Length d of an embedding."""
        return self.weight.shape[1]

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """Return logits (N, C) of embeddings (N, d)."""
        x = embeddings @ self.weight.T + self.bias
        return np.column_stack([x[:, :-1], x[:, -1] + np.logaddexp.reduce(x[:, :-1], axis=1)])


Head = Linear | Cosine | Prototypes | Gated
KINDS: dict[str, type[Linear] | type[Cosine] | type[Prototypes]] = {
    "linear": Linear,
    "cosine": Cosine,
    "prototypes": Prototypes,
}
FILE_KINDS: dict[str, type[Head]] = {**KINDS, "gated": Gated}  # a gate is trained with the trunk, not fitted to samples


def class_balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Return weights (N,) with mean 1 that give every class among `labels` (N,) the same sum."""
    counts = np.bincount(labels)
    return len(labels) / np.count_nonzero(counts) / counts[labels]


def regression(
    x: np.ndarray, target: np.ndarray, l2: float, *, offset: np.ndarray | float = 0.0, weights: np.ndarray | float = 1.0
) -> np.ndarray:
    """Fit a ridge logistic regression by Nesterov's gradient descent.

    Args:
        x: (N, d).
        target: (N, C), one-hot.
        l2: Strength of the ridge penalty.
        offset: Logits (N, C) that are added to the model's.
        weights: Of the samples, (N,) or one for all.

    Returns:
        Slopes and, in the last column, bias: (C, d + 1).
    """
    x = np.column_stack([x, np.ones(len(x))]).astype(np.float64)
    weighted = (x.T * weights).T
    step = 1 / (0.5 * np.linalg.norm(x, 2) * np.linalg.norm(weighted, 2) / len(x) + l2)
    weight = previous = np.zeros((target.shape[1], x.shape[1]))
    for i in range(100):  # enough for an l2 of 0.3, as the condition number is small
        ahead = weight + i / (i + 3) * (weight - previous)
        gradient = (softmax(offset + x @ ahead.T) - target).T @ weighted / len(x) + l2 * ahead
        previous, weight = weight, ahead - step * gradient
    return weight


def check_samples(embeddings: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Raise UserError unless every class has at least one finite sample."""
    if not np.isfinite(embeddings).all():
        raise UserError("An embedding has a value that is not finite: leave that sample out.")
    missing = [name for c, name in enumerate(classes) if not (np.asarray(labels) == c).any()]
    if missing:
        raise UserError(
            "No sample of class {names} was given: give at least one of each class.", names=", ".join(missing)
        )


def save(head: Head, path: Path) -> None:
    """Write `head` as safetensors, with its kind and class names as metadata."""
    kind = next(name for name, cls in FILE_KINDS.items() if isinstance(head, cls))
    arrays = {f.name: getattr(head, f.name) for f in fields(head) if f.name != "classes"}
    path.write_bytes(serialize(arrays, {"kind": kind, "classes": "\n".join(head.classes)}))


def load(data: bytes) -> Head:
    """Read a head from the bytes of its file.

    Raises:
        UserError: They are not a head.
    """
    try:
        arrays = deserialize(data)  # first, as it checks the size of the metadata
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
    except (SafetensorError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"The head is not readable safetensors: {error}.") from error
    kind, classes = metadata.get("kind", ""), tuple(metadata.get("classes", "").split("\n"))
    if kind not in FILE_KINDS or set(arrays) != {f.name for f in fields(FILE_KINDS[kind])} - {"classes"}:
        raise UserError(f"The file is not a head: expected one of {', '.join(FILE_KINDS)}.")
    if len(set(classes)) != len(classes) or not all(classes):
        raise UserError("The head's classes need different names.")
    rows = arrays["centres" if kind == "prototypes" else "weight"]
    shapes = {"weight": rows.shape, "centres": rows.shape, "bias": (len(classes),), "scale": (1,)}
    if (
        rows.ndim != 2
        or len(rows) != len(classes)
        or not 1 <= rows.shape[1] <= MAX_DIMENSION
        or any(array.shape != shapes[name] for name, array in arrays.items())
    ):
        raise UserError("The head's arrays do not match its classes.")
    if not all(array.dtype == np.float32 and is_sound(array) for array in arrays.values()):
        raise UserError("The head has values that are not finite float32 numbers.")
    return FILE_KINDS[kind](classes, **arrays)


def is_sound(values: np.ndarray) -> bool:
    """Whether all values are finite, and small enough to be computed with."""
    return bool((np.abs(values) <= MAX_VALUE).all())
