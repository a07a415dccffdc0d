#!/bin/sh
# Looks the locked packages up in the public database of known weaknesses (pip-audit): `make audit`.
# Exit code 0: none is known; 1: some are, and they are listed; 2: the database was not reached, and nothing was checked.
# It is not part of the tests: they must not depend on a network, nor fail because of what became known last night.
set -eu
cd "$(dirname "$0")/.."

venv=build/audit
if [ ! -x $venv/bin/pip-audit ]; then
    python3 -m venv $venv
    $venv/bin/python -m pip install --quiet pip-audit
fi
report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
$venv/bin/pip-audit --disable-pip --require-hashes --requirement requirements.lock --progress-spinner off \
    --format json --output "$report" || status=$?
if [ ! -s "$report" ]; then
    echo "The database of known weaknesses cannot be reached from here: nothing was checked." >&2
    exit 2
fi
$venv/bin/python -c '
import json, sys
for package in json.load(open(sys.argv[1]))["dependencies"]:
    for weakness in package.get("vulns", []):
        print(package["name"], package["version"], weakness["id"], "mended in", ", ".join(weakness["fix_versions"]) or "no version")
' "$report"
exit $status
