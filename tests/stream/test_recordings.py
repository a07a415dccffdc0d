import pytest

from merau.engine.errors import UserError
from merau.stream.recordings import find_recordings


@pytest.fixture
def folder(tmp_path):
    for name in ("P10/talk.mp4", "P2/talk.MOV", "P2/talk.mp4", "P2/notes.txt", "b.mkv", "a.mp4", ".hidden/x.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1234")
    return tmp_path


def names(*given, **options):
    return [recording.name for recording in find_recordings([str(path) for path in given], **options)]


def test_folder_gives_its_recordings_by_name(folder):
    assert names(folder) == ["a", "b"]


def test_recursive_names_follow_the_folders_in_natural_order(folder):
    assert names(folder, recursive=True) == ["a", "b", "P2/talk", "P2/talk-2", "P10/talk"]


def test_recordings_of_one_name_differ_and_each_comes_once(folder):
    assert names(folder / "P10/talk.mp4", folder / "P2/talk.mp4", folder / "P2") == ["talk", "talk-2", "talk-3"]


def test_file_given_by_name_may_have_any_suffix_or_be_missing(folder):
    missing, text = find_recordings([str(folder / "gone.mp4"), str(folder / "P2/notes.txt")])
    assert (missing.size, text.size) == (0, 4)


def test_folder_without_recordings_raises(folder):
    (folder / "P2/talk.mp4").rename(folder / "x")
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="There is no recording in '.*empty'"):
        find_recordings([str(folder / "empty")], recursive=True)
    (folder / "up/P1").mkdir(parents=True)
    (folder / "up/P1/a.mp4").touch()
    with pytest.raises(UserError, match="--recursive searches its folders"):
        find_recordings([str(folder / "up")])
