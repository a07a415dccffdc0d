import pytest

from merau.engine.errors import UserError
from merau.stream.study.participants import from_pattern, read_participants


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "participants.csv"
        path.write_text(text)
        return path

    return write


def test_csv_names_recordings_by_the_end_of_their_path(write):
    found = read_participants(write("file;participant;group\nP1/talk.mp4;Ann;old\nP2/talk;Bob;new\nwalk;Cem;new\n"))
    assert found.columns == ("participant", "group")
    assert found.find("/data/P1/talk.mov", 1) == {"participant": "Ann", "group": "old"}
    assert found.find("C:\\data\\P2\\talk.mp4", 3)["participant"] == "Bob"
    assert found.find("walk.mp4", 1)["participant"] == "Cem"
    assert found.find("/data/P3/talk.mp4", 1) == {}


def test_csv_tells_faces_apart(write):
    found = read_participants(write("recording,face,participant\ntalk,1,Ann\ntalk,2,Bob\n"))
    assert [found.find("talk.mp4", face).get("participant") for face in (1, 2, 3)] == ["Ann", "Bob", None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,participant\na,b\n", "needs the columns recording and participant"),
        ("recording,participant\na,b\na.mp4,c\n", "line 3: 'a.mp4' was named before"),
        ("recording,participant,my group\na,b,c\n", "'my group' needs a name"),
    ],
)
def test_csv_that_cannot_be_meant_is_refused(write, text, reason):
    with pytest.raises(UserError, match=reason):
        read_participants(write(text))


def test_pattern_reads_the_end_of_the_path():
    found = from_pattern("{participant}/{condition}_day{day}")
    assert found.columns == ("participant", "condition", "day")
    assert found.find("/data/P1/stress_day2.mp4", 1) == {"participant": "P1", "condition": "stress", "day": "2"}
    assert found.find("/data/P1/stress.mp4", 1) == {}


def test_pattern_without_a_participant_is_refused():
    with pytest.raises(UserError, match=r"must have \{participant\} once"):
        from_pattern("{group}/{day}")
