from dataclasses import dataclass

import pytest

from merau.engine.errors import UserError
from merau.engine.validation import check_choice, check_range


@dataclass(frozen=True)
class Lamp:
    watts: float | None = 5.0
    colour: str = "white"

    def __post_init__(self) -> None:
        check_range(self, "watts", above=0, high=60)
        check_choice(self, "colour", ("white", "warm"))


@pytest.mark.parametrize("watts", [0.1, 60, None])
def test_values_within_the_limits_pass(watts):
    assert Lamp(watts).watts == watts


@pytest.mark.parametrize("watts", [0, -1, 60.5, float("nan"), float("inf")])
def test_error_names_field_value_and_limits(watts):
    with pytest.raises(UserError) as error:
        Lamp(watts)
    assert str(error.value) == f"Lamp.watts is {watts}: choose more than 0, 60 at most."


def test_error_names_the_choices():
    with pytest.raises(UserError, match=r"^Lamp\.colour is 'red': choose one of white, warm\.$"):
        Lamp(colour="red")
