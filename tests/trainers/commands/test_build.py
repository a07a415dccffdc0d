"""`merau-lab build`."""

import json

from merau.engine import cache
from merau.engine.cuda import driver
from merau.engine.errors import Message
from merau.trainers.cli import main


def test_build_writes_engine_and_names_runtime(tmp_path, capsys, monkeypatch):
    where = ["--arch", "sm_89", "--out", str(tmp_path)]
    assert main(["build", "default", "--precision", "fp16", *where]) == 0
    result = json.loads(capsys.readouterr().out)
    (written,) = tmp_path.iterdir()
    assert result["engine"] == str(written)
    assert len(cache.read(written)) == result["bytes"]
    assert result["runtime"].startswith("tensorrt")
    assert (result["precision"], result["arch"]) == ("fp16", "sm_89")
    monkeypatch.setattr(driver, "probe", lambda: driver.Probe([], Message("no NVIDIA driver found")))
    assert main(["build", "default"]) == 1
    assert "Name a GPU architecture with --arch: no NVIDIA driver found." in capsys.readouterr().err
