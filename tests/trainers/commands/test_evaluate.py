"""`merau-lab evaluate` on synthetic data and by protocols."""

import json

from merau.engine.bundle import SHIPPED
from merau.trainers.cli import main


def test_evaluate_few_and_zero_shot_of_shipped_bundle(index, tmp_path):
    out = tmp_path / "few.json"
    arguments = ["evaluate", "--flows", str(index), "--json", str(out), "--draws", "3", "--shots", "2"]
    assert main([*arguments, "--protocol", "few-shot"]) == 0
    few = json.loads(out.read_text())
    assert few["protocol"] == "few-shot"
    assert few["left_out"] == {"no_class_of_the_task": 5}
    assert few["full"]["uf1"] > 0.7
    assert few["zero_shot_on_the_same_queries"]["full"]["uf1"] > 0.7
    assert few["au_auc"]["12"] > 0.9
    assert "warning" not in few
    assert few["gain"]["full"]["draws"] == 3
    assert few["gain"]["full"]["lost"] + few["gain"]["full"]["won"] <= 1
    assert set(few["gain"]["by_database"]) == {"casme2", "samm"}
    page = (tmp_path / "few.html").read_text()
    assert "draws that lose" in page
    assert all(f'<rect class="c{c}"' in page for c in range(3))  # each class has its region
    assert "<svg" in page
    assert "negative" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")

    assert main([*arguments, "--protocol", "zero-shot"]) == 0
    zero = json.loads(out.read_text())
    assert zero["full"]["uf1"] > 0.7
    assert "gain" not in zero


def test_evaluate_classes_unknown_to_bundle_are_learned(index, tmp_path, capsys):
    arguments = ["evaluate", "--flows", str(index), "--protocol", "few-shot", "--task", "hard", "--draws", "2"]
    for model in ("merau", "merau-cd"):
        assert main([*arguments, "--model", model]) == 0
        done = json.loads(capsys.readouterr().out)
        assert done["classes"] == ["repression", "tense"]
        assert done["full"]["acc"] > 0.7


def test_evaluate_baseline_uses_no_bundle(index, capsys):
    assert main(["evaluate", "--flows", str(index), "--protocol", "lodo", "--model", "logistic"]) == 0
    printed = capsys.readouterr()
    done = json.loads(printed.out)
    assert done["bundle"] is None
    assert done["full"]["uf1"] > 0.5
    assert printed.err.startswith("No report was written: use --json")
    assert main(["evaluate", "--flows", str(index), "--protocol", "zero-shot", "--model", "logistic"]) == 1


def test_evaluate_best_epoch_is_marked(frames_index, capsys):
    arguments = ["evaluate", "--flows", str(frames_index), "--protocol", "lodo", "--model", "ststnet", "--best-epoch"]
    assert main(arguments) == 0
    assert "TEST" in json.loads(capsys.readouterr().out)["warning"]


def test_evaluate_impossible_options_are_explained(index, capsys):
    flows = ["evaluate", "--flows", str(index)]
    for arguments, sentence in (
        (flows, "give --protocol and --flows together"),
        (["evaluate", "--protocol", "loso"], "give --protocol and --flows together"),
        ([*flows, "--protocol", "all"], "protocol is 'all': choose one of zero-shot"),
        ([*flows, "--protocol", "few-shot", "--shots", "0"], "shots is 0: choose 1 or more."),
        ([*flows, "--protocol", "loso", "--best-epoch"], "best_epoch is True: choose it only for off-apexnet"),
        ([*flows, "--protocol", "loso", "--task", "easy"], "names 1 of them"),
    ):
        assert main(arguments) == 1
        assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_evaluate_synthetic_scores_own_classes(tmp_path):
    scores, drawn = tmp_path / "scores.json", tmp_path / "reliability.svg"
    where = ["--samples", "500", "--json", str(scores), "--reliability", str(drawn)]
    assert main(["evaluate", "--bundle", str(SHIPPED / "source"), *where]) == 0
    result = json.loads(scores.read_text())["kept_out_settings"]
    assert "disgust" in result["recall"]
    assert result["acc"] > 0.75
    assert result["ece"] < 0.1
    assert drawn.read_text().startswith("<svg")
