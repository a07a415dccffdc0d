"""`merau-lab prepare`."""

from merau.trainers.cli import main


def test_prepare_unknown_release_lists_choices(tmp_path, capsys):
    assert main(["prepare", "casme4", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert "choose one of casme, casme2" in capsys.readouterr().err


def test_prepare_unknown_correction_lists_choices(tmp_path, capsys):
    for release, typed, there in (
        ("casme2", "29:apx", "its corrections are 60:offset, 29:apex, 35:apex"),
        ("4dme", "tentative", "its corrections are tentative-aus, swapped-aus"),
        ("smic-hs", "1:apex", "it has none"),
    ):
        command = ["prepare", release, str(tmp_path), "--out", str(tmp_path / "o"), "--without", typed]
        assert main(command) == 1
        assert f"{release} has no correction {typed}: {there}" in capsys.readouterr().err
    command = ["prepare", "mmew", str(tmp_path), "--out", str(tmp_path / "o"), "--with", "others"]
    assert main(command) == 1
    assert "mmew has no reading others: its readings are others-as-repression" in capsys.readouterr().err
