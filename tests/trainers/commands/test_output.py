"""How commands write documents and warnings."""

import json

import pytest

from merau.engine.errors import UserError
from merau.trainers.commands import output


def test_write_json_prints_or_makes_folder(tmp_path, capsys):
    output.write_json({"uf1": 0.5}, None)
    output.write_json({"uf1": 0.5}, tmp_path / "new" / "scores.json")
    assert (tmp_path / "new" / "scores.json").read_text() == capsys.readouterr().out
    assert json.loads((tmp_path / "new" / "scores.json").read_text()) == {"uf1": 0.5}


def test_write_text_below_a_file_is_explained(tmp_path):
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file" / "scores.json", tmp_path):
        with pytest.raises(UserError, match="cannot be written"):
            output.write_text(path, "new")
    assert (tmp_path / "file").read_text() == "kept"


def test_print_warnings_of_sound_set_says_nothing(task, capsys):
    assert output.print_warnings(task.data) == {}
    assert capsys.readouterr().err == ""
