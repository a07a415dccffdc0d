"""Nothing that recordings need is Linux's alone: they are analysed without what Windows and macOS lack."""

import subprocess
import sys

from tests.clips import encode_demo_start

# The libraries are loaded first: they may use what they like. multiprocessing would start processes of Windows.
PROGRAM = """
import importlib, os, signal, sys
libraries = ("ai_edge_litert.interpreter", "av", "cv2", "jinja2", "multiprocessing.connection", "numba",
    "onnxruntime", "openpyxl", "pandas", "platformdirs", "pyarrow.parquet", "pympi.Elan", "safetensors.numpy",
    "scipy.optimize", "scipy.stats", "tempfile", "tqdm", "uuid", "webvtt", "xml.etree.ElementTree")
for name in libraries:
    importlib.import_module(name)
for module, names in ((os, ("sched_getaffinity", "nice", "getuid", "O_NONBLOCK", "fork")), (signal, ("SIGHUP",))):
    for name in names:
        delattr(module, name)
sys.modules |= dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios"))
sys.platform = "win32"
from merau.stream.cli import main
clip, out = sys.argv[1:]
for command in (["analyse", clip, "--out", out], ["summary", out], ["agree", out, out, "--kinds", "blink"]):
    assert main(command) == 0, command
"""


def test_recordings_are_studied_without_what_is_linux_alone(tmp_path):
    clip = encode_demo_start(tmp_path / "talk.mp4", 2.2)
    command = [sys.executable, "-c", PROGRAM, str(clip), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/summary/summary.html").exists()
