"""The GPU path: kernels compiled with NVRTC and run with pycuda."""
