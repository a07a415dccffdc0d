#!/bin/sh
# Looks the locked packages up in the public database of known weaknesses (pip-audit): `make audit`.
# Exit code 0: none is known; 1: some are, and they are listed; 2: the database was not reached, or does not have each
# package, which pip-audit itself counts as "no known vulnerabilities". What it has was checked.
set -eu
cd "$(dirname "$0")/.."

venv=build/audit
if [ ! -x $venv/bin/pip-audit ]; then
    python3 -m venv $venv
    $venv/bin/python -m pip install --quiet pip-audit || exit 2
fi
report=$(mktemp)
trap 'rm -f "$report"' EXIT
$venv/bin/pip-audit --disable-pip --require-hashes --requirement requirements.lock --progress-spinner off \
    --format json --output "$report" >/dev/null 2>&1 || true # its exit code does not tell a weakness from an error
if [ ! -s "$report" ]; then
    echo "The database of known weaknesses cannot be reached from here: nothing was checked." >&2
    exit 2
fi
$venv/bin/python - "$report" <<'END'
import json
import sys

packages = json.load(open(sys.argv[1]))["dependencies"]
weak = [(package, weakness) for package in packages for weakness in package.get("vulns", [])]
for package, weakness in weak:
    mended = ", ".join(weakness["fix_versions"]) or "no version"
    print(package["name"], package["version"], weakness["id"], "mended in", mended)
unknown = [package["name"] for package in packages if "skip_reason" in package]
if unknown:
    print(f"Not in the database from here, so not checked: {len(unknown)} of {len(packages)} packages.", file=sys.stderr)
sys.exit(1 if weak else 2 if unknown else 0)
END
