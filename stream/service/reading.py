"""Reading a configuration file: YAML, secrets from elsewhere, and errors that name their line."""

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from merau.engine.errors import UserError
from merau.stream.service.config import ServiceConfig
from merau.stream.sources.address import redact

Place = tuple[int | str, ...]  # of a value in the file: keys and numbers of items, from the outside

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_FILE = re.compile(r"\$\{file:([^${}]+)\}")  # its path may hold a variable


class _Loader(yaml.SafeLoader):
    """YAML 1.2 as people mean it: 18:00 and `no` are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # as in yaml


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("int", r"^(?:0|-?[1-9][0-9]*)$", "-0123456789"),
    ("float", r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?$", "-0123456789"),
    ("null", r"^(?:~|null|)$", ["~", "n", ""]),
    ("merge", r"^(?:<<)$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


@dataclass(frozen=True)
class Problem:
    """One error of a configuration file.

    Attributes:
        line: Where it is, from 1.
        field: Which setting it concerns, such as "cameras.0.transport"; "" for the whole file.
        text: What is wrong, and what to do.
    """

    line: int
    field: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}{': ' if self.field else ''}{self.text}"


class ConfigError(UserError):
    """A configuration file that cannot be used, with one line for each problem."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.problems = problems
        text = "\n".join(f"{path}, {problem}" for problem in problems)
        super().__init__("{text}", text=text)
        self.args = (text,)  # a message is one line otherwise

    def __str__(self) -> str:
        return str(self.args[0])


def read_config(path: Path) -> ServiceConfig:
    """Read and check a configuration file.

    Raises:
        UserError: The file cannot be read.
        ConfigError: It is no YAML, has a wrong setting, or names a secret that is not there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError("The configuration {file} cannot be read: {reason}.", file=path, reason=reason) from None
    return parse_config(path, text)


def parse_config(path: Path, text: str) -> ServiceConfig:
    """Check the text of a configuration file. Raises ConfigError as `read_config`."""
    root = compose(path, text)
    data = _Loader("").construct_document(root) if root else {}
    try:
        data = _with_secrets(data)
    except _Missing as missing:
        raise ConfigError(path, [_problem(root, missing.place, missing.text)]) from None
    try:
        return ServiceConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(path, sorted(set(_problems(root, error)), key=lambda one: one.line)) from None


def compose(path: Path, text: str) -> yaml.Node | None:
    """Return the values of the text with their places. Raises ConfigError where it is no YAML."""
    try:
        root: yaml.Node | None = yaml.compose(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it holds characters that YAML does not allow"
        line = mark.line + 1 if mark else 1
        raise ConfigError(path, [Problem(line, "", f"this is no YAML: {reason}.")]) from None
    if root is not None:
        _refuse_repeated_keys(path, root)
    return root


def _refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    """YAML would silently take the last one."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise ConfigError(path, [Problem(line, str(key.value), "this is set twice: remove one of both.")])
            seen.add(key.value)
            _refuse_repeated_keys(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(path, item)


class _Missing(Exception):
    """A secret that is not where the file says."""

    def __init__(self, place: Place, text: str) -> None:
        self.place, self.text = place, text


def _with_secrets(data: Any, place: Place = ()) -> Any:
    """Return the file's values with ${NAME} and ${file:PATH} replaced. Raises _Missing."""
    if isinstance(data, dict):
        return {key: _with_secrets(value, (*place, str(key))) for key, value in data.items()}
    if isinstance(data, list):
        return [_with_secrets(value, (*place, number)) for number, value in enumerate(data)]
    if not isinstance(data, str):
        return data
    data = _VARIABLE.sub(lambda found: _variable(found[1], place), data)
    return _FILE.sub(lambda found: _first_line(Path(found[1]), place), data)


def _variable(name: str, place: Place) -> str:
    value = os.environ.get(name)
    if value is None:
        raise _Missing(place, f"the environment has no {name}: set it, or name a file as ${{file:PATH}}.")
    return value


def _first_line(path: Path, place: Place) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise _Missing(place, f"the file {path} cannot be read: {reason}.") from None


def _problems(root: yaml.Node | None, error: ValidationError) -> Iterator[Problem]:
    places = [tuple(found["loc"]) for found in error.errors()]
    for place, found in zip(places, error.errors(), strict=True):
        follows = any(len(other) > len(place) and other[: len(place)] == place for other in places)
        if not follows:  # a list that lacks a wrong item is too short
            yield _problem(root, place, _describe(root, place, found))


def _describe(root: yaml.Node | None, place: Place, found: Any) -> str:
    """Say what is wrong with a value, and what to do. Values are shown as the file has them, without secrets."""
    if found["type"] == "extra_forbidden":
        known = _known_settings(place[:-1])
        close = difflib.get_close_matches(str(place[-1]), known, 1)
        remedy = f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(known)}."
        return f"there is no such setting: {remedy}"
    if found["type"] == "missing":
        return "this is missing: add it."
    message = str(found["msg"]).rstrip(".")
    if found["type"] == "value_error":
        return f"{message.removeprefix('Value error, ')}."
    wanted = message.partition(" should ")[2].removesuffix(" after validation, not 0") or message
    return f"{_shown(root, place)} does not fit: it should {wanted}."


def _shown(root: yaml.Node | None, place: Place) -> str:
    """Return a value as the file has it, without what may be secret."""
    if place[-1:] == ("[key]",):
        return f"'{place[-2]}'"
    node = _node(root, place)[0]
    is_secret = any(word in str(part) for word in ("password", "secret", "token") for part in place)
    return f"'{redact(node.value)}'" if isinstance(node, yaml.ScalarNode) and not is_secret else "this"


def _known_settings(place: Place) -> list[str]:
    """Return the names of the settings that a part of the file may have."""
    schema = ServiceConfig.model_json_schema()
    node: Any = schema

    def resolved(node: Any) -> Any:
        for option in node.get("anyOf", []):
            if "$ref" in option or "properties" in option:
                node = option
        return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node

    for part in place:
        node = resolved(node)
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return sorted(resolved(node).get("properties", {}))


def _problem(root: yaml.Node | None, place: Place, text: str) -> Problem:
    node, depth = _node(root, place)
    if depth < len(place) and place[:1] == ("cameras",) and len(place) > 2:  # perhaps it came from the defaults
        common, common_depth = _node(root, ("defaults", *place[2:]))
        if common_depth == len(place) - 1:
            node, place = common, ("defaults", *place[2:])
    return Problem(node.start_mark.line + 1 if node else 1, ".".join(map(str, place)), text)


def _node(root: yaml.Node | None, place: Place) -> tuple[yaml.Node | None, int]:
    """Return the node at a place, or the innermost one around it, and how many steps led there."""
    node = root
    for depth, part in enumerate(place):
        inner = _child(node, part)
        if inner is None:
            return node, depth
        node = inner
    return node, len(place)


def _child(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item: yaml.Node = node.value[part]
        return item
    return None
