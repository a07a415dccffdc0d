"""What the card of a bundle, model.json, must hold before anything works with it."""

import math
from collections.abc import Collection
from typing import Any, TypeGuard

from merau.engine.bounded import is_plain
from merau.engine.errors import UserError

MAX_NAMES = 100  # of classes, Action Units or files
MAX_NAME_LENGTH = 100
MAX_DEPTH = 20
MAX_SLOPE = 1e6


def check_card(card: dict[str, Any], where: str) -> None:
    """Check types and ranges of the fields that the recognizer and the pages use.

    Args:
        card: Content of model.json, which has all fields.
        where: The bundle in messages.

    Raises:
        UserError: A field is wrong; the message says which, and what is expected.
    """
    checks = (
        ("name", is_name(card["name"]), "a name of 1 to 100 printable characters"),
        ("classes", are_names(card["classes"]) and len(card["classes"]) > 1, "2 to 100 different names"),
        ("aus", are_numbers(card["aus"]), "at most 100 different numbers"),
        ("input", is_table(card["input"]), "a table"),
        ("trained_on", is_table(card["trained_on"]), "a table"),
        ("scores", is_table(card["scores"]), "a table"),
        ("sha256", are_hashes(card["sha256"]), "plain file names with their hashes"),
        ("calibration", is_table(card["calibration"]), "a table"),
    )
    for field, valid, expected in checks:
        require(valid, where, field, expected)
    require(are_names(card["input"].get("flow")), where, "flow of its input", "a list of flow methods")
    check_calibration(card["calibration"], card["aus"], where)


def check_calibration(calibration: dict[str, Any], aus: list[str], where: str) -> None:
    """Check the numbers by which logits become probabilities and labels."""
    temperature, units = calibration.get("temperature"), calibration.get("units", {})
    require(is_number(temperature) and 1e-3 <= temperature <= 1e3, where, "temperature", "0.001 to 1000")
    require(is_share(calibration.get("threshold")), where, "threshold", "0 to 1")
    valid = isinstance(units, dict) and set(units) <= set(aus) and all(map(is_scaling, units.values()))
    require(valid, where, "units", "slope and offset of Action Units of the bundle")


def require(valid: bool, where: str, field: str, expected: str) -> None:
    """Raise UserError unless the field is `valid`."""
    if not valid:
        raise UserError(f"{where} is not a recognizer bundle: in its model.json, {field} must be {expected}.")


def is_name(value: object) -> bool:
    """Whether `value` is a text that can be shown as a name."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_LENGTH and value.isprintable()


def are_names(values: object) -> bool:
    """Whether `values` are different names."""
    return isinstance(values, list) and 0 < len(values) <= MAX_NAMES and all(map(is_name, values)) and distinct(values)


def are_numbers(values: object) -> bool:
    """Whether `values` are different numbers as text, possibly none."""
    return values == [] or (are_names(values) and isinstance(values, list) and all(map(str.isdecimal, values)))


def distinct(values: Collection[Any]) -> bool:
    """Whether no value occurs twice."""
    return len(set(values)) == len(values)


def is_table(value: object) -> bool:
    """Whether `value` is a table that is not nested too deeply to be walked."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        tables = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        level = [child for table in tables for child in table]
    return isinstance(value, dict) and not level


def are_hashes(value: object) -> bool:
    """Whether `value` maps plain names of files to texts."""
    return (
        isinstance(value, dict)
        and len(value) <= MAX_NAMES
        and all(is_name(name) and is_plain(name) and isinstance(digest, str) for name, digest in value.items())
    )


def is_number(value: object) -> TypeGuard[float]:
    """Whether `value` is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def is_share(value: object) -> bool:
    """Whether `value` is a number from 0 to 1."""
    return is_number(value) and 0 <= value <= 1


def is_scaling(value: object) -> bool:
    """Whether `value` is a slope and an offset."""
    return isinstance(value, list) and len(value) == 2 and all(is_number(v) and abs(v) <= MAX_SLOPE for v in value)
