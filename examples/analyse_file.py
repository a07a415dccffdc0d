"""Analyse a recording, print its events and save them as a table.

    python examples/analyse_file.py interview.mp4 events.csv

The table has one row per event, with the columns of the CSV export.
"""

import sys

import merau

if len(sys.argv) != 3:
    sys.exit(__doc__)
path, table = sys.argv[1:]
try:
    events = merau.analyse(path)
except merau.UserError as error:  # its text is a sentence for the user, here: no such file, or not a video
    sys.exit(str(error))
for event in events:
    label = "uncertain" if event.uncertain else event.label
    print(f"face {event.track}: {event.kind} from {event.onset_s:.2f} s to {event.offset_s:.2f} s {label}")
merau.to_dataframe(events).to_csv(table, index=False)
