"""Values and inputs that several tests share."""

from dataclasses import replace

import numpy as np

from merau.engine import bundle as bundles
from merau.engine.few_shot import Sample
from merau.engine.recognizer import Recognizer

LAUNCH_FAILED = 719  # CUDA_ERROR_LAUNCH_FAILED; for an error of memory pycuda would collect garbage and try again


def trunk_batch(seed: int) -> dict[str, np.ndarray]:
    """16 random inputs of a trunk."""
    rng = np.random.default_rng(seed)
    flow = rng.normal(0, 1, (16, 2, 32, 32)).astype(np.float32)
    return {"flow": flow, "magnitude": rng.normal(0, 1, (16, 1)).astype(np.float32)}


def farneback_recognizer(device: str) -> Recognizer:
    """The default bundle with Farneback's flow on every device, which only a GPU computes otherwise."""
    bundle = bundles.load()
    return Recognizer(
        replace(bundle, card=bundle.card | {"input": bundle.card["input"] | {"flow": ["farneback"]}}), device=device
    )


TRUNK_BATCHES = [trunk_batch(seed) for seed in range(4)]


def clustered_samples(recognizer: Recognizer, labels: tuple[str, ...], per_class: int) -> list[Sample]:
    """Samples in clusters around random embeddings, one cluster per label; the bundle's probabilities are equal."""
    rng = np.random.default_rng(0)
    equal = {name: 1 / len(recognizer.head.classes) for name in recognizer.head.classes}
    aus = dict.fromkeys(recognizer.bundle.card["aus"], 0.5)
    samples = []
    for label in labels:
        centre = rng.normal(0, 1, recognizer.head.dimension)
        for _ in range(per_class):
            embedding = (centre + rng.normal(0, 0.4, len(centre))).astype(np.float32)
            samples.append(Sample(label, embedding, equal, aus))
    return samples
