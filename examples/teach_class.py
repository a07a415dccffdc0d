"""Teach your own classes from expressions in a recording, then classify the recording with them.

    python examples/teach_class.py interview.mp4 3.4=doubt 5.5=anger

Each argument TIME=CLASS labels the expression that lasts from before TIME (in seconds) until after it. Five samples of
each class are a good start.
"""

import sys

import numpy as np

import merau

if len(sys.argv) < 4:
    sys.exit(__doc__)
recognizer = merau.Recognizer.load()
events = [event for event in merau.analyse(sys.argv[1], recognizer=recognizer) if event.embedding]
samples = []
for argument in sys.argv[2:]:
    time, label = argument.split("=")
    event = next((event for event in events if event.onset_s <= float(time) <= event.offset_s), None)
    if event is None:
        sys.exit(f"There is no expression at {time} s.")
    embedding = np.frombuffer(event.embedding, np.float32)
    samples.append(merau.Sample(label, embedding, event.probabilities, event.aus))

head = merau.fit_few_shot(samples, recognizer.bundle)
print(head.explanation)
recognizer.use_head(head)  # `use_head(None)` goes back to the bundle's own classes
for event in merau.analyse(sys.argv[1], recognizer=recognizer):
    if event.embedding:
        print(f"{event.apex_s:.2f} s: {event.label} ({event.probabilities[event.label]:.0%})")
