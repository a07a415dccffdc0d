"""A real RTSP camera for tests and benchmarks: GStreamer's RTSP server in a process of its own.

    with RtspServer("clip.mp4", user="ann", password="secret") as server:
        open_source(server.url)

Run as a script, this file is the server itself; that needs the Python with GStreamer's bindings, which
scripts/debian_packages.sh installs.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

PYTHON = "/usr/bin/python3"  # Debian's own: python3-gi is not on the package index
LAUNCH = {
    "h264": "filesrc location={path} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1",
    "h265": "filesrc location={path} ! qtdemux ! h265parse ! rtph265pay name=pay0 pt=96 config-interval=1",
    "test": "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=480,framerate=30/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast bitrate=1500 key-int-max=30 threads=1 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1",
}


class RtspServer:
    """Serves an MP4 clip at /cam, on the same port at each start; without a path, a bouncing ball at 30 frames/s."""

    def __init__(
        self, path: Path | str | None = None, *, codec: str = "h264", user: str = "", password: str = "", port: int = 0
    ) -> None:
        self.port = port or free_port()
        self._command = [PYTHON, __file__, "--port", str(self.port), "--codec", codec if path else "test"]
        self._command += ["--path", str(path)] if path else []
        self._command += ["--user", user, "--password", password] if user else []
        login = f"{quote(user)}:{quote(password, safe='')}@" if user else ""
        self.url = f"rtsp://{login}127.0.0.1:{self.port}/cam"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> float:
        """Start the server; returns the time.monotonic() at which it answered."""
        self._process = subprocess.Popen(self._command)
        deadline_s = time.monotonic() + 60  # on a busy machine
        while time.monotonic() < deadline_s and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return time.monotonic()
            except OSError:
                time.sleep(0.02)
        self.kill()
        raise RuntimeError("The RTSP server did not start. Run scripts/debian_packages.sh: it installs GStreamer.")

    def kill(self) -> None:
        """Kill the server like a power cut: no connection is closed properly."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Suspend the server: connections stay open, and no frame comes."""
        if self._process:
            os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended server go on."""
        if self._process:
            os.kill(self._process.pid, signal.SIGCONT)


def free_port() -> int:
    """Return a TCP port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def serve(port: int, codec: str, path: str, user: str, password: str) -> None:
    """Serve until the process is killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer(service=str(port), address="127.0.0.1")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {LAUNCH[codec].format(path=path)} )")
    factory.set_shared(codec == "test")
    if user:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    GLib.MainLoop().run()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="Serve one clip as an RTSP camera at /cam.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--codec", choices=LAUNCH, required=True)
    parser.add_argument("--path", default="")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    args = parser.parse_args()
    serve(args.port, args.codec, args.path, args.user, args.password)


if __name__ == "__main__":
    main()
