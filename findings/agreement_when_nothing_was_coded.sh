#!/usr/bin/env bash
# Two coders who agree that nothing happened have no agreement: chance-corrected measures answer nan or an error.
# Seen with krippendorff 0.9.0 and scikit-learn 1.9.1 on two coders who marked none of four time bins:
# krippendorff.alpha raises ValueError, cohen_kappa_score gives nan; one bin marked by both gives 1.0 twice.
# A table of agreement per recording has holes exactly where coders agree most: recordings without an event.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check krippendorff==0.9.0 numpy==2.4.6 scikit-learn==1.9.1
cd "$work"
venv/bin/python - <<'PYTHON'
import warnings

import krippendorff
from sklearn.metrics import cohen_kappa_score

warnings.simplefilter("ignore")
nothing, one = [0, 0, 0, 0], [0, 1, 0, 0]
try:
    alpha = krippendorff.alpha(reliability_data=[nothing, nothing], level_of_measurement="nominal")
except ValueError as error:
    alpha = f"ValueError: {error}"
kappa = cohen_kappa_score(nothing, nothing)
print("nothing was coded by either: alpha", alpha, "kappa", kappa)
seen = krippendorff.alpha(reliability_data=[one, one], level_of_measurement="nominal"), cohen_kappa_score(one, one)
print("one bin was coded by both: alpha, kappa", seen)
assert isinstance(alpha, str) and kappa != kappa and seen == (1.0, 1.0)
PYTHON
