"""Every kernel for every architecture, without a GPU."""

import ctypes

import pytest

from merau.engine import cache
from merau.engine.cuda import nvrtc
from merau.engine.cuda.nvrtc import SOURCES, UnknownArch, compile_source, load_or_compile, newest_ptx
from merau.engine.errors import DeviceError
from scripts.support.stub_driver.build import kernels

ARCHS = (75, 80, 86, 89, 90, 120)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
@pytest.mark.parametrize("arch", ARCHS)
def test_kernels_compile_without_spills(source, arch):
    code, usage = compile_source(source, f"sm_{arch}")
    assert code.startswith(b"\x7fELF")
    assert set(usage) == set(kernels(source))
    assert len(usage) == source.read_text().count("__global__")
    assert not [name for name, kernel in usage.items() if kernel.spill_bytes or kernel.stack_bytes]
    assert max(kernel.registers for kernel in usage.values()) <= 64  # four blocks of 256 threads to a multiprocessor


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_no_kernel_computes_in_double_precision(source):
    ptx, _ = compile_source(source, "compute_75")
    assert b".f32" in ptx
    assert b".f64" not in ptx


def test_compiled_code_is_cached_and_repaired(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = load_or_compile(SOURCES[0], "sm_89")
    (kept,) = (cache.folder() / "cuda").iterdir()
    made = kept.stat().st_mtime_ns
    assert load_or_compile(SOURCES[0], "sm_89") == code
    assert kept.stat().st_mtime_ns == made
    kept.write_bytes(kept.read_bytes()[:-100])
    assert load_or_compile(SOURCES[0], "sm_89") == code
    assert cache.read(kept) == code


def test_cached_code_needs_no_nvrtc(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = load_or_compile(SOURCES[0], "sm_89")
    nvrtc._nvrtc.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert load_or_compile(SOURCES[0], "sm_89") == code
    with pytest.raises(DeviceError, match="NVRTC is missing; pip install"):
        load_or_compile(SOURCES[0], "sm_90")


def missing(name):
    raise OSError(f"{name}: cannot open shared object file")


def test_unknown_architecture_is_named_and_uses_ptx():
    with pytest.raises(UnknownArch, match="cannot compile for sm_70: it supports 75"):
        compile_source(SOURCES[0], "sm_70")
    assert newest_ptx("sm_86") == "compute_86"
    assert compile_source(SOURCES[0], newest_ptx("sm_999"))[0].startswith(b"//")
