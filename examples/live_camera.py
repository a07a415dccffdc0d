"""Print micro-expressions while a camera runs.

    python examples/live_camera.py                                    # the first webcam
    python examples/live_camera.py rtsp://user:password@192.168.0.7/stream1
    python examples/live_camera.py interview.mp4                      # a recording, as fast as it can be analysed

Ctrl-C ends the program. A lost camera is connected again.
"""

import sys
from contextlib import suppress

import merau

source = sys.argv[1] if len(sys.argv) > 1 else "0"
with suppress(KeyboardInterrupt):
    for event in merau.stream(source):
        if event.kind == "micro":
            label = "uncertain" if event.uncertain else event.label
            state = "final" if event.final else "provisional"
            print(f"{event.apex_s:.2f} s, face {event.track}: {label} ({state})", flush=True)
