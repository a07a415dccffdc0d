"""What runs a trunk: ONNX Runtime on the CPU, TensorRT on a GPU."""
