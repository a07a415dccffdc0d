"""Send odd requests and messages to a running page: `python scripts/fuzz_page.py OUT` prints counts as JSON.

`merau ui` runs in a process of its own. 200 HTTP requests and 500 messages to its sockets come from a seed: whole ones
with a few changes, and shapes that no browser sends. After each the page must answer. A traceback in its log, a page
that does not answer, a process that ended or took more than 1.5 GB is a fault. OUT has a line for each case; cases that
it has already are not sent again. --only KIND NUMBER sends one case and prints the log.
"""

import argparse
import json
import math
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import cv2
import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from merau.stream.demo import CLIP
from merau.stream.ui.sockets import PACKET_HEADER
from scripts.fuzz_inputs import damaged, known_results

MEMORY_MB = 1500
ANSWER_S = 30
ASK = build_opener(ProxyHandler({}))  # the page is on this machine
ODD_TEXTS = (
    "",
    "\0",
    "../../etc/passwd",
    "%00",
    "ü" * 3000,
    "{" * 300,
    "=1+1",
    "<img src=x>",
    "\x1b[2J",
    "-1",
    "1e999",
)
ODD_VALUES = (None, True, -1, 2**70, math.nan, math.inf, 1e308, [], {}, [[[[]]]], *ODD_TEXTS)


def main() -> int:
    """Send the cases and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file with a line for each case; it is continued")
    parser.add_argument("--requests", type=int, default=200, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--messages", type=int, default=500, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--only", nargs=2, metavar=("KIND", "NUMBER"), help="send one case and print the log")
    options = parser.parse_args()
    cases = [("http", i) for i in range(options.requests)] + [("socket", i) for i in range(options.messages)]
    done = {} if options.only else known_results(options.out)
    if options.only:
        cases = [(options.only[0], int(options.only[1]))]
    with Page() as page, options.out.open("a", encoding="utf-8") as file:
        for case in [case for case in cases if case not in done]:
            done[case] = page.send(*case, options.seed)
            if not options.only:
                file.write(json.dumps(done[case]) + "\n")
                file.flush()
        if options.only:
            print(page.log())
    counts = summarize([done[case] for case in cases])
    print(json.dumps(counts, indent=2))
    return int(bool(counts["faults"]))


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the outcomes of each kind and list the faults."""
    kinds = {kind: Counter(r["outcome"] for r in results if r["kind"] == kind) for kind in ("http", "socket")}
    return {
        "cases": len(results),
        "outcomes": {kind: dict(sorted(counts.items())) for kind, counts in kinds.items()},
        "most_memory_mb": max((result["memory_mb"] for result in results), default=0),
        "faults": [result for result in results if result["fault"]],
    }


class Page:
    """`merau ui` in a process of its own, with one open page; started again after it ended."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-page-")
        try:
            self._start()
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._folder.cleanup()

    def _start(self) -> None:
        store, self._log = Path(self._folder.name, "page.db"), Path(self._folder.name, "log")
        command = [sys.executable, "-m", "merau.stream.cli", "ui", "--port", "0", "--json", "--store", str(store)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout
        self.address = json.loads(self._process.stdout.readline())["address"]
        self.token = self._open_page()
        self._ask_page("begin", "click", [None, "fuzz", True])  # Gradio keeps the token of the session
        self._open = ExitStack()
        self._open.enter_context(self.socket("live"))  # keeps the page's session

    def _stop(self) -> None:
        self._open.close()
        self._process.terminate()
        self._process.wait(60)

    def log(self) -> str:
        """Return what the process wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def socket(self, path: str) -> connect:
        """Return a socket of the page, to be opened by `with`."""
        address = self.address.rstrip("/")
        url = f"{address.replace('http', 'ws')}/merau/{path}?token={self.token}"
        return connect(url, origin=address, proxy=None)  # type: ignore[arg-type]

    def _open_page(self) -> str:
        return str(next(part["token"] for part in self._ask_page(None, "load", [""]) if "token" in (part or "")))

    def _ask_page(self, element: str | None, event: str, data: list[Any]) -> list[Any]:
        """Call a handler of the page as the browser does; returns what it returns."""
        with ASK.open(f"{self.address}config", timeout=ANSWER_S) as answer:
            config = json.load(answer)
        ids = {part["id"] for part in config["components"] if part["props"].get("elem_id") == element}
        listener = next(
            one
            for one in config["dependencies"]
            if any(event == name and (element is None or at in ids) for at, name in one["targets"])
        )
        body = json.dumps({"data": data, "fn_index": listener["id"], "session_hash": "fuzz"}).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.address}gradio_api/queue/join", body, headers)  # noqa: S310  (our own page)
        ASK.open(request, timeout=ANSWER_S).close()
        with ASK.open(f"{self.address}gradio_api/queue/data?session_hash=fuzz", timeout=ANSWER_S) as stream:
            for line in stream:
                message = json.loads(line.removeprefix(b"data: ") or b"{}") if line.strip() else {}
                if message.get("msg") == "process_completed":
                    return list(message["output"]["data"])
        raise RuntimeError("the page did not answer")

    def send(self, kind: str, number: int, seed: int) -> dict[str, Any]:
        """Send one case; returns what came of it."""
        before = len(self.log())
        rng = random.Random(f"{seed} {kind} {number}")
        outcome = (send_request if kind == "http" else send_message)(self, rng)
        fault = self._find_fault(self.log()[before:])
        memory_mb = self._memory_mb()
        if "ended" in fault:
            self._start()
        return {
            "kind": kind,
            "number": number,
            "outcome": outcome,
            "fault": fault or ("too much memory" if memory_mb > MEMORY_MB else ""),
            "memory_mb": memory_mb,
        }

    def _find_fault(self, log: str) -> str:
        if self._process.poll() is not None:
            return f"the process ended: {self._process.returncode}"
        try:
            with ASK.open(f"{self.address}login", b"", timeout=ANSWER_S) as answer:
                answer.read()
        except OSError as error:
            return f"the page does not answer: {error}"
        return f"traceback: {log[-500:]}" if "Traceback" in log or "internal error" in log else ""

    def _memory_mb(self) -> int:
        with suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
            return int(status.partition("VmHWM:")[2].split()[0]) // 1024
        return 0


# --- requests


def send_request(page: Page, rng: random.Random) -> str:
    """Send a request byte by byte as it stands; returns the status of the answer."""
    head, body = rng.choice(REQUESTS)(page, rng)
    if rng.random() < 0.3:
        head = damaged(head, rng)
    place = urlsplit(page.address)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=ANSWER_S) as connection:
        try:
            connection.sendall(head + body)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            first = connection.recv(4096)
        except TimeoutError:
            return "no answer"
        except OSError:
            return "closed"
    return first.split(b" ")[1].decode("latin-1")[:3] if first.startswith(b"HTTP/") else "closed"


def request_of(page: Page, path: str, body: bytes = b"", **headers: str) -> tuple[bytes, bytes]:
    """Return head and body of a request."""
    place = urlsplit(page.address)
    fields = {"Host": place.netloc, "Content-Length": str(len(body))} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"), body


def odd_call(page: Page, rng: random.Random) -> tuple[bytes, bytes]:
    """Call a handler with odd values."""
    data = [rng.choice((page.token, *ODD_VALUES)) for _ in range(rng.randrange(6))]
    event = {rng.choice(("camera", "event", "label", "x")): rng.choice(ODD_VALUES)}
    call = {"data": data, "fn_index": rng.randrange(-2, 40), "session_hash": rng.choice(("fuzz", *ODD_VALUES))}
    call |= {"event_data": rng.choice((event, *ODD_VALUES))}
    for name in rng.sample(sorted(call), rng.randrange(2)):
        call[name] = rng.choice(ODD_VALUES)
    path = rng.choice(
        ("queue/join", "queue/join", "run/predict", "call/cameras", "queue/cancel", "reset", "component_server")
    )
    return request_of(page, f"/gradio_api/{path}", json.dumps(call).encode(), Content_Type="application/json")


def odd_body(page: Page, rng: random.Random) -> tuple[bytes, bytes]:
    """Send a body that is not what its head says."""
    body = rng.choice((b"[" * 5000, b'{"data":' * 400, rng.randbytes(2000), b'"' + b"\\" * 3000, b"\xff\xfe{}"))
    headers = rng.choice(
        (
            {"Content_Length": "-1"},
            {"Content_Length": "99999999999"},
            {"Content_Length": "1e3"},
            {"Transfer_Encoding": "chunked"},
            {"Content_Length": str(len(body)), "Transfer_Encoding": "chunked"},
            {"Content_Encoding": "gzip"},
            {},
        )
    )
    path = rng.choice(("/gradio_api/queue/join", "/gradio_api/upload", "/login", "/logout", "/"))
    return request_of(page, path, body, **{"Content_Type": "application/json"} | headers)


def odd_form(page: Page, rng: random.Random) -> tuple[bytes, bytes]:
    """Upload something that is no upload."""
    disposition = rng.choice(
        ('form-data; name="files"; filename="a.mp4"', 'form-data; name="files"', "x" * 9000, "", "form-data")
    )
    part = (
        f"--x\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
        + rng.randbytes(rng.choice((0, 10, 5000)))
        + b"\r\n"
    )
    body = part * rng.choice((0, 1, 2, 1500)) + rng.choice((b"--x--\r\n", b"--x", b""))
    kind = rng.choice(
        (
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "multipart/form-data; boundary=" + "y" * 300,
            "text/plain",
        )
    )
    token = rng.choice((page.token, page.token, "guessed"))
    path = f"/gradio_api/upload?token={token}{rng.choice(('', '&upload_id=1', '&upload_id=%00'))}"
    return request_of(page, path, body or b"x", Content_Type=kind)


def odd_download(page: Page, rng: random.Random) -> tuple[bytes, bytes]:
    """Ask for a file of ours with odd values."""
    kind = rng.choice(("picture", "clip", "events", "clips", "head", "../x", ""))
    names = ("token", "workspace", "session", "event", "name", "format", "blur")
    known = {"token": page.token, "workspace": "server", "session": "1", "format": "csv"}
    query = {name: rng.choice((known.get(name, "1-1"), *ODD_TEXTS)) for name in names} | rng.choice(({}, known))
    text = "&".join(f"{name}={value}" for name, value in query.items()).replace(" ", "%20").replace("\0", "%00")
    return request_of(page, f"/merau/get/{kind}?{text}")


def odd_head(page: Page, rng: random.Random) -> tuple[bytes, bytes]:
    """Send odd headers."""
    name = rng.choice(
        (
            "Cookie",
            "Host",
            "Origin",
            "Accept-Language",
            "X-Forwarded-For",
            "Range",
            "Upgrade",
            "Expect",
            "Sec-Fetch-Site",
        )
    )
    value = rng.choice(
        (*ODD_TEXTS, "x" * 70_000, "[::1", "http://[", "bytes=9-1", "websocket", "de;q=x", "100-continue")
    )
    path = rng.choice(
        (
            "/",
            "/config",
            "/theme.css",
            "/merau/messages?token=" + page.token[:5],
            "/gradio_api/file=/etc/passwd",
            "//",
            "/%2e%2e/",
        )
    )
    return request_of(page, path, **{name.replace("-", "_"): value.replace("\0", "")})


REQUESTS: tuple[Callable[[Page, random.Random], tuple[bytes, bytes]], ...] = (
    odd_call,
    odd_body,
    odd_form,
    odd_download,
    odd_head,
)


# --- messages of sockets


def send_message(page: Page, rng: random.Random) -> str:
    """Send one odd message on a socket; returns what the page did."""
    path = rng.choice(("live", "webcam", "webcam"))
    try:
        with page.socket(path) as connection:
            if path == "live":
                connection.send(odd_message(rng, json.dumps({"mesh": True}).encode()))
                return receive(connection)
            hello = json.dumps({"zero_ms": 1000 * time.time()})
            if rng.random() < 0.3:
                connection.send(odd_message(rng, hello.encode()))
            else:
                connection.send(hello)
                receive(connection)  # the camera's number
                for _ in range(rng.randrange(1, 4)):
                    connection.send(odd_packet(rng))
            return receive(connection)
    except (ConnectionClosed, InvalidHandshake, OSError) as error:
        return "closed" if isinstance(error, ConnectionClosed) else "refused"


def receive(connection: ClientConnection) -> str:
    """Return what the page answers within a second."""
    try:
        message = connection.recv(timeout=1)
    except TimeoutError:
        return "taken"
    return "error shown" if "error" in json.loads(message if isinstance(message, str) else "{}") else "answered"


def odd_message(rng: random.Random, whole: bytes) -> str | bytes:
    """Return a text or bytes that the page does not expect."""
    shapes: tuple[str | bytes, ...] = (
        json.dumps(rng.choice(ODD_VALUES)),
        json.dumps({rng.choice(("mesh", "zero_ms")): rng.choice(ODD_VALUES)}),
        damaged(whole, rng).decode("utf-8", "replace"),
        "[" * rng.choice((10, 100_000)),
        rng.randbytes(rng.choice((0, 1, 1000))),
        "x" * 1_900_000,
        b"x" * 2_100_000,
    )
    return rng.choice(shapes)


def odd_packet(rng: random.Random) -> str | bytes:
    """Return a packet of a webcam with changes."""
    picture = np.full((rng.choice((48, 480)), 64, 3), rng.randrange(255), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    if rng.random() < 0.3:  # the size in its header
        at = jpeg.find(b"\xff\xc0") + 5
        jpeg = jpeg[:at] + struct.pack(">HH", *rng.choices((0, 1, 961, 65535), k=2)) + jpeg[at + 4 :]
    data = rng.choice((jpeg, damaged(jpeg, rng), damaged(h264_of_demo(), rng), rng.randbytes(300)))
    captured_s = rng.choice((0.0, 1.0, -1.0, math.nan, math.inf, 1e5, 1e300))
    whole = PACKET_HEADER.pack(rng.choice((0, 1, 1, 7)), captured_s) + data
    return rng.choice((whole, whole, whole, damaged(whole, rng), odd_message(rng, whole)))


def h264_of_demo() -> bytes:
    """Return the first pictures of the demo clip as the stream of a webcam."""
    with av.open(str(CLIP)) as clip:
        parts = [bytes(packet) for packet, _ in zip(clip.demux(video=0), range(3), strict=False)]
        extra = clip.streams.video[0].codec_context.extradata or b""
    return extra + b"".join(parts)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
