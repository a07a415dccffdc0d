"""Read damaged recordings, bundles, heads and stores: `python scripts/fuzz_inputs.py OUT` prints counts as JSON.

Every case is a file that is whole but for a few bytes, from a seed: the same seed gives the same cases. It is read in a
process of its own, with a limit of memory and of time. It must be read, or refused with one sentence. OUT has a line
for each case; cases that it has already are not run again, so that a run may be stopped and continued. What went wrong
is listed with the command that runs it again: --only KIND NUMBER.
"""

import argparse
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import numpy as np

from merau.engine.bundle import DOMAIN, HEAD, SHIPPED, TRUNKS
from merau.engine.errors import UserError
from merau.engine.few_shot import FewShotHead, Sample, fit_few_shot
from merau.engine.recognizer import Recognizer
from merau.stream.events import Event
from merau.stream.export import FORMATS
from merau.stream.sources import File, SourceSettings
from merau.stream.store import Store, read_events, read_labels, read_sessions

CONTAINERS = {  # and the codec in it
    "mp4": "libx264",
    "mov": "mjpeg",
    "mkv": "libx264",
    "webm": "libvpx-vp9",
    "avi": "mpeg4",
    "ts": "libx264",
    "flv": "flv",
    "gif": "gif",
}
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}
MEMORY_BYTES = 1_500_000_000  # that a case may take beyond what the process has already
SECONDS = 30
MAX_FRAMES = 300
EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def main() -> int:
    """Run the cases and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file with a line for each case; it is continued")
    parser.add_argument("--recordings", type=int, default=2000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--data", type=int, default=2000, metavar="N", help="bundles, heads, stores (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--only", nargs=2, metavar=("KIND", "NUMBER"), help="run one case here, with its traceback")
    options = parser.parse_args()
    cases = [("recording", i) for i in range(options.recordings)]
    cases += [(("bundle", "head", "store")[i % 3], i) for i in range(options.data)]
    with tempfile.TemporaryDirectory() as folder:
        if options.only:
            read_case(options.only[0], int(options.only[1]), options.seed, Path(folder))
            return 0
        done = known_results(options.out)
        with options.out.open("a", encoding="utf-8") as file:
            for kind, number in cases:
                if (kind, number) not in done:
                    done[kind, number] = result = run_case(kind, number, options.seed, Path(folder))
                    file.write(json.dumps(result) + "\n")
                    file.flush()
    counts = summarize([done[case] for case in cases])
    print(json.dumps(counts, indent=2))
    return int(bool(counts["faults"]))


def known_results(out: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the results of an earlier run, by kind and number."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return {(result["kind"], result["number"]): result for result in map(json.loads, lines)}


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the outcomes of each kind, and list all that is neither read nor refused."""
    kinds = {kind: Counter(r["outcome"] for r in results if r["kind"] == kind) for kind in {r["kind"] for r in results}}
    return {
        "cases": len(results),
        "outcomes": {kind: dict(sorted(counts.items())) for kind, counts in sorted(kinds.items())},
        "most_memory_mb": max((result["memory_mb"] for result in results), default=0),
        "longest_s": max((result["seconds"] for result in results), default=0),
        "faults": [result for result in results if result["outcome"] not in ("read", "refused")],
    }


def run_case(kind: str, number: int, seed: int, folder: Path) -> dict[str, Any]:
    """Run one case in a process of its own."""
    originals(kind)  # made once, here, for all processes that follow
    reading, writing = os.pipe()
    started_s, before_kb = time.monotonic(), memory_kb()
    if not (child := os.fork()):
        os.close(reading)
        limit_process()
        os.write(writing, outcome_of(kind, number, seed, folder).encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read()
    _, status, usage = os.wait4(child, 0)
    outcome, _, detail = text.partition(" ")
    if os.WIFSIGNALED(status):
        outcome, detail = "hang" if os.WTERMSIG(status) == signal.SIGALRM else "crash", f"signal {os.WTERMSIG(status)}"
    return {
        "kind": kind,
        "number": number,
        "outcome": outcome,
        "detail": detail,
        "memory_mb": max(0, usage.ru_maxrss - before_kb) // 1024,
        "seconds": round(time.monotonic() - started_s, 1),
    }


def limit_process() -> None:
    """Limit the memory and the time of this process."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_BYTES, size + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def memory_kb() -> int:
    """Return the memory of this process at present."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def outcome_of(kind: str, number: int, seed: int, folder: Path) -> str:
    """Return "read", "refused" or "traceback", and what was said."""
    try:
        read_case(kind, number, seed, folder)
    except UserError as error:
        return f"{'traceback' if 'internal error' in str(error) else 'refused'} {error}"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"traceback {type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    return "read"


def read_case(kind: str, number: int, seed: int, folder: Path) -> None:
    """Make a case and read it."""
    rng = random.Random(f"{seed} {kind} {number}")
    names = sorted(originals(kind))
    name = names[number // (1 if kind == "recording" else 3) % len(names)]
    READERS[kind](name, damaged(originals(kind)[name], rng), rng, folder)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Change a few places of `data`, most of them in its first part, which holds the structure."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        end = len(changed) if rng.random() < 0.5 else min(len(changed), 1000)
        at = rng.randrange(max(end, 1))
        match rng.randrange(7):
            case 0 | 1:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                changed[at : at + 4] = rng.choice(EXTREMES).to_bytes(4, rng.choice(("big", "little")))
            case 3:
                del changed[at : at + rng.choice((1, 4, 100))]
            case 4:
                changed[at:at] = changed[at : at + rng.choice((1, 8, 200))]
            case 5:
                changed[at : at + 8] = rng.randbytes(8)
            case _ if rng.random() < 0.2:
                del changed[at:]
    return bytes(changed)


@cache
def originals(kind: str) -> dict[str, bytes]:
    """Return the whole files of a kind, by name."""
    with tempfile.TemporaryDirectory() as folder:
        return MAKERS[kind](Path(folder))


def make_recordings(folder: Path) -> dict[str, bytes]:
    """Make a short recording in every container."""
    for name, codec in CONTAINERS.items():
        with av.open(str(folder / f"a.{name}"), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, PIXELS.get(codec, "yuv420p")
            stream.codec_context.time_base = Fraction(1, 25)
            container.metadata["title"] = "a recording"
            for i in range(12):
                picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * i, np.uint8), "bgr24")
                picture.pts = i
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make_bundles(_: Path) -> dict[str, bytes]:
    """Return the files of the shipped bundle that are read on the CPU."""
    names = ("model.json", HEAD, DOMAIN, TRUNKS["int8"])
    return {name: (SHIPPED / "default" / name).read_bytes() for name in names}


def make_heads(folder: Path) -> dict[str, bytes]:
    """Make a few-shot head."""
    fit_few_shot(samples(), recognizer().bundle).save(folder / "head")
    return {"head": (folder / "head").read_bytes()}


def make_stores(folder: Path) -> dict[str, bytes]:
    """Make a store with two sessions, events and labels."""
    with Store(folder / "store", keep_pictures=True) as store:
        for source in ("a.mp4", "b.mp4"):
            number = store.start_session(source, settings={"a": 1}, bundle="b", bundle_sha256="s")
            for i in range(5):
                event = make_event(f"1-{i}", source, float(i))
                store.put(number, event)
                store.label(number, event, "tense", dict.fromkeys(recognizer().head.classes, 0.25))
    return {"store": (folder / "store").read_bytes()}


def make_event(number: str, source: str, onset_s: float) -> Event:
    """Make a stored event."""
    return Event(
        id=number,
        source=source,
        track=1,
        kind="micro",
        onset_s=onset_s,
        apex_s=onset_s + 0.1,
        offset_s=onset_s + 0.3,
        onset_wall=None,
        strength=1.0,
        aus={"4": 0.5},
        probabilities=dict.fromkeys(recognizer().head.classes, 0.25),
        label="negative",
        uncertain=False,
        quality=0.9,
        final=True,
        bundle="b",
        bundle_sha256=recognizer().bundle.sha256,
        embedding=np.zeros(recognizer().head.dimension, np.float32).tobytes(),
    )


@cache
def recognizer() -> Recognizer:
    """Load the shipped recognizer."""
    return Recognizer.load(device="cpu")


def samples() -> list[Sample]:
    """Make samples of two classes."""
    rng = np.random.default_rng(0)
    known = dict.fromkeys(recognizer().head.classes, 0.25)
    units = dict.fromkeys(recognizer().bundle.card["aus"], 0.5)
    embeddings = rng.normal(size=(12, recognizer().head.dimension)).astype(np.float32)
    return [Sample(("tense", "smirk")[i % 2], embedding, known, units) for i, embedding in enumerate(embeddings)]


def read_recording(name: str, data: bytes, _: random.Random, folder: Path) -> None:
    """Decode the frames of a recording."""
    path = folder / name
    path.write_bytes(data)
    with File(str(path), SourceSettings()) as source:
        for frame, _number in zip(source, range(MAX_FRAMES), strict=False):
            assert frame.image.size
        str(source.state().reason), source.wall_zero and source.wall_zero.isoformat()


def read_bundle(name: str, data: bytes, rng: random.Random, folder: Path) -> None:
    """Load a bundle, mostly with the right hash of what was damaged, and predict."""
    bundle = folder / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    shutil.copytree(SHIPPED / "default", bundle)
    (bundle / name).write_bytes(data)
    if name != "model.json" and rng.random() < 0.9:
        card = json.loads((bundle / "model.json").read_text(encoding="utf-8"))
        card["sha256"][name] = hashlib.sha256(data).hexdigest()
        (bundle / "model.json").write_text(json.dumps(card), encoding="utf-8")
    loaded = Recognizer.load(bundle, device="cpu")
    onset, apex = np.random.default_rng(0).integers(0, 256, (2, *loaded.spec.full), np.uint8)
    probabilities = loaded.predict(onset, apex).probabilities
    assert 0.99 < sum(probabilities.values()) < 1.01, probabilities


def read_head(name: str, data: bytes, _: random.Random, folder: Path) -> None:
    """Load a few-shot head and classify."""
    (folder / name).write_bytes(data)
    head = FewShotHead.load(folder / name, recognizer().bundle)
    probabilities = head.probabilities(samples()[0])
    assert 0.99 < sum(probabilities.values()) < 1.01, probabilities


def read_store(name: str, data: bytes, _: random.Random, folder: Path) -> None:
    """Read and export a store."""
    for path in folder.glob("store*"):
        path.unlink()
    (folder / name).write_bytes(data)
    sessions = read_sessions(folder / name)
    read_labels(folder / name)
    for session in sessions:
        events = list(read_events(folder / name, session.id))
        for write in FORMATS.values():
            write(events, io.BytesIO())


MAKERS: dict[str, Callable[[Path], dict[str, bytes]]] = {
    "recording": make_recordings,
    "bundle": make_bundles,
    "head": make_heads,
    "store": make_stores,
}
READERS: dict[str, Callable[[str, bytes, random.Random, Path], None]] = {
    "recording": read_recording,
    "bundle": read_bundle,
    "head": read_head,
    "store": read_store,
}


if __name__ == "__main__":
    sys.exit(main())
