"""Read the events that merau stored, and count the expressions of each face by class.

    merau analyse interview.mp4 --out results
    python examples/read_store.py results/merau.db

A store can be read while it is written.
"""

import sys
from pathlib import Path

import merau

if len(sys.argv) != 2:
    sys.exit(__doc__)
table = merau.to_dataframe(merau.read_events(Path(sys.argv[1])))
expressions = table[table["final"] & table["kind"].isin(["micro", "macro"])]
print(f"{len(table)} events, {len(expressions)} expressions")
print(expressions.groupby(["track", "kind", "label"]).size().to_string())
