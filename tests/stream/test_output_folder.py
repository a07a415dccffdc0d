import pytest

from merau.engine.bundle import Bundle
from merau.engine.errors import UserError
from merau.stream.analysis import Analysis
from merau.stream.export import FORMATS
from merau.stream.output_folder import OutputFolder
from merau.stream.summary import Summary

BUNDLE = Bundle("default", {}, {}, "ab" * 32)


def test_recordings_of_one_name_get_files_of_their_own(tmp_path):
    with OutputFolder(tmp_path / "out", None) as output:
        first, second = (
            output.write(Analysis(Summary(source), 1.0, ""), BUNDLE) for source in ("a/talk.mp4", "b/talk.mov")
        )
    assert [path.name for path in first] == [*(f"talk.{name}" for name in FORMATS), "talk.html"]
    assert second[-1].name == "talk-2.html"
    assert all(path.exists() for path in (*first, *second))


def test_without_a_folder_nothing_is_written(tmp_path):
    with OutputFolder(None, tmp_path / "merau.db") as output:
        assert output.write(Analysis(Summary("talk.mp4"), 1.0, ""), BUNDLE) == []
    assert [path.name for path in tmp_path.iterdir()] == ["merau.db"]


def test_folder_that_cannot_be_made_raises(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="The folder .*file cannot be made"):
        OutputFolder(tmp_path / "file", None)
