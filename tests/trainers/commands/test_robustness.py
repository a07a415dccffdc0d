"""`merau-lab robustness` on a tiny set, and `--magnify`."""

import json

import yaml

from merau.trainers.cli import main


def test_robustness_prints_what_each_share_costs(prepared_index, tmp_path, capsys):
    task, out = tmp_path / "task.yaml", tmp_path / "out.json"
    task.write_text(yaml.dump({"classes": {"down": ["disgust"], "up": ["happiness"]}}))
    where = ["--flows", str(prepared_index), "--task", str(task)]
    assert main(["robustness", *where, "--protocol", "3-to-2", "--models", "hoof", "--json", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["clean"] == row["parts"]["grey 30%"]
    assert row["10%"] > 50
    assert capsys.readouterr().out.startswith("| model | clean | 10% | 30% | 50% |")


def test_evaluate_magnified_frames(prepared_index, index, tmp_path, capsys):
    task = tmp_path / "task.yaml"
    task.write_text(yaml.dump({"classes": {"down": ["disgust"], "up": ["happiness"]}}))
    arguments = ["evaluate", "--protocol", "loso", "--model", "hoof", "--magnify", "lagrangian"]
    assert main([*arguments, "--task", str(task), "--flows", str(prepared_index)]) == 0
    assert "(lagrangian x 4)" in json.loads(capsys.readouterr().out)["flows"]
    assert main([*arguments, "--flows", str(index)]) == 1
    assert "none in its column frames_png" in capsys.readouterr().err
