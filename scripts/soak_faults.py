"""Chaos on a running page with a scripted truth: `python scripts/soak_faults.py OUT --minutes 120` prints JSON.

An RTSP camera plays a film over and over; what an undisturbed analysis finds in it is the truth. Meanwhile, in an order
from a seed: the camera is killed, frozen, removed and added; viewers and webcams come and vanish; events are labelled,
classes are taught and undone; everything is exported; stores are emptied; the wall clock is set; the disk is full; the
store is locked; recordings are analysed. A witness notes every final event that the page was told of.

OUT has a line for each round of --round minutes; a run may be stopped and continued. A round fails where an event that
was told is not in the store once, a thread or a descriptor is left, the server failed or a traceback was logged. The
truth is counted as found, as not found while frames were dropped, or as not found. The disk is a small one in memory,
which needs root. GStreamer (scripts/debian_packages.sh) and a C compiler are needed.
"""

import argparse
import ctypes
import gc
import json
import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import cv2
import numpy as np
from websockets.sync.client import connect

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.demo import CLIP
from merau.stream.events import Coding, Event
from merau.stream.export import FORMATS
from merau.stream.pipeline import Pipeline
from merau.stream.sources import File, SourceSettings
from merau.stream.store import Session, read_events, read_sessions
from merau.stream.ui.config import UiSettings
from merau.stream.ui.live_page import read_source
from merau.stream.ui.outbox import LiveFrame
from merau.stream.ui.server import App
from merau.stream.ui.sockets import PACKET_HEADER
from scripts.support.host import host, resident_bytes
from scripts.support.remux import repeat_clip
from scripts.support.rtsp_server import RtspServer

RATE_HZ = 15  # of the camera, so that a busy machine keeps up
DISK_MB = 60
SAME_S = 0.3  # an event this near to the truth is that of the truth
DROP_S = 2.5 / RATE_HZ  # frames further apart than this were dropped
SETTLE_S = 2.0  # after a gap
LEAST_OUTAGE_S = 6.0  # an outage this long must be a recorded gap
EXPRESSIONS = ("micro", "macro", "blink")


def main() -> int:
    """Run the rounds that OUT does not have yet and print the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file with a line for each round; it is continued")
    parser.add_argument("--minutes", type=float, default=120.0, help="(default: %(default)s)")
    parser.add_argument("--round", type=float, default=10.0, metavar="MINUTES", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.exists() else []
    rounds = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory(prefix="soak-") as name, small_disk(Path(name)) as disk:
        folder = Path(name)
        film = make_film(folder)
        truth = undisturbed_events(film)
        looped = repeat_clip(film.path, 60 * options.round + 60, folder / "looped.mp4")
        Round(folder, disk, looped, film, truth, random.Random(0)).run(20)  # threads that libraries keep start here
        for number in range(len(rounds), round(options.minutes / options.round)):
            rng = random.Random(f"{options.seed} {number}")
            rounds.append(Round(folder, disk, looped, film, truth, rng).run(60 * options.round))
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"round": number} | rounds[-1]) + "\n")
    sums = summarize(rounds) | {"minutes": options.round * len(rounds), "host": host()}
    print(json.dumps(sums, indent=2))
    return int(bool(sums["faults"]))


def summarize(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the rounds, and list the faults of all."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("actions", "told", "film", "outages")}
    for one in rounds:
        for name, counter in counts.items():
            counter.update(one[name])
    return {
        **{name: dict(sorted(counter.items())) for name, counter in counts.items()},
        "most_memory_mb": max((one["memory_mb"] for one in rounds), default=0),
        "faults": [fault for one in rounds for fault in one["faults"]],
    }


class Film:
    """The film of the camera: its path and the seconds of one pass."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds


def make_film(folder: Path) -> Film:
    """Encode the demo clip at the rate of the camera, with a key frame each second."""
    path = folder / "film.mp4"
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE_HZ, options={"preset": "veryfast", "crf": "18", "bf": "0"})
        stream.width, stream.height, stream.codec_context.gop_size = 640, 480, RATE_HZ
        frames = 0
        for number, picture in enumerate(source.decode(video=0)):
            if number % 2 == 0:
                image = av.VideoFrame.from_ndarray(picture.to_ndarray(format="bgr24"), "bgr24")
                image.pts, frames = frames, frames + 1
                out.mux(stream.encode(image))
        out.mux(stream.encode(None))
    return Film(path, frames / RATE_HZ)


def undisturbed_events(film: Film) -> list[Event]:
    """Return what an analysis without any disturbance finds in one pass of the film, and again in the next."""
    with tempfile.TemporaryDirectory() as name:
        twice = repeat_clip(film.path, 2 * film.seconds - 1, Path(name) / "twice.mp4")
        with File(str(twice), SourceSettings()) as source:
            # No result is kept: each has its frame.
            results = Pipeline("film", Recognizer.load(device="cpu")).run(source)
            final = [e for result in results for e in result.events if e.final and e.kind in EXPRESSIONS]
    passes = [[e for e in final if i * film.seconds <= e.apex_s < (i + 1) * film.seconds] for i in range(2)]
    again = [e.apex_s - film.seconds for e in passes[1]]
    return [e for e in passes[0] if any(abs(e.apex_s - apex_s) < SAME_S for apex_s in again)]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A small disk in memory, which only root can mount; None without."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}M", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        print("Not root: the disk never gets full.", file=sys.stderr)
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=False)


class Witness:
    """A viewer that notes the final events and the times of frames that a workspace tells."""

    def __init__(self) -> None:
        self.events: dict[tuple[int, str], dict[str, Any]] = {}
        self.frames_s: dict[int, list[float]] = {}  # by camera
        self.sessions: dict[int, int] = {}  # session: camera

    def put_message(self, message: dict[str, Any]) -> None:
        """Note a message."""
        if "event" in message:
            self.sessions[message["session"]] = message["camera"]
            if message["event"]["final"]:
                self.events[message["session"], message["event"]["id"]] = message["event"]

    def put_frame(self, frame: LiveFrame) -> None:
        """Note a frame."""
        self.frames_s.setdefault(frame.camera, []).append(frame.header["t_s"])


class Tracebacks(logging.Handler):
    """Keeps what was logged with a traceback, and internal errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        text = record.getMessage()
        if record.name.startswith("websockets.client"):  # our viewers, who vanish in the middle of a frame
            return
        if record.exc_info or "internal error" in text or "Traceback" in text:
            self.found.append(f"{record.name}: {text[:300]} {record.exc_info[1] if record.exc_info else ''}")


class Round:
    """One page with its camera, from start to end."""

    def __init__(
        self, folder: Path, disk: Path | None, looped: Path, film: Film, truth: list[Event], rng: random.Random
    ) -> None:
        self._folder, self._disk, self._film, self._truth, self._rng = folder, disk, film, truth, rng
        self._server = RtspServer(looped)
        self._witness, self._tracebacks = Witness(), Tracebacks()
        self._counts: Counter[str] = Counter()
        self._outages: list[tuple[float, float]] = []  # on the monotonic clock
        self._workers: list[threading.Thread] = []
        self._faults: list[str] = []
        self._memory_mb = 0.0
        self._actions: dict[str, Callable[[], None]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    def run(self, seconds: float) -> dict[str, Any]:
        """Run for some time, then compare."""
        before = threads(), descriptors()
        path = (self._disk or self._folder) / "soak.db"
        for old in path.parent.glob("soak.db*"):
            old.unlink()
        logging.getLogger().addHandler(self._tracebacks)
        with self._server:
            self._app = App([], Recognizer.load, UiSettings(port=0, purpose="soak", visitors=1), store=path)
            self._app.state.shared.broadcast.add(self._witness)  # type: ignore[arg-type]
            try:
                self._add_camera()
                self._disturb(seconds)
            finally:
                set_clock(0)
                self._close()
        logging.getLogger().removeHandler(self._tracebacks)
        self._faults += [f"traceback: {text}" for text in self._tracebacks.found]
        sessions = read_sessions(path)
        told, film = self._compare_told(path), self._compare_film(path, sessions)
        outages = self._compare_outages(sessions)
        del self._app
        self._check_leaks(before)
        return {
            "seconds": round(seconds),
            "actions": dict(self._counts),
            "told": told,
            "film": film,
            "outages": outages,
            "memory_mb": round(self._memory_mb),
            "faults": self._faults,
        }

    def _disturb(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            name = self._rng.choice(sorted(self._actions))
            self._counts[name] += 1
            print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
            try:
                self._actions[name]()
            except UserError as error:  # what a person would be told
                print(f"    {error}", file=sys.stderr, flush=True)
                self._counts["told an error"] += 1
            self._memory_mb = max(self._memory_mb, resident_bytes() / 1e6)
            time.sleep(self._rng.uniform(0, 8))

    def _close(self) -> None:
        for worker in self._workers:
            worker.join(60)
        if self._app.state.failed:
            self._faults.append("the server says that it failed")
        try:
            self._app.close()
        except UserError as error:
            self._faults.append(f"closing: {error}")

    # --- what happens

    def do_kill_camera(self) -> None:
        """Cut the camera's power for some seconds."""
        down_s = time.monotonic()
        self._server.kill()
        time.sleep(self._rng.uniform(1, 12))
        self._server.start()
        self._outages.append((down_s, time.monotonic()))

    def do_freeze_camera(self) -> None:
        """Let the camera hang for some seconds."""
        self._server.freeze()
        time.sleep(self._rng.uniform(1, 8))
        self._server.resume()

    def do_change_camera(self) -> None:
        """Remove the camera and add it again."""
        for number in list(self._app.state.shared.cameras):
            self._app.state.shared.remove_camera(number)
        self._add_camera()

    def do_view(self) -> None:
        """Let some viewers watch for a while; they vanish without a word."""
        for _ in range(self._rng.randrange(1, 6)):
            self._start(self._watch, self._rng.uniform(1, 20))

    def do_webcam(self) -> None:
        """Let a visitor send frames, and vanish."""
        self._start(self._send_webcam, self._rng.uniform(1, 15))

    def do_teach(self) -> None:
        """Label some events, teach, and sometimes undo."""
        teaching, path = self._app.state.shared.teaching, self._app.state.shared.store.path
        known = [event for event in read_events(path) if event.embedding][-30:]
        for event in self._rng.sample(known, min(6, len(known))):
            label = self._rng.choice(("tense", "smirk", "fine"))
            teaching.code(Coding(event.session or 0, event.id, label=label), event)
        if len({sample.label for sample in teaching.samples()}) > 1:
            teaching.propose()
            teaching.accept()
        if self._rng.random() < 0.7 and teaching.heads:
            teaching.undo_head()

    def do_export(self) -> None:
        """Download a session in every format."""
        token = self._app.state.open_session().token
        sessions = read_sessions(self._app.state.shared.store.path)
        for suffix in FORMATS if sessions else ():
            query = f"token={token}&workspace=server&session={self._rng.choice(sessions).id}&format={suffix}"
            with build_opener(ProxyHandler({})).open(
                f"{self._app.address}merau/get/events?{query}", timeout=60
            ) as answer:
                answer.read()

    def do_delete(self) -> None:
        """Delete everything, seldom."""
        if self._rng.random() < 0.2:
            self._app.state.shared.delete_everything()
            self._witness.events.clear()
            self._witness.frames_s.clear()  # the same camera goes on as another session
            self._app.state.shared.record_consent("soak")
            self._counts["deleted everything"] += 1

    def do_set_clock(self) -> None:
        """Set the wall clock by up to three days."""
        set_clock(round(self._rng.uniform(-3, 3) * 86_400))

    def do_fill_disk(self) -> None:
        """Let another program take the rest of the disk for some seconds."""
        if self._disk:
            filler = self._disk / "filler"
            with suppress(OSError), filler.open("wb") as file:
                while file.write(bytes(100_000)):
                    pass
            time.sleep(self._rng.uniform(2, 12))
            filler.unlink()

    def do_lock_store(self) -> None:
        """Let another program lock the store for some seconds."""
        connection = sqlite3.connect(self._app.state.shared.store.path, isolation_level=None)
        with closing(connection), suppress(sqlite3.OperationalError):
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(self._rng.uniform(1, 10))
            connection.execute("ROLLBACK")

    def do_purge(self) -> None:
        """Purge, as the page's clock does."""
        self._app.state.purge()

    def _add_camera(self) -> None:
        read_source(self._server.url, decode="cpu").add_to(self._app.state.shared)

    def _start(self, work: Callable[[float], None], seconds: float) -> None:
        worker = threading.Thread(target=self._guarded, args=(work, seconds))
        worker.start()
        self._workers.append(worker)

    def _guarded(self, work: Callable[[float], None], seconds: float) -> None:
        with suppress(OSError, EOFError, UserError):
            work(seconds)

    @contextmanager
    def _socket(self, path: str, token: str) -> Iterator[Any]:
        address = self._app.address.rstrip("/")
        url = f"{address.replace('http', 'ws')}/merau/{path}?token={token}"
        with connect(url, origin=address, proxy=None, max_queue=None) as socket:  # type: ignore[arg-type]
            try:
                yield socket
            finally:
                socket.socket.close()

    def _watch(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        with self._socket("live", self._app.state.open_session().token) as socket:
            while time.monotonic() < end_s:
                with suppress(TimeoutError):
                    socket.recv(timeout=1)

    def _send_webcam(self, seconds: float) -> None:
        client = self._app.state.open_session()
        client.workspace.record_consent("soak")
        end_s = time.monotonic() + seconds
        with self._socket("webcam", client.token) as socket, av.open(str(self._film.path)) as film:
            socket.send(json.dumps({"zero_ms": 1000 * time.time()}))
            for picture in film.decode(video=0):
                jpeg = cv2.imencode(".jpg", picture.to_ndarray(format="bgr24"))[1].tobytes()
                socket.send(PACKET_HEADER.pack(1, picture.time) + jpeg)
                time.sleep(1 / RATE_HZ)
                if time.monotonic() > end_s:
                    break

    # --- comparisons

    def _compare_told(self, path: Path) -> dict[str, int]:
        """Compare the events that viewers were told of with those of the store."""
        stored = Counter((event.session, event.id) for event in read_events(path) if event.final)
        apexes = Counter((e.session, e.track, e.kind, round(e.apex_s, 3)) for e in read_events(path))
        lost = [key for key in self._witness.events if stored[key] != 1]
        self._faults += [f"event {key} is not stored once" for key in lost]
        twice = sum(number - 1 for number in apexes.values())
        self._faults += [f"{twice} events are stored twice"] if twice else []
        return {"events": len(self._witness.events), "stored once": len(self._witness.events) - len(lost)}

    def _compare_film(self, path: Path, sessions: list[Session]) -> dict[str, int]:
        """Look for the truth between the gaps of each session of the camera."""
        counts: Counter[str] = Counter()
        for session in sessions:
            frames_s = np.array(self._witness.frames_s.get(self._witness.sessions.get(session.id, -1), []))
            if len(frames_s) < 2:
                continue
            apexes_s = np.array([e.apex_s for e in read_events(path, session.id) if e.kind in EXPRESSIONS] + [-1e9])
            edges = [0.0, *(t for gap in session.gaps for t in gap), float(frames_s.max())]
            for start_s, end_s in zip(edges[::2], edges[1::2], strict=True):
                for onset_s, apex_s, offset_s in self._expected(start_s, end_s):
                    near = np.diff(frames_s[(frames_s > onset_s - 0.5) & (frames_s < offset_s + 0.5)])
                    found = int((np.abs(apexes_s - apex_s) < SAME_S).sum())
                    dropped = len(near) == 0 or near.max() > DROP_S
                    counts["found" if found else "frames dropped" if dropped else "not found"] += 1
        return dict(counts)

    def _expected(self, start_s: float, end_s: float) -> Iterator[tuple[float, float, float]]:
        """Yield onset, apex and offset of the truth while the camera played from its beginning."""
        for passed in range(int((end_s - start_s) / self._film.seconds) + 1):
            zero_s = start_s + passed * self._film.seconds
            for event in self._truth:
                if start_s + SETTLE_S < zero_s + event.onset_s and zero_s + event.offset_s < end_s - 1:
                    yield zero_s + event.onset_s, zero_s + event.apex_s, zero_s + event.offset_s

    def _compare_outages(self, sessions: list[Session]) -> dict[str, int]:
        """Count outages and recorded gaps; a gap may hold two outages, and a camera may be changed in one."""
        long = sum(end_s - start_s > LEAST_OUTAGE_S for start_s, end_s in self._outages)
        gaps = sum(len(session.gaps) for session in sessions)
        return {"scripted": len(self._outages), "longer ones": long, "recorded gaps": gaps}

    def _check_leaks(self, before: tuple[set[str], int]) -> None:
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s and (len(threads()) > len(before[0]) or descriptors() > before[1]):
            gc.collect()
            time.sleep(0.5)
        if left := sorted(threads() - before[0]):
            self._faults.append(f"threads left: {left}")
        if descriptors() > before[1]:
            self._faults.append(f"descriptors: {before[1]} before, {descriptors()} after")


def threads() -> set[str]:
    """Return the names of Python's threads, each with its number."""
    return {f"{thread.name} {thread.ident}" for thread in threading.enumerate()}


def descriptors() -> int:
    """Count the open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def set_clock(step_s: int) -> None:
    """Set the wall clock of this process so far from the true one."""
    ctypes.c_long.in_dll(ctypes.CDLL(None), "clock_step_s").value = step_s


def restart_with_clock() -> None:
    """Start this script again with a wall clock that can be set."""
    folder = Path(tempfile.mkdtemp(prefix="soak-clock-"))
    source = Path(__file__).parent / "support" / "clock_step.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", folder / "clock_step.so", source, "-ldl"], check=True)
    status = subprocess.run(
        [sys.executable, *sys.argv], env=os.environ | {"LD_PRELOAD": str(folder / "clock_step.so")}
    ).returncode
    shutil.rmtree(folder)
    sys.exit(status)


if __name__ == "__main__":
    if "clock_step" not in os.environ.get("LD_PRELOAD", ""):
        restart_with_clock()
    sys.exit(main())
