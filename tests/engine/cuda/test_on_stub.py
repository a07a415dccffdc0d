"""The tests marked `gpu` on the real pycuda over a stub driver, which carries launches out on the CPU, and a stub of
TensorRT; in a process of their own, since a process has one libcuda.
"""

import os
import subprocess
import sys
from pathlib import Path

from scripts.support.footage import cache_folder
from scripts.support.stub_driver.build import build

ROOT = Path(__file__).parents[3]
TESTS = (
    "tests/engine/cuda",
    "tests/engine/runtimes",
    "tests/scripts/test_bench_gpu.py",
    "tests/stream/sources/test_hwaccel.py",
    "tests/stream/spotter/test_flow_backend.py",
    "tests/stream/test_on_gpu.py",
)
LIBRARIES = ROOT / "scripts" / "support" / "stub_driver" / "libraries"


def test_gpu_tests_pass_on_the_stub_driver(tmp_path):
    build(tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *TESTS]
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(tmp_path),
        "PYTHONPATH": str(LIBRARIES),
        "MERAU_FOOTAGE": str(cache_folder()),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
