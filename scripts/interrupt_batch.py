"""Interrupt `merau analyse` at random moments, resume it, and compare the store with that of a run left in peace.

    python scripts/interrupt_batch.py FOLDER --times 10

Signals are Ctrl-C, SIGTERM and SIGKILL in turn. The moments are drawn over the time that the whole batch took. Prints
JSON and exits with 1 if the stores differ in anything but numbers of sessions and times of day.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.stream.events import event_fields
from merau.stream.store import read_events, read_faces, read_sessions

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def main() -> int:
    """Run both batches and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="recordings")
    parser.add_argument("--times", type=int, default=10, help="interruptions (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="recordings at one time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        whole, resumed = Path(temporary, "whole"), Path(temporary, "resumed")
        began = time.monotonic()
        start(arguments, whole).wait()
        took_s = time.monotonic() - began
        steps = [interrupt(arguments, resumed, rng.uniform(0, took_s), SIGNALS[i % 3]) for i in range(arguments.times)]
        start(arguments, resumed).wait()
        equal = content(whole / "merau.db") == content(resumed / "merau.db")
        named = exports(whole) == exports(resumed)
    print(
        json.dumps({"whole_s": round(took_s, 1), "interruptions": steps, "equal": equal, "same_files": named}, indent=1)
    )
    return 0 if equal and named else 1


def start(arguments: argparse.Namespace, out: Path) -> "subprocess.Popen[bytes]":
    """Start the batch."""
    command = [sys.executable, "-m", "merau", "analyse", arguments.folder, "--recursive", "--jobs", str(arguments.jobs)]
    return subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def interrupt(arguments: argparse.Namespace, out: Path, after_s: float, number: signal.Signals) -> dict[str, Any]:
    """Start the batch and send it a signal after some time, unless it is done by then."""
    process = start(arguments, out)
    try:
        code = process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        code = process.wait()
    return {"after_s": round(after_s, 1), "signal": number.name, "exit_code": code}


def content(store: Path) -> dict[str, Any]:
    """Return what a store holds, by recording."""
    return {
        session.source: [
            session.content_sha256,
            session.settings,
            session.frames,
            session.partial,
            [face.__dict__ for face in read_faces(store, session.id)],
            [event_fields(event) for event in read_events(store, session.id)],
        ]
        for session in read_sessions(store)
    } | {"sessions": len(read_sessions(store))}


def exports(folder: Path) -> set[str]:
    """Return the names of the results."""
    return {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.name.startswith(("merau", "."))
    }


if __name__ == "__main__":
    sys.exit(main())
