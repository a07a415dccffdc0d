"""Train the spotter's classifier, choose its thresholds, and write it into a bundle."""

import hashlib
import io
import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from merau.engine import bundle as bundles
from merau.engine.errors import UserError
from merau.stream.spotter import KINDS, CandidateInput, Thresholds
from merau.stream.spotter.classifier import CHANNELS, FEATURES, STEPS
from merau.stream.spotter.span_net import CARD, SpanNet
from merau.trainers.spotting.boosting import boost
from merau.trainers.spotting.dataset import list_clips
from merau.trainers.spotting.folds import cross_validate, training_data
from merau.trainers.spotting.net import KindEnsemble, NetSettings, train_nets
from merau.trainers.spotting.record import Recording
from merau.trainers.spotting.recordings import FOLDER, record_all
from merau.trainers.spotting.report import compare
from merau.trainers.spotting.tune import calibrate, choose_thresholds, softmax

LEFT_OUT = Path(FOLDER) / "left-out.npz"  # what the net said of each recording when it was left out of training


@dataclass(frozen=True)
class Trained:
    """A classifier, ready for a bundle.

    Attributes:
        model: The bytes of spotter.onnx.
        report: How it compares with the baselines on what was left out of training.
    """

    model: bytes
    report: dict[str, Any]


def train(folder: Path, settings: NetSettings, most_false_per_minute: float | None = None) -> Trained:
    """Train on a data set; folds that leave out motion models and identities choose temperature and thresholds."""
    recordings = record_all(folder)
    one = replace(settings, nets=1)  # of each fold: a single net is somewhat worse than the mean of several
    left_out = cross_validate(recordings, lambda c, labels, weights: train_nets(c, labels, weights, one).logits)
    np.savez_compressed(folder / LEFT_OUT, *left_out)
    boosted = cross_validate(recordings, lambda c, labels, weights: boost(c, labels, weights, settings.seed))
    temperature, thresholds = fit_decision(recordings, left_out, most_false_per_minute)
    report = compare(recordings, {"net": left_out, "boosting": boosted}, most_false_per_minute)
    nets = train_nets(*training_data(recordings), settings)
    ensemble = KindEnsemble(nets.nets, temperature)
    card = {
        "kinds": list(KINDS),
        "features": list(FEATURES),
        "thresholds": asdict(thresholds),
        "trained_on": describe_data(folder, recordings) | {"net": asdict(settings)},
        "scores": {"left-out motion models and identities": report["net"]["all"]},
    }
    return Trained(write_model(ensemble, card), report)


def fit_decision(
    recordings: Sequence[Recording], logits: Sequence[np.ndarray], most_false_per_minute: float | None
) -> tuple[float, Thresholds]:
    """Return temperature and thresholds for logits of candidates that were left out of training."""
    temperature = calibrate(recordings, logits)
    probabilities = [softmax(one, temperature) for one in logits]
    return temperature, choose_thresholds(recordings, probabilities, most_false_per_minute)


def describe_data(folder: Path, recordings: Sequence[Recording]) -> dict[str, Any]:
    """Return what the card says of a data set."""
    digest = hashlib.sha256()
    for file in list_clips(folder):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return {
        "data": "synthetic, and expressions painted into real footage",
        "motion_models": sorted({recording.motion_model for recording in recordings}),
        "identities": len({recording.identity for recording in recordings}),
        "recordings": len(recordings),
        "candidates": sum(len(recording.labels) for recording in recordings),
        "minutes": round(sum(recording.duration_s for recording in recordings) / 60, 1),
        "sha256": digest.hexdigest(),
    }


def read_left_out(folder: Path, count: int) -> list[np.ndarray]:
    """Return the logits that `train` left in a data set's folder.

    Raises:
        UserError: There are none, or they are of other recordings.
    """
    try:
        with np.load(folder / LEFT_OUT) as file:
            logits = [file[f"arr_{i}"] for i in range(len(file.files))]
    except FileNotFoundError as error:
        raise UserError(
            "{folder} has no left-out predictions: run 'merau-lab spot train' first.", folder=folder
        ) from error
    if len(logits) != count:
        raise UserError("{folder} has grown since it was trained on: run 'merau-lab spot train' again.", folder=folder)
    return logits


def write_model(ensemble: KindEnsemble, card: dict[str, Any]) -> bytes:
    """Return an ONNX file with the card in its metadata."""
    example = CandidateInput(
        *(np.zeros((2, *shape), np.float32) for shape in ((CHANNELS, STEPS), (STEPS,), (len(FEATURES),)))
    )
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists every optional package it did not find
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own internals
        program = torch.onnx.export(
            ensemble.eval(),
            tuple(torch.from_numpy(array) for array in vars(example).values()),
            input_names=list(vars(example)),
            output_names=["probabilities"],
            dynamic_shapes=[{0: batch}, {0: batch}, {0: batch}],
            verbose=False,
        )
    model = program.model_proto
    return with_card(model, card)


def with_card(model: onnx.ModelProto, card: dict[str, Any]) -> bytes:
    """Return the bytes of a model with this card."""
    onnx.helper.set_model_props(model, {CARD: json.dumps(card)})
    file = io.BytesIO()
    onnx.save(model, file)
    SpanNet(file.getvalue())  # raises UserError unless the live side can use it
    return file.getvalue()


def retune(model: bytes, thresholds: Thresholds) -> bytes:
    """Return the model with other thresholds in its card."""
    card = SpanNet(model).card | {"thresholds": asdict(thresholds)}
    return with_card(onnx.load_from_string(model), card)


def install(model: bytes, folder: Path) -> None:
    """Write the classifier into a bundle's folder; the bundle's hash changes with it."""
    bundle = bundles.load(folder)
    (folder / bundles.SPOTTER).write_bytes(model)
    bundles.save(folder, {key: value for key, value in bundle.card.items() if key not in ("format", "sha256")})
