"""A trunk on ONNX Runtime, on the CPU in one thread."""

import numpy as np
import onnxruntime as ort

from merau.engine.errors import UserError

OUTPUTS = ["embedding", "au_logits"]
EXTERNAL_DATA = b"\x0a\x08location"  # the key by which a tensor of an ONNX model names a file


class OnnxTrunk:
    """An ONNX model.

    Args:
        model: The bytes of its file.
        allow_fusions: False for FP8; see `create_session`.

    Raises:
        UserError: ONNX Runtime cannot load the model.
    """

    def __init__(self, model: bytes, *, allow_fusions: bool = True) -> None:
        if EXTERNAL_DATA in model:
            raise UserError("The bundle's trunk takes weights from other files, which a bundle must not do.")
        try:
            self.session = create_session(model, allow_fusions=allow_fusions)
        except Exception as error:  # onnxruntime raises its own types, none of them public
            raise UserError(f"onnxruntime {ort.__version__} cannot run the bundle's trunk: {error}") from error

    def embed(self, **inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run the model.

        Args:
            inputs: By the names of the model's inputs, float32, batch first.

        Returns:
            Embeddings (N, d) and Action Unit logits (N, 17), float32.

        Raises:
            UserError: The model takes other inputs, or has other outputs.
        """
        try:
            embedding, au_logits = self.session.run(OUTPUTS, inputs)
        except Exception as error:
            raise UserError(f"onnxruntime {ort.__version__} cannot run the bundle's trunk: {error}") from error
        return embedding, au_logits


def create_session(model: bytes, *, allow_fusions: bool = True) -> ort.InferenceSession:
    """Load `model` on the CPU in one thread; FP8 around ReLU does not survive ONNX Runtime's fusions."""
    options = ort.SessionOptions()
    if not allow_fusions:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Without VNNI two products of signed bytes are added in 16 bits, which overflow; with unsigned ones they do not.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
