"""Analyse a recording, print its events and save them as a table.

    python examples/analyse_file.py interview.mp4 events.csv

The table has one row per event, with the columns of the CSV export.
"""

import sys

import merau

path, table = sys.argv[1:3]
events = merau.analyse(path)
for event in events:
    label = "uncertain" if event.uncertain else event.label
    print(f"face {event.track}: {event.kind} from {event.onset_s:.2f} s to {event.offset_s:.2f} s {label}")
merau.to_dataframe(events).to_csv(table, index=False)
