"""Check that what merau-live runs on can be installed without a compiler on Windows and macOS.

    python scripts/check_wheels.py

For each system and Python, pip looks for wheels of the runtime dependencies and of what those depend on; nothing is
installed or run. Prints one JSON line for each, and exits with 1 if a wheel is missing. pip reads conditions such as
`sys_platform == "win32"` as of this machine: what is needed on the other system only is not looked for.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = {  # pip's tags of each; a wheel names the oldest system that it runs on
    "Windows x86-64": ["win_amd64"],
    "macOS arm64": [f"macosx_{major}_0_{kind}" for major in range(11, 16) for kind in ("arm64", "universal2")],
    "macOS x86-64": [
        f"macosx_{release}_{kind}"
        for release in (*(f"10_{minor}" for minor in range(9, 16)), *(f"{major}_0" for major in range(11, 16)))
        for kind in ("x86_64", "universal2")
    ],
}


def dependencies() -> list[str]:
    """Return the runtime dependencies as pyproject.toml lists them."""
    listed: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    return listed


def tested_versions() -> dict[str, str]:
    """Return the versions of constraints.txt by name."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return {_name(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}


def resolve(requirements: list[str], python: str, tags: list[str]) -> dict[str, str] | None:
    """Return the versions that pip would install from wheels only; None if it finds none."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"]
        command += ["--only-binary=:all:", "--target", folder, "--report", str(report), "--python-version", python]
        command += [part for tag in tags for part in ("--platform", tag)]
        if subprocess.run([*command, *requirements], capture_output=True).returncode:
            return None
        found = json.loads(report.read_text("utf-8"))["install"]
    return {_name(item["metadata"]["name"]): item["metadata"]["version"] for item in found}


def _name(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")


def check(system: str, python: str) -> dict[str, object]:
    """Check one system with one Python: which dependencies have no wheels, and which only older ones than tested."""
    tags, needed, tested = SYSTEMS[system], dependencies(), tested_versions()
    found = resolve(needed, python, tags)
    missing = [] if found else [one for one in needed if resolve([one], python, tags) is None]
    older = {name: version for name, version in (found or {}).items() if _is_older(version, tested.get(name))}
    return {
        "system": system,
        "python": python,
        "wheels": len(found or {}),
        "missing": missing,
        "older_than_tested": older,
    }


def _is_older(version: str, tested: str | None) -> bool:
    return tested is not None and Version(version) < Version(tested)


def main() -> int:
    """Check all systems."""
    results = []
    for system in SYSTEMS:
        for python in PYTHONS:
            results.append(check(system, python))
            print(json.dumps(results[-1]), flush=True)
    return 1 if any(result["missing"] or not result["wheels"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
