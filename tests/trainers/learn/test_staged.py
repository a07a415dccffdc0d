"""What a staged training starts from."""

from pathlib import Path

from merau.trainers.cli import main


def test_train_resnet_start_is_explained(tmp_path, monkeypatch, capsys):
    index, yaml = tmp_path / "index.csv", tmp_path / "s.yaml"
    index.write_text("dataset,subject,sample,label,flow_png\n")
    yaml.write_text("{tcae: null, detector: null, encoder: resnet18}")
    command = ["train", "--setting", str(yaml), "--data", str(index), "--out", str(tmp_path / "o")]
    main(command)  # no samples: it ends there
    assert "starts from random weights and learns at a rate of 1e-05" in capsys.readouterr().err
    yaml.write_text(f"{{encoder: resnet18, encoder_weights: {tmp_path / 'none.pth'}}}")
    assert main(command) == 1
    assert f"encoder_weights is '{tmp_path / 'none.pth'}': choose a file that exists." in capsys.readouterr().err
    yaml.write_text(f"encoder_weights: {Path(__file__)}")
    assert main(command) == 1
    assert "choose encoder: resnet18, or no weights." in capsys.readouterr().err
