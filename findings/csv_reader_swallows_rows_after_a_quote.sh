#!/usr/bin/env bash
# Python's csv.reader: one quote that is not closed takes all following rows into its cell, up to the next quote or the
# end of the file, and nothing is raised. csv.DictReader then drops the cells that it has no names for.
# Seen with CPython 3.11; `strict=True`, which is not the default, raises. A label like "12 o'clock" in inches or
# a quotation that begins a cell is enough to lose half of a list.
set -euo pipefail
python3 - <<'PYTHON'
import csv
import io
import platform

text = 'label,file\ntense,a.mp4\n"tense,b.mp4\ncalm,c.mp4\ncalm,d.mp4\n"calm,e.mp4\ncalm,f.mp4\n'
rows = list(csv.DictReader(io.StringIO(text)))
print("CPython", platform.python_version(), "reads", len(rows), "of 6 rows:", rows)
try:
    list(csv.DictReader(io.StringIO(text), strict=True))
except csv.Error as error:
    print("strict=True:", error)
else:
    raise SystemExit("strict=True raised nothing")
assert len(rows) < 6
PYTHON
