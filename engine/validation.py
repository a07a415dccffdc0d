"""Checks for settings classes: an error names the field, its value and what to choose."""

from collections.abc import Collection
from typing import Any

from merau.engine.errors import UserError


def check(settings: Any, name: str, valid: bool, choose: str) -> None:
    """Raise UserError unless `valid`: "CropSpec.size_px is 7: choose 32 to 512."."""
    if not valid:
        raise UserError(f"{type(settings).__name__}.{name} is {getattr(settings, name)!r}: choose {choose}.")


def check_choice(settings: Any, name: str, choices: Collection[Any]) -> None:
    """Raise UserError unless the field `name` is one of `choices`."""
    check(settings, name, getattr(settings, name) in choices, f"one of {', '.join(map(str, choices))}")


def check_range(
    settings: Any, *names: str, low: float | None = None, high: float | None = None, above: float | None = None
) -> None:
    """Raise UserError unless `low` <= value <= `high` and value > `above` for every field of `names`; NaN never passes.

    A limit that is None does not apply, nor does any to a field that is None.
    """
    if low is not None and high is not None:
        choose = f"{low} to {high}"
    else:
        limits = (f"{low} or more" if low is not None else "", f"more than {above}" if above is not None else "")
        choose = ", ".join(limit for limit in (*limits, f"{high} at most" if high is not None else "") if limit)
    for name in names:
        value = getattr(settings, name)
        inside = value is None or (
            (low is None or value >= low) and (high is None or value <= high) and (above is None or value > above)
        )
        check(settings, name, value is None or (inside and value == value), choose)
