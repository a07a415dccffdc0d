#!/bin/sh
# Puts the schema of ELAN's files (EAF 3.0) beside a Python for the tests, and prints its path. The source of pympi-ling
# has a copy, its wheel has none.
# Usage: eaf_schema.sh PYTHON
set -eu

python=$1
pympi=1.71

schema=$("$python" -c 'import sys; print(sys.prefix)')/EAFv3.0.xsd
if [ ! -f "$schema" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    "$python" -m pip download --quiet --no-deps --no-binary pympi-ling --dest "$work" "pympi-ling==$pympi" >&2
    tar -xf "$work"/pympi*.tar.gz -C "$work" --strip-components 2 "pympi_ling-$pympi/test/EAFv3.0.xsd"
    mv "$work/EAFv3.0.xsd" "$schema"
fi
echo "$schema"
