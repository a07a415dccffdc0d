"""Options that several commands have in common."""

import argparse

import pytest

from merau.engine.bundle import SHIPPED
from merau.trainers.commands import options
from merau.trainers.data.synth import action_units


def test_add_command_describes_and_runs(capsys):
    parser = argparse.ArgumentParser(prog="merau-lab")
    options.add_command(parser.add_subparsers(), "draw", "draw flow", print)
    assert parser.parse_args(["draw"]).run is print
    with pytest.raises(SystemExit):
        parser.parse_args(["draw", "--help"])
    assert "Draw flow." in capsys.readouterr().out


def test_add_bundle_resolves_names_and_default():
    parser = argparse.ArgumentParser()
    options.add_bundle(parser)
    assert parser.parse_args([]).bundle == SHIPPED / "default"
    assert parser.parse_args(["--bundle", "source"]).bundle == SHIPPED / "source"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("coarse", action_units.COMBINATIONS), ("source", action_units.SOURCE), ("target", action_units.TARGET)],
)
def test_combinations_of_classes_are_those_of_the_table(name, wanted):
    parser = argparse.ArgumentParser()
    options.add_classes(parser)
    drawn = options.combinations_of(parser.parse_args(["--classes", name]))
    assert drawn is wanted
