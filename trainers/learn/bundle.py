"""From MERAU as trained stage by stage to a bundle: the trunk with its apex branch, the head, the calibration."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as serialize
from safetensors.torch import save_model
from torch import nn

from merau.calib import probability
from merau.calib.quantize import quantize
from merau.engine import bundle, heads
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.preprocess import input_spec
from merau.engine.runtimes.onnx import OnnxTrunk
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.export.bundle import DOMAIN_SAMPLES, RISK, WEIGHTS, calibrate_aus, rows, trunk_inputs, write_onnx
from merau.trainers.learn.merau import TrainingPairs, TrainingResult
from merau.trainers.models.merau import CosineClassifier, Merau

BATCH = 50
GATED = 256  # samples kept back by which INT8 is judged, layer by layer: with ResNet18 minutes, and a gigabyte


def write_bundle(trained: TrainingResult, folder: Path, *, name: str, flow: str, trained_on: dict[str, Any]) -> None:
    """Write the bundle for the flow method `flow` into `folder`.

    Quantisation ranges come from what was trained on; temperature, threshold and the scaling of the Action Units from
    the subjects kept back. Raises UserError where INT8 strays from FP32.
    """
    model = trained.model.eval()
    shown, held = (inputs_of(model, pairs) for pairs in (trained.training, trained.held_out))
    fp32, int8 = (folder / bundle.TRUNKS[precision] for precision in ("fp32", "int8"))
    write_onnx(model, fp32, rows(shown, slice(2)))
    batches = [rows(shown, slice(i, i + BATCH)) for i in range(0, len(trained.training), BATCH)]
    report = quantize(fp32, int8, batches, method="percentile", held_out=rows(held, slice(GATED)))
    save_model(model, str(folder / WEIGHTS))
    trunk = OnnxTrunk(int8.read_bytes())
    embedding = np.concatenate([trunk.embed(**batch)[0] for batch in batches])
    head = head_of(model, trained.classes, embedding, trained.training.flows.label)
    heads.save(head, folder / bundle.HEAD)
    domain = embedding[np.random.default_rng(0).permutation(len(embedding))[:DOMAIN_SAMPLES]]
    (folder / bundle.DOMAIN).write_bytes(serialize({"embedding": np.ascontiguousarray(domain)}))
    told, unit_logits = trunk.embed(**held)
    logits, label, aus = head.logits(told), trained.held_out.flows.label, trained.held_out.flows.aus
    names = [str(au) for au in AUS]
    card = {
        "name": name,
        "input": input_spec(CropSpec(), flow, apex_px=model.apex_px),
        "classes": list(trained.classes),
        "aus": names,
        "calibration": {
            **calibration(logits, label),
            "units": calibrate_aus(names, unit_logits, aus, np.ones(len(label))),
            "int8_cosine": round(report.cost.cosine, 4),
        },
        "trained_on": trained_on,
        "scores": {
            "kept_back_subjects": {"samples": len(label), "acc": round(float((logits.argmax(1) == label).mean()), 3)}
        },
    }
    bundle.save(folder, card)


def inputs_of(model: Merau, pairs: TrainingPairs) -> dict[str, np.ndarray]:
    return trunk_inputs(model.apex_px, pairs.flows.flow, pairs.apex)


def head_of(model: Merau, classes: tuple[str, ...], embedding: np.ndarray, label: np.ndarray) -> heads.Head:
    """The trained classifier, or the prototypes of what was trained on, as the engine's head."""
    with torch.no_grad():
        if isinstance(model.classify, nn.Linear):
            return heads.Linear(classes, model.classify.weight.numpy().copy(), model.classify.bias.numpy().copy())
        if isinstance(model.classify, CosineClassifier):
            scale = model.classify.log_scale.exp().numpy().reshape(1)
            return heads.Cosine(classes, heads.unit(model.classify.weight.numpy()), scale)
    return heads.Prototypes.fit(embedding, label, classes)


def calibration(logits: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Temperature and threshold for "uncertain"; where no confidence keeps the errors at RISK, every answer is."""
    temperature = probability.fit_temperature(logits, label)
    try:
        threshold = probability.uncertain_threshold(heads.softmax(logits / temperature), label, risk=RISK)
    except UserError:
        threshold = 1.0
    return {"temperature": temperature, "threshold": threshold, "risk": RISK}
