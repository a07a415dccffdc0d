import pytest

from merau.engine.errors import UserError
from merau.stream.ui.config import Login, UiSettings

PASSWORD = "correct horse"


def test_login_reads_the_first_line_and_hides_it(tmp_path):
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\nsecond line\n")
    login = Login.read(f"anna:{path}")
    assert login.password == PASSWORD
    assert PASSWORD not in repr(UiSettings(login=login))


def test_login_malformed_or_unreadable_raises(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    for text, reason in (
        ("anna", "USER:FILE"),
        (f"anna:{tmp_path}/none", "cannot be read: No such file"),
        (f"anna:{tmp_path}/binary", "it is not a text file"),
        (f"anna:{tmp_path}/empty", "is empty"),
    ):
        with pytest.raises(UserError, match=reason):
            Login.read(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 70000),
        ("visitors", 0),
        ("waiting", -1),
        ("visit_s", 0),
        ("retention_h", float("nan")),
        ("retention_h", float("inf")),
        ("decode", "x"),
    ],
)
def test_ui_settings_out_of_range_raises(name, value):
    with pytest.raises(UserError, match=rf"UiSettings\.{name} is .*: choose"):
        UiSettings(**{name: value})


def test_ui_settings_missing_folder_raises(tmp_path):
    with pytest.raises(UserError, match="a folder that exists"):
        UiSettings(recordings=tmp_path / "none")


def test_ui_settings_trust_needs_login_or_loopback():
    assert UiSettings().is_trusted
    assert not UiSettings(host="0.0.0.0").is_trusted
    assert not UiSettings(share=True).is_trusted
    assert UiSettings(share=True, login=Login("anna", PASSWORD)).is_trusted
