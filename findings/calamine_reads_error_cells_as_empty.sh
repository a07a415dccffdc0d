#!/usr/bin/env bash
# python-calamine reads a cell that shows an error (#REF!, #N/A, #DIV/0!) as "", the same as an empty cell.
# Seen with python-calamine 0.9.1: openpyxl reads the errors from the same workbook. In an annotation sheet "not coded"
# and "the formula broke" are then one: whoever fills empty cells with a default invents data.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check python-calamine==0.9.1 openpyxl==3.1.5
cd "$work"
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

from openpyxl import Workbook, load_workbook
from python_calamine import CalamineWorkbook

ERRORS = ("#REF!", "#N/A", "#DIV/0!", "#VALUE!", "#NAME?")
book = Workbook()
for error in (*ERRORS, None):
    book.active.append([error, 46])
book.save("sheet.xlsx")

by_openpyxl = [row[0].value for row in load_workbook("sheet.xlsx").active.iter_rows()]
by_calamine = [row[0] for row in CalamineWorkbook.from_path("sheet.xlsx").get_sheet_by_index(0).to_python()]
print("openpyxl", version("openpyxl"), by_openpyxl)
print("python-calamine", version("python-calamine"), by_calamine)
assert by_openpyxl == [*ERRORS, None]
assert by_calamine == [""] * 6
PYTHON
