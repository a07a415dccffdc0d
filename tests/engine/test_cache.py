import os
import resource
from contextlib import contextmanager

import pytest

from merau.engine import cache
from merau.engine.errors import UserError

DATA = b"an engine" * 1000


@pytest.fixture
def path(tmp_path):
    cache.write(tmp_path / "kept", DATA)
    return tmp_path / "kept"


@contextmanager
def small_disk():
    """Limit files of this process to 4096 bytes, so that a write fails in the middle."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def check_kept(path):
    assert cache.read(path) == DATA
    assert list(path.parent.iterdir()) == [path]


def test_interrupted_write_leaves_the_old_file(path):
    with pytest.raises(UserError, match="kept cannot be written: File too large"), small_disk():
        cache.write(path, DATA[::-1])
    check_kept(path)


def test_failed_replace_leaves_the_old_file(path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.write(path, DATA[::-1])
    check_kept(path)


def test_written_file_follows_the_umask(tmp_path):
    before = os.umask(0o022)
    cache.write(tmp_path / "kept", DATA)
    os.umask(before)
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o644
