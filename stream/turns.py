"""As many frames are analysed at once as there are cores.

Left to themselves, the threads of six cameras take the interpreter and the caches from one another, and get less done.
Decoding takes no turns: a camera does not wait.
"""

import os
import threading

TURNS = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))  # hold one while computing, never while waiting
