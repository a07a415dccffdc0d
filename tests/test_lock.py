"""The lock of `make demo` holds what the project needs, at the versions that are tested, each with hashes."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"^([\w.-]+)==([^\s;]+)(?: ; [^\\]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", re.MULTILINE)
# Only on other Pythons or systems than those that constraints.txt was made on.
ELSEWHERE = {"audioop-lts", "httpx2-jsfetch"}


def pins(text: str, pattern: re.Pattern[str]) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in pattern.findall(text)}


def test_lock_has_the_tested_versions_and_hashes():
    text = (ROOT / "requirements.lock").read_text()
    locked = pins(text, PINNED)
    assert len(locked) == len(re.findall(r"^\w", text, re.MULTILINE))  # none without a hash
    assert "://" not in text
    tested = pins((ROOT / "constraints.txt").read_text(), re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE))
    assert {name: tested.get(name) for name in locked.keys() - ELSEWHERE} == {
        name: version for name, version in locked.items() if name not in ELSEWHERE
    }


def test_lock_has_all_that_the_project_needs():
    locked = pins((ROOT / "requirements.lock").read_text(), PINNED)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, requirement
