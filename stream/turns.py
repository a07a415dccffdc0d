"""As many threads decode and analyse at once as there are cores.

Six cameras are a dozen threads: left to themselves they take the interpreter and the caches from one another, and get a
quarter less done.
"""

import os
import threading

TURNS = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))  # hold one while computing, never while waiting
