#!/bin/sh
# Writes requirements.lock anew: what merau runs on, at the versions of constraints.txt, for Python 3.11 to 3.13, with the
# hashes of every file that the package index has. Run it after a change of either; it needs uv (pip install uv).
set -eu
cd "$(dirname "$0")/.."

build=$(mktemp)
trap 'rm -f "$build"' EXIT
grep '^setuptools==' constraints.txt >"$build" # builds the editable package; without isolation, which would not be locked
cat >requirements.lock <<'END'
# What merau runs on, with the hash of every file: `make demo` installs this and nothing else. Made by scripts/lock.sh from
# pyproject.toml and constraints.txt, for Python 3.11 to 3.13.
END
uv pip compile pyproject.toml "$build" --constraint constraints.txt --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --quiet >>requirements.lock
