"""The documentation names only files, commands and options that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from merau.stream.cli import make_parser as merau_parser
from merau.trainers.cli import make_parser as lab_parser

ROOT = Path(__file__).parents[1]
AT_ROOT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "RELEASE.md")]
PAGES = [*AT_ROOT, *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "engine" / "bundles").rglob("CARD.md"))]
FOLDERS = "calib|deploy|docs|engine|examples|scripts|stream|tests|trainers"


def commands(page: Path) -> Iterator[list[str]]:
    """The command lines of `merau` and `merau-lab` in the code blocks of a page, as words."""
    for line in page.read_text().replace("\\\n", " ").splitlines():
        if found := re.match(r"\s*(merau(?:-lab)? [a-z].*)", line):
            yield shlex.split(found[1].split(" > ")[0].split(";")[0], comments=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_parse(page):
    for program, *words in commands(page):
        parser = merau_parser() if program == "merau" else lab_parser()
        parser.parse_args(words)  # exits if it does not understand a word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_named_on_a_page_exist(page):
    text = page.read_text()
    for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", text):
        assert (ROOT / path).exists() or "NAME" in path, path


@pytest.mark.parametrize("page", AT_ROOT, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_files(page):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (ROOT / link).exists(), link


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_citation_has_the_version_of_the_package():
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text()
