import os
import resource
import threading
from contextlib import contextmanager

import pytest

from merau.engine.errors import UserError
from merau.engine.few_shot import fit_few_shot
from merau.engine.files import atomic_write
from merau.engine.recognizer import Recognizer
from tests.support import clustered_samples


@contextmanager
def full_disk(limit: int = 100):
    """No file of this process may grow beyond `limit` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_head_on_a_full_disk_leaves_the_old_one_whole(tmp_path):
    recognizer, path = Recognizer.load(device="cpu"), tmp_path / "head"
    fit_few_shot(clustered_samples(recognizer, ("tense", "positive"), 2), recognizer.bundle).save(path)
    before = path.read_bytes()
    other = fit_few_shot(clustered_samples(recognizer, ("smirk", "positive"), 4), recognizer.bundle)
    with full_disk(), pytest.raises(UserError, match="head cannot be written: File too large"):
        other.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_write_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half of the new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_link_keeps_pointing_and_pipe_stays_a_pipe(tmp_path):
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    with atomic_write(pipe) as file:
        file.write(b"piped")
    reader.join()
    assert received == [b"piped"]
    assert pipe.is_fifo()
