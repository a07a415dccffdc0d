import os
import signal
import subprocess
import sys
import tempfile

import pytest

from merau.stream.ui.server_folder import ServerFolder

SERVER = """
from merau.stream.ui.server_folder import ServerFolder
folder = ServerFolder()
(folder.uploads / "face.mp4").write_bytes(b"a face")
print(folder.path, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def _temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def start_server():
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def test_next_server_deletes_what_a_killed_one_left(tmp_path):
    (foreign := tmp_path / "merau-live-foreign").mkdir()  # without a lock: nobody knows whose it is
    (killed, left), (running, used) = start_server(), start_server()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert os.path.exists(f"{left}/uploads/face.mp4")
    folder = ServerFolder()
    assert not os.path.exists(left)
    assert os.path.exists(f"{used}/uploads/face.mp4")
    assert foreign.exists()
    folder.close()
    assert not folder.path.exists()
    running.communicate("\n")


def test_only_this_user_can_enter():
    folder = ServerFolder()
    assert [path.stat().st_mode & 0o777 for path in (folder.path, folder.uploads)] == [0o700, 0o700]
    folder.close()


def test_broken_uploads_are_deleted_and_others_stay():
    folder = ServerFolder()
    broken, running, whole = folder.uploads / "tmpbroken", folder.uploads / "tmprunning", folder.uploads / "hash"
    whole.mkdir()
    for path in (broken, running, whole / "clip.mp4"):
        path.write_bytes(b"a face")
        if path != running:
            os.utime(path, (0, 0))
    folder.delete_broken_uploads()
    assert not broken.exists()
    assert running.exists()
    assert (whole / "clip.mp4").exists()
    folder.close()
