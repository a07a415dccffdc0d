#!/bin/sh
# Builds pycuda, which is published as source only, in the user's cache folder and prints the path of its wheel. The
# first build takes minutes; later calls only print. Needs a C++ compiler, but no CUDA toolkit (the headers come as a
# wheel) and no driver (pycuda is linked to an empty library of that name; at run time the real one is found).
# Usage: pycuda_wheel.sh PYTHON
set -eu

python=$1
pycuda=2026.1
headers=13.0.96 # the oldest CUDA 13, so that every driver of that generation has all functions

tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
cache=${XDG_CACHE_HOME:-$HOME/.cache}/merau-live/wheels
set -- "$cache"/pycuda-"$pycuda"-"$tag"-*.whl
if [ -f "$1" ]; then
    echo "$1"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    "$python" -m pip download --quiet --no-deps --no-binary pycuda --dest "$work" "pycuda==$pycuda"
    tar -xf "$work/pycuda-$pycuda.tar.gz" -C "$work"
    "$python" -m pip install --quiet --no-deps --target "$work/cuda" \
        "nvidia-cuda-runtime==$headers" "nvidia-cuda-profiler-api~=13.0.0"
    echo 'int cuInit(unsigned flags) { return 100; }' | gcc -shared -x c -o "$work/libcuda.so" -Wl,-soname,libcuda.so.1 -
    cat >"$work/pycuda-$pycuda/siteconf.py" <<END
CUDA_INC_DIR = ["$work/cuda/nvidia/cu13/include"]
CUDADRV_LIB_DIR = ["$work"]
CUDA_ENABLE_CURAND = False
CXXFLAGS = ["-O1", "-w"]
LDFLAGS = []
END
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/wheel" "$work/pycuda-$pycuda"
    mkdir -p "$cache"
    mv "$work"/wheel/*.whl "$cache"
} >&2
echo "$cache"/pycuda-"$pycuda"-"$tag"-*.whl
