#!/usr/bin/env bash
# uv pip compile --universal ignores the upper bound of Requires-Python: it locks versions that pip refuses to install.
# Seen with uv 0.13.9: backports.strenum 1.3.1 requires Python <3.11, and is locked for Python 3.11 and later, without a
# marker. pip takes 1.2.8 there, and says of the lock "no matching distribution". Pin such versions by a constraint.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip="$work/venv/bin/python -m pip --disable-pip-version-check"
$pip install --quiet uv==0.13.9
cd "$work"
echo backports.strenum >wanted.in
venv/bin/uv pip compile wanted.in --universal --python-version 3.11 --no-header --no-annotate --quiet --output-file lock.txt
echo "uv locks for Python 3.11: $(cat lock.txt)"
grep -qx 'backports-strenum==1.3.1' lock.txt
for_311="--python-version 3.11 --only-binary :all: --no-deps --quiet --dest files"
if $pip download $for_311 --requirement lock.txt 2>said.txt; then
    echo "pip takes it" && exit 1
fi
grep -o 'No matching distribution.*' said.txt
$pip download $for_311 backports.strenum
echo "pip takes for Python 3.11: $(ls files)"
