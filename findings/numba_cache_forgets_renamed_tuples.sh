#!/usr/bin/env bash
# numba's cache on disk: rename a NamedTuple that a cached function takes, and the function fails instead of compiling.
# Seen with numba 0.68.1: after the rename the first call raises AttributeError ("Can't get attribute 'PatchMotion'"),
# although the source file has changed: the index is unpickled before its stamp is compared. An upgrade of a package
# that renames such a class breaks every installation whose cache is warm, until the function's name changes, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6
cd "$work"
export NUMBA_CACHE_DIR=$work/cache
write() {  # a module whose cached function takes a tuple class of the given name
  cat > motion.py <<PYTHON
from typing import NamedTuple

import numba
import numpy as np


class $1(NamedTuple):
    flow: np.ndarray
    floor_px: float


@numba.njit(cache=True)
def strength(motion):
    return np.abs(motion.flow).max() / motion.floor_px


if __name__ == "__main__":
    print("numba", numba.__version__, "$1", strength($1(np.ones(3), 0.5)))
PYTHON
  venv/bin/python -c "import motion, numpy; print('numba', motion.numba.__version__, '$1:', motion.strength(motion.$1(numpy.ones(3), 0.5)))"
}
write PatchMotion
write PatchMotion
if said=$(write RegionMotion 2>&1); then echo "the renamed class compiled: $said"; exit 1; fi
echo "RegionMotion: ${said##*$'\n'}"
[[ ${said##*$'\n'} == *"Can't get attribute 'PatchMotion'"* ]]
