"""Build the stub driver: `python -m scripts.support.stub_driver.build FOLDER` writes FOLDER/libcuda.so.1."""

import re
import subprocess
import sys
from pathlib import Path

from merau.engine.cuda.nvrtc import SOURCES

HERE = Path(__file__).parent
FAULTS = HERE / "faults.cu"


def build(folder: Path) -> None:
    """Compile the stub driver with every kernel of engine/cuda and of faults.cu as C++ into `folder`."""
    (folder / "missing.cpp").write_text(missing_functions())
    for source in (*SOURCES, FAULTS):
        registered = [f'static shim::Registered {name}_registered("{name}", {name});' for name in kernels(source)]
        text = "\n".join(['#include "shim.h"', f'#include "{source}"', *registered])
        (folder / f"{source.stem}.cpp").write_text(text + "\n")
    flags = ["-std=c++17", "-O2", "-g0", "-fPIC", "-shared", "-w", "-ffp-contract=off", "-U_FORTIFY_SOURCE"]
    bounds = [
        "-fsanitize=bounds",
        "-fsanitize-undefined-trap-on-error",
    ]  # checks __shared__ arrays; guard pages check the rest
    sources = [HERE / "driver.cpp", *sorted(folder.glob("*.cpp"))]
    # Nothing else may be exported: real libraries use the names of some kernels and templates, too.
    exports = folder / "exports"
    exports.write_text("{ global: cu*; stub_*; local: *; };")
    link = [f"-I{HERE}", f"-Wl,-soname,libcuda.so.1,--version-script={exports}", "-o", folder / "libcuda.so.1"]
    command = ["g++", *flags, *bounds, *link, *sources]
    subprocess.run(command, check=True)


def kernels(source: Path) -> list[str]:
    """Return the names of the kernels in a .cu file."""
    return re.findall(r"__global__ void (?:__launch_bounds__\(\w+\)\s+)?(\w+)\(", source.read_text())


def missing_functions() -> str:
    """Return C++ source for the driver functions that driver.cpp lacks.

    pycuda is linked to them, or FFmpeg looks for them; each returns CUDA_ERROR_NOT_SUPPORTED.
    """
    import av
    import pycuda

    library = next(Path(pycuda.__file__).parent.glob("_driver*.so"))
    listed = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True)
    wanted = set(re.findall(r"\bU (cu[A-Z]\w*)", listed.stdout))
    ffmpeg = next(Path(av.__file__).parents[1].glob("av.libs/libavutil-*.so*")).read_bytes()
    wanted |= {name.decode() for name in re.findall(rb"\0(cu[A-Z]\w*)(?=\0)", ffmpeg)}
    have = set(re.findall(r"^Code (cu\w+)\(", (HERE / "driver.cpp").read_text(), re.MULTILINE))
    lines = [f'extern "C" int {name}() {{ return 801; }}' for name in sorted(wanted - have)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    build(Path(sys.argv[1]))
