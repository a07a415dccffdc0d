"""FP32 ONNX -> INT8 Q/DQ ONNX with calibrated ranges, and the gate that a quantised trunk must pass.

Needs the `onnx` package (extra `train`); nothing at run time does.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from engine.errors import UserError
from engine.runtimes.onnx import OnnxTrunk

METHODS = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}


class _Samples(CalibrationDataReader):
    def __init__(self, inputs: Sequence[dict[str, np.ndarray]]) -> None:
        self.rest: Iterator[dict[str, np.ndarray]] = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.rest, None)


def quantize(fp32: Path, int8: Path, inputs: Sequence[dict[str, np.ndarray]], *, method: str = "minmax") -> None:
    """Write `int8`: symmetric, weights per channel, activations per tensor, biases left alone, as TensorRT wants Q/DQ.

    `inputs` are calibration batches by input name, float32.
    """
    if method not in METHODS:
        raise UserError(f"Calibration method is {method!r}: choose one of {', '.join(METHODS)}.")
    folded = int8.with_suffix(".folded.onnx")
    quant_pre_process(fp32, folded)
    quantize_static(
        folded,
        int8,
        _Samples(inputs),
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        calibrate_method=METHODS[method],
        op_types_to_quantize=["Conv", "MaxPool", "Add", "Gemm"],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "AddQDQPairToWeight": True,
        },
    )
    folded.unlink()


def gate(fp32: bytes, int8: bytes, inputs: dict[str, np.ndarray], *, least_cosine: float = 0.98) -> float:
    """Mean cosine between FP32 and INT8 embeddings of one batch. Raises UserError where it is below `least_cosine`."""
    exact, _ = OnnxTrunk(fp32).embed(**inputs)
    rounded, _ = OnnxTrunk(int8).embed(**inputs)
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    cosine = float(((exact * rounded).sum(1) / np.maximum(norms, 1e-12)).mean())
    if cosine < least_cosine:
        raise UserError(f"INT8 embeddings have cosine {cosine:.4f} with FP32, below {least_cosine}: ship FP32 instead.")
    return cosine
