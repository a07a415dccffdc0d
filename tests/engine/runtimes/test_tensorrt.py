"""Engines are built here without a GPU, by tensorrt_rtx; that they run is checked where there is one."""

import re
import sys
from dataclasses import replace
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorrt_rtx

from merau.engine import bundle as bundles
from merau.engine import cache
from merau.engine.crop import CropSpec
from merau.engine.cuda.device import Device
from merau.engine.errors import DeviceError, UserError
from merau.engine.runtimes import tensorrt
from merau.engine.runtimes.onnx import OnnxTrunk
from merau.engine.runtimes.tensorrt import MAX_BATCH, TensorRtTrunk, build_engine, cached_engine, engine_graph
from scripts.support.flow_cases import face_pair
from tests.support import TRUNK_BATCHES, farneback_recognizer

ARCHS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_120")


@pytest.fixture(scope="module")
def bundle() -> bundles.Bundle:
    return bundles.load()


@pytest.mark.parametrize("name", ["default", "source"])
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("precision", ["fp16", "int8", "fp8"])
def test_engine_builds_for_every_bundle_and_architecture(name, arch, precision):
    model = engine_graph(bundles.load(bundles.SHIPPED / name), precision)
    if precision == "fp8" and arch in ("sm_75", "sm_80", "sm_86"):
        with pytest.raises(UserError, match=f"no FP8 for {arch}: it begins with sm_89"):
            build_engine(model, precision, arch)
    else:
        assert len(build_engine(model, precision, arch)) > 10_000


@pytest.mark.parametrize(
    ("precision", "quantized", "convolutions"),
    [("fp16", None, "HALF"), ("int8", "INT8", "HALF"), ("fp8", "FP8", "FLOAT")],
)
def test_engine_has_requested_precision_and_batches(bundle, tmp_path, monkeypatch, precision, quantized, convolutions):
    class Looking(tensorrt_rtx.Builder):
        def create_optimization_profile(self):
            self.profile = super().create_optimization_profile()
            return self.profile

        def build_serialized_network(self, network, config):
            types = {}
            for layer in (network.get_layer(i) for i in range(network.num_layers)):
                types.setdefault(layer.type.name, set()).add(layer.get_output(0).dtype.name)
            assert types["CONVOLUTION"] == {convolutions}
            assert types.get("QUANTIZE") == ({quantized} if quantized else None)
            assert types.get("DEQUANTIZE") == ({convolutions} if quantized else None)
            assert config.num_optimization_profiles == 1
            for name, row in (("flow", (2, 32, 32)), ("magnitude", (1,))):
                assert [tuple(shape) for shape in self.profile.get_shape(name)] == [(n, *row) for n in (1, 8, 64)]
            assert config.get_memory_pool_limit(tensorrt_rtx.MemoryPoolType.WORKSPACE) == 256 << 20
            return b"seen"

    monkeypatch.setattr(tensorrt_rtx, "Builder", Looking)
    assert cached_engine(bundle, precision, "sm_89", folder=tmp_path)[1] == b"seen"


def test_build_errors_name_the_cause(bundle):
    with pytest.raises(UserError, match=r"cannot build INT8 for sm_75: .*FP32 GEMM is not supported"):
        build_engine(bundle.content[bundles.TRUNKS["fp32"]], "int8", "sm_75")
    with pytest.raises(UserError, match="builds for sm_120, .*, not sm_90: install TensorRT 11"):
        build_engine(engine_graph(bundle, "fp16"), "fp16", "sm_90")
    with pytest.raises(UserError, match="Architecture is 'ampere': write it like sm_89"):
        build_engine(engine_graph(bundle, "fp16"), "fp16", "ampere")
    with pytest.raises(UserError, match="cannot read the trunk"):
        build_engine(b"no model", "fp16", "sm_89")
    with pytest.raises(UserError, match=r"has no trunk.fp8.onnx: merau-lab quantize --precision fp8 writes it"):
        without = {name: data for name, data in bundle.content.items() if name != bundles.EXTRA_TRUNKS["fp8"]}
        engine_graph(replace(bundle, content=without), "fp8")


def test_old_tensorrt_is_skipped(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.13.3.9"))
    assert tensorrt.load_library.__wrapped__().__name__ == "tensorrt_rtx"
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(DeviceError, match="^TensorRT 11 or TensorRT for RTX is missing: pip install"):
        tensorrt.load_library.__wrapped__()


def test_cached_engine_is_reused_unless_stale_or_damaged(bundle, tmp_path, monkeypatch):
    path, plan = cached_engine(bundle, "fp16", "sm_89", folder=tmp_path)
    made = path.stat().st_mtime_ns
    assert cached_engine(bundle, "fp16", "sm_89", folder=tmp_path) == (path, plan)
    assert path.stat().st_mtime_ns == made
    path.write_bytes(plan[:1000])
    assert len(cached_engine(bundle, "fp16", "sm_89", folder=tmp_path)[1]) == pytest.approx(len(plan), rel=0.1)
    assert cache.read(path)
    with pytest.raises(UserError, match=r"\.engine cannot be written: File exists\."):
        cached_engine(bundle, "fp16", "sm_89", folder=path)
    other, _ = cached_engine(replace(bundle, sha256="0" * 64), "fp16", "sm_89", folder=tmp_path)
    assert other != path
    assert {other, path} == set(tmp_path.iterdir())


def test_engine_is_rebuilt_if_its_recipe_changed(bundle, tmp_path):
    source = Path(tensorrt.__file__).read_text()
    (tmp_path / "edited.py").write_text(source.replace("WORKSPACE_BYTES = 256", "WORKSPACE_BYTES = 128"))
    spec = spec_from_file_location("edited", tmp_path / "edited.py")
    edited = module_from_spec(spec)
    spec.loader.exec_module(edited)
    paths = {each.cached_engine(bundle, "fp16", "sm_89", folder=tmp_path)[0] for each in (tensorrt, edited)}
    assert len(paths) == 2


def test_graphs_of_every_precision_keep_the_embedding(bundle):
    exact, _ = OnnxTrunk(bundle.content[bundles.TRUNKS["fp32"]]).embed(**TRUNK_BATCHES[0])
    for precision, least in (("fp16", 0.9999), ("int8", 0.99), ("fp8", 0.99)):
        rounded, _ = OnnxTrunk(engine_graph(bundle, precision), allow_fusions=False).embed(**TRUNK_BATCHES[0])
        cosine = (exact * rounded).sum(1) / (np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1))
        assert cosine.mean() > least, precision


def test_both_tensorrt_libraries_have_all_used_names():
    receivers = {
        "trt": tensorrt_rtx,
        "builder": tensorrt_rtx.Builder,
        "network": tensorrt_rtx.INetworkDefinition,
        "parser": tensorrt_rtx.OnnxParser,
        "config": tensorrt_rtx.IBuilderConfig,
        "profile": tensorrt_rtx.IOptimizationProfile,
        "runtime": tensorrt_rtx.Runtime,
        "_engine": tensorrt_rtx.ICudaEngine,
        "_context": tensorrt_rtx.IExecutionContext,
    }
    source = Path(tensorrt.__file__).read_text()
    called = [(receivers[on], name) for on, name in re.findall(rf"\b({'|'.join(receivers)})\.(\w+)", source)]
    called += [(getattr(tensorrt_rtx, on), name) for on, name in re.findall(r"\btrt\.(\w+)\.(\w+)", source)]
    assert not [name for on, name in called if not hasattr(on, name)]

    names = {name for _, name in called if not name.startswith("__")}
    names -= {"ComputeCapability", "num_compute_capabilities", "set_compute_capability"}  # asked for with hasattr
    tails = {"Builder", "Runtime"}  # which the linker keeps as the ends of longer names
    spec = find_spec("tensorrt_bindings")
    assert spec
    assert spec.submodule_search_locations
    library = (Path(spec.submodule_search_locations[0]) / "tensorrt.so").read_bytes()
    assert len(names) > 20
    assert not [name for name in names - tails if f"\0{name}\0".encode() not in library]
    assert not [name for name in tails if f"{name}\0".encode() not in library]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_engine_output_equals_the_cpus(bundle, precision):
    device = Device()
    trunk = TensorRtTrunk(device, cached_engine(bundle, precision, device.gpu.arch)[1])
    inputs = {name: np.concatenate([batch[name] for batch in TRUNK_BATCHES] * 2) for name in TRUNK_BATCHES[0]}
    assert len(inputs["flow"]) > MAX_BATCH
    for seen, true in zip(
        trunk.embed(**inputs), OnnxTrunk(engine_graph(bundle, precision)).embed(**inputs), strict=True
    ):
        assert np.abs(seen - true).max() < 0.05 * np.abs(true).max()
    trunk.close()


@pytest.mark.gpu
def test_farneback_flow_on_the_gpu_predicts_as_on_the_cpu():
    onset, apex = face_pair(0, *CropSpec().full)
    seen, true = (farneback_recognizer(device).predict(onset, apex) for device in ("cuda", "cpu"))
    assert seen.probabilities == pytest.approx(true.probabilities, abs=0.05)
    assert seen.aus == pytest.approx(true.aus, abs=0.05)


@pytest.mark.gpu
def test_wrong_engine_input_is_named(bundle):
    device = Device()
    trunk = TensorRtTrunk(device, cached_engine(bundle, "int8", device.gpu.arch)[1])
    flow = np.zeros((1, 2, 32, 32), np.float32)
    with pytest.raises(UserError, match=r"Input 'magnitude': the engine takes \(1, 1\), but is given \(1, 2\)"):
        trunk.embed(flow=flow, magnitude=np.zeros((1, 2), np.float32))
    with pytest.raises(UserError, match=r"Input 'magnitude': the engine takes \(1, 1\), but is given none"):
        trunk.embed(flow=flow)
    with pytest.raises(UserError, match=r"Input 'flow': the engine takes \(1, 2, 32, 32\), but is given none"):
        trunk.embed(flwo=flow, magnitude=np.zeros((1, 1), np.float32))
    trunk.close()
    device.close()
