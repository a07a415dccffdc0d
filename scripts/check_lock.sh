#!/bin/sh
# Checks that requirements.lock has all that `make demo` needs, and wheels of the locked hashes, for each Python and processor
# that merau-live runs on: installs them into a temporary folder (1.2 GB, one after the other) and runs nothing of them. It
# needs uv (pip install uv).
set -eu
cd "$(dirname "$0")/.."

for python in 3.11 3.12 3.13; do
    for processor in x86_64 aarch64; do
        target=$(mktemp -d)
        trap 'rm -rf "$target"' EXIT
        uv pip install --quiet --require-hashes --only-binary :all: --target "$target" \
            --python-version $python --python-platform $processor-manylinux_2_28 --requirement requirements.lock
        echo "Python $python on $processor: $(find "$target" -maxdepth 1 -name '*.dist-info' | wc -l) packages, as locked"
        rm -rf "$target"
    done
done
