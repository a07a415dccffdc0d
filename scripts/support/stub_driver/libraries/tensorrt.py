"""The part of TensorRT that engine/runtimes/tensorrt.py calls, for the stub driver.

An engine is the ONNX model that it was built from; ONNX Runtime runs it on the memory of the stub.
"""

import ctypes
from types import SimpleNamespace

import numpy as np

from merau.engine.runtimes.onnx import create_session

__version__ = "11.0"
MemoryPoolType = SimpleNamespace(WORKSPACE=0)
ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED=0)
_driver = ctypes.CDLL("libcuda.so.1")


class ILogger:
    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)


class Runtime:
    def __init__(self, log):
        self._log = log

    def deserialize_cuda_engine(self, plan):
        try:
            return _Engine(plan, self._log)
        except Exception as error:  # like TensorRT, which reports to its logger and raises nothing
            self._log.log(ILogger.Severity.ERROR, str(error))
            return None


class _Engine:
    device_memory_size_v2 = 1

    def __init__(self, plan, log):
        self.log = log
        self.session = create_session(plan, allow_fusions=False)
        tensors = [*self.session.get_inputs(), *self.session.get_outputs()]
        self._shapes = {tensor.name: (-1, *tensor.shape[1:]) for tensor in tensors}
        self.num_io_tensors = len(tensors)

    def get_tensor_name(self, index):
        return list(self._shapes)[index]

    def get_tensor_shape(self, name):
        return self._shapes[name]

    def create_execution_context(self, strategy):
        return None if _driver.cuCtxSynchronize() else _Context(self)


class _Context:
    def __init__(self, engine):
        self._engine, self._address, self._shape = engine, {}, {}

    def set_device_memory(self, address, size):
        pass

    def set_tensor_address(self, name, address):
        self._address[name] = address

    def set_input_shape(self, name, shape):
        self._shape[name] = shape
        return tuple(shape[1:]) == tuple(self._engine.get_tensor_shape(name)[1:])

    def execute_async_v3(self, handle):
        """Not so async: what was put into the stream before is carried out first."""
        if code := _driver.cuStreamSynchronize(ctypes.c_void_p(handle)):
            self._engine.log.log(ILogger.Severity.ERROR, f"Cuda Runtime ({code})")
            return False
        trunk = self._engine.session
        outputs = trunk.run(None, {name: self._at(name, shape) for name, shape in self._shape.items()})
        for tensor, value in zip(trunk.get_outputs(), outputs, strict=True):
            self._at(tensor.name, value.shape)[:] = value
        return True

    def _at(self, name, shape):
        array = (ctypes.c_float * int(np.prod(shape))).from_address(self._address[name])
        return np.frombuffer(array, np.float32).reshape(shape)


class Builder:
    def __init__(self, log):
        pass

    def create_network(self, flags):
        return SimpleNamespace(model=b"", num_inputs=0)

    def create_builder_config(self):
        return SimpleNamespace(set_memory_pool_limit=_nothing, add_optimization_profile=_nothing)

    def create_optimization_profile(self):
        return SimpleNamespace(set_shape=_nothing)

    def build_serialized_network(self, network, config):
        return network.model


class OnnxParser:
    def __init__(self, network, log):
        self._network = network

    def parse(self, model):
        inputs = create_session(model, allow_fusions=False).get_inputs()
        self._network.model, self._network.num_inputs = model, len(inputs)
        self._network.get_input = lambda index: inputs[index]
        return True


def _nothing(*_):
    pass
