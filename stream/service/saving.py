"""Saving cameras that were added on the page into the configuration file, which otherwise stays as it was written."""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import yaml

from merau.engine.errors import UserError
from merau.engine.files import atomic_write, make_folder
from merau.stream.service.reading import compose, parse_config

MAX_NAME = 60


class NewCamera(NamedTuple):
    """A camera to save: its name, and its source as somebody typed it, perhaps with a password."""

    name: str
    source: str


def add_cameras(path: Path, cameras: list[NewCamera]) -> None:
    """Add cameras to a configuration file. A password goes into a file of its own, beside it.

    Raises:
        UserError: The file has a mistake, holds its cameras in a form that cannot be added to, or cannot be written.
    """
    text = path.read_text(encoding="utf-8-sig")
    names = {camera.name for camera in parse_config(path, text).cameras}
    for camera in cameras:
        name = _unused(camera.name, names)
        names.add(name)
        text = _with_camera(path, text, _settings(path, name, camera.source))
    parse_config(path, text)  # what would not be read is not written
    mode = path.stat().st_mode
    with atomic_write(path) as file:
        file.write(text.encode())
        os.fchmod(file.fileno(), mode & 0o777)


def _unused(name: str, names: set[str]) -> str:
    """Return a name that no camera has."""
    name = name[:MAX_NAME]
    number, candidate = 1, name
    while candidate in names:
        number += 1
        candidate = f"{name[: MAX_NAME - 5]} {number}"
    return candidate


def _settings(path: Path, name: str, source: str) -> dict[str, str]:
    parts = urlsplit(source)
    if not parts.password:
        return {"name": name, "source": source}
    user = source.partition("@")[0].rpartition(":")[0]
    secret = path.with_name(f"{path.name}.secrets") / re.sub(r"\W+", "-", name).strip("-")
    make_folder(secret.parent)
    with atomic_write(secret) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(unquote(parts.password).encode())
    public = f"{user}@{source.rpartition('@')[2]}"
    return {"name": name, "source": public, "password": f"${{file:{secret.resolve()}}}"}


def _with_camera(path: Path, text: str, settings: dict[str, str]) -> str:
    """Return the text with one more item at the end of `cameras`."""
    root = compose(path, text)
    node = None
    if isinstance(root, yaml.MappingNode):
        node = next((value for key, value in root.value if key.value == "cameras"), None)
    lines = text.splitlines()
    if node is None:
        lines, at, indent = [*lines, "cameras:"], len(lines) + 1, 2
    elif isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        at, indent = _last_line(node) + 1, node.start_mark.column
    else:
        raise UserError("{file} holds its cameras in one line: write each below the other, after a dash.", file=path)
    item = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items()]
    lines[at:at] = [f"{' ' * indent}{'  ' if number else '- '}{line}" for number, line in enumerate(item)]
    return "\n".join(lines) + "\n"


def _last_line(node: yaml.Node) -> int:
    """Return the number of the last line that a node takes, from 0; the marks of a block are behind its comments."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    mark = node.end_mark
    return int(mark.line if mark.column else mark.line - 1)
