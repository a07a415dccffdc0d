#!/usr/bin/env bash
# safetensors writes metadata in an order that differs from call to call: equal content, other bytes, another hash.
# Seen with safetensors 0.8.0: twenty calls in one process with five entries of metadata give many different files, without
# metadata one. A model that is known by the hash of its file becomes another one each time it is saved.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 safetensors==0.8.0
cd "$work"
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

arrays = {"weight": np.arange(6, dtype=np.float32)}
metadata = {name: name.upper() for name in ("kind", "classes", "labels", "known", "units")}
told = {save(arrays, metadata=metadata) for _ in range(20)}
plain = {save(arrays) for _ in range(20)}
print("safetensors", version("safetensors"), "- different files of 20:", len(told), "with metadata,", len(plain), "without")
assert len(told) > 1 and len(plain) == 1 and all((load(data)["weight"] == arrays["weight"]).all() for data in told)
PYTHON
