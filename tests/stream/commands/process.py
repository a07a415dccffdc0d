"""Run `merau` as a process."""

import subprocess
import sys


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "merau", *map(str, arguments)]


def run_merau(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, **options)


def start_merau(*arguments: object, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def messages(stderr: str) -> list[str]:
    """The lines of standard error, without LiteRT's note and the one that says what runs where."""
    return [line for line in stderr.splitlines() if "XNNPACK" not in line and not line.startswith("Running on ")]
