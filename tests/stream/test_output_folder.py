import pytest

from merau.engine.bundle import Bundle
from merau.engine.errors import UserError
from merau.stream.analysis import Analysis
from merau.stream.export import FORMATS
from merau.stream.output_folder import OutputFolder
from merau.stream.pipeline import FrameResult
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


def test_failed_export_costs_no_other(tmp_path, make_event):
    summary = Summary("talk.mp4")
    odd = make_event(1.0, aus={"brow": 0.9})  # as a damaged store may hold it: no text can name it
    summary.add(FrameResult(None, [], [], {}, {}, [odd, make_event(2.0)], 1.0))
    with OutputFolder(tmp_path, tmp_path / "merau.db") as output:
        written = output.write(Analysis(summary, 1.0), BUNDLE)
        assert [path.suffix for path in written] == [".csv", ".jsonl", ".parquet", ".html"]
        assert all(path.stat().st_size for path in written)
        with pytest.raises(UserError, match=r"talk.eaf.* Files that are missing: 2"):
            output.check()
        output.write(Analysis(Summary("other.mp4"), 1.0), BUNDLE)
        output.check()
    assert not list(tmp_path.glob(".*.part"))


def test_without_a_folder_nothing_is_written(tmp_path):
    with OutputFolder(None, tmp_path / "merau.db") as output:
        assert output.write(Analysis(Summary("talk.mp4"), 1.0, ""), BUNDLE) == []
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_raises(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="The folder .*file cannot be made"):
        OutputFolder(tmp_path / "file", None)
