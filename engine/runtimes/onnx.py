"""A trunk on ONNX Runtime, one thread: embed(flow, magnitude) -> embedding, Action Unit logits."""

import numpy as np
import onnxruntime as ort

from merau.engine.errors import UserError

OUTPUTS = ["embedding", "au_logits"]


class OnnxTrunk:
    """An ONNX model given as bytes; `plainly` for FP8. Raises UserError where ONNX Runtime cannot build it."""

    def __init__(self, model: bytes, *, allow_fusions: bool = True) -> None:
        try:
            self.session = create_session(model, allow_fusions=allow_fusions)
        except Exception as error:  # onnxruntime raises its own types, none of them public
            raise UserError(f"The bundle's trunk cannot be run by onnxruntime {ort.__version__}: {error}") from error

    def embed(self, **inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs by the names of the model's own, float32 with a leading batch; gives (N, d) and (N, 17) float32."""
        embedding, au_logits = self.session.run(OUTPUTS, inputs)
        return embedding, au_logits


def create_session(model: bytes, *, allow_fusions: bool = True) -> ort.InferenceSession:
    """`model` on the CPU, in one thread; `plainly` leaves out the fusions that FP8 round ReLU does not survive."""
    options = ort.SessionOptions()
    if not allow_fusions:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Without VNNI two products of bytes are added in 16 bits, which overflow; this makes unsigned what is signed.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
