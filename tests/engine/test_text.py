import pytest

from merau.engine.errors import Message, UserError
from merau.engine.html import render
from merau.engine.text import is_label, plain, plain_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Söhne & Töchter 😀 \u200d", "Söhne & Töchter 😀 \u200d"),
        ("a\r\n\tb\u2028c", "a b c"),
        ("\x1b[2J\x00\x9b31m", "\ufffd[2J\ufffd\ufffd31m"),
        ("caf\udce9\ufffe", "caf\ufffd\ufffd"),
        ("\u202etxt.exe", "\ufffdtxt.exe"),
    ],
)
def test_plain_leaves_words_and_takes_commands(text, expected):
    assert plain(text) == expected
    assert plain(expected) == expected


def test_plain_lines_keep_their_lines():
    assert plain_lines("a\nb\x1b\rc") == "a\nb\ufffd c"


@pytest.mark.parametrize("text", ["", "   ", "a\nb", "a\x1b", "x" * 41, "\udce9"])
def test_label_with_line_break_or_command_is_none(text):
    assert not is_label(text)
    assert is_label("Größe <3")


def test_message_values_command_no_terminal():
    inner = Message("is '{what}'", {"what": "\x1b[2J"})
    error = UserError("'{name}' {inner}.", name="a\nmerau: all is well\x07", inner=inner)
    assert str(error) == "'a merau: all is well\ufffd' is '\ufffd[2J'."


def test_page_of_any_words_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "words_package").mkdir()
    (tmp_path / "words_package" / "__init__.py").touch()
    (tmp_path / "words_package" / "page.j2").write_text("<p>{{ word }}</p>")
    monkeypatch.syspath_prepend(tmp_path)
    assert render("words_package", "page.j2", word="<b>\udce9\x00").encode() == "<p>&lt;b&gt;\ufffd\ufffd</p>".encode()
