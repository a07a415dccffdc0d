import stat

import pytest

from merau.engine.errors import UserError
from merau.stream.service.reading import read_config
from merau.stream.service.saving import NewCamera, add_cameras

TEXT = """\
# cameras of the ward
defaults: {purpose: a test}
cameras:
  # the first
  - name: Door
    source: 0
    schedule:
      - {days: [mon]}  # a comment

  # the end of the file
store: ward.db
"""


def test_add_cameras_keeps_the_text_and_hides_passwords(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)
    file.chmod(0o640)
    add_cameras(file, [NewCamera("Door", "1"), NewCamera("rtsp://10.0.0.7/a", "rtsp://ann:p%40ss@10.0.0.7/a")])
    lines = file.read_text().splitlines()
    assert [line for line in lines if line in TEXT.splitlines()] == TEXT.splitlines()
    assert "p%40ss" not in file.read_text()
    config = read_config(file)
    assert [camera.name for camera in config.cameras] == ["Door", "Door 2", "rtsp://10.0.0.7/a"]
    assert config.cameras[2].address == "rtsp://ann:p%40ss@10.0.0.7/a"
    assert config.store.name == "ward.db"
    (secret,) = (tmp_path / "c.yaml.secrets").iterdir()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("text", ["", "page: {}\n", "defaults: {purpose: x}\ncameras:\n- name: A\n  source: 2"])
def test_add_cameras_fits_the_file(tmp_path, text):
    file = tmp_path / "c.yaml"
    file.write_text(text or "page: {}")
    add_cameras(file, [NewCamera("B", "0")])
    assert read_config(file).cameras[-1].name == "B"


def test_add_cameras_leaves_alone_what_it_cannot_change(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("page: {}\ncameras: []\n")
    with pytest.raises(UserError, match="in one line"):
        add_cameras(file, [NewCamera("B", "0")])
    assert file.read_text() == "page: {}\ncameras: []\n"
