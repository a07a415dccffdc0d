import ast
import errno
import json
import os
import re
import string
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from merau.engine.errors import Message
from merau.stream.ui.i18n import catalogue, localized, request_language, translate
from merau.stream.ui.message_json import to_json
from scripts import messages

PO = messages.LOCALE / "de" / "LC_MESSAGES" / "merau.po"
ERRORS = {"UserError", "Failure", "Message"}
LANGUAGE_HEADER = "accept-language"


def texts(part: str | list[str] | tuple[str, ...]) -> list[str]:
    """One text, or both forms of a plural."""
    return [part] if isinstance(part, str) else list(part)


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def error_calls() -> Iterator[tuple[str, ast.expr]]:
    """The first argument of every call that makes a message of the page."""
    for folder in ("ui", "sources", "faces"):
        for path in sorted((messages.ROOT / "stream" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and node.args:
                    yield f"{folder}/{path.name}:{node.lineno}", node.args[0]


def test_catalogue_has_exactly_the_messages_of_the_sources():
    wanted = {str(message.id) for message in messages.extract() if message.id}
    assert {str(message.id) for message in messages.read(PO) if message.id} == wanted, "run `make messages`"


def test_every_message_has_its_german_text():
    missing = [message.id for message in messages.read(PO) if message.id and not all(texts(message.string))]
    assert missing == []
    assert not any(message.fuzzy for message in messages.read(PO) if message.id)


def test_translations_keep_the_placeholders():
    for message in messages.read(PO):
        for english, german in zip(texts(message.id), texts(message.string), strict=True) if message.id else ():
            assert placeholders(english) == placeholders(german), english


def test_messages_of_the_page_are_templates_not_f_strings():
    assert [place for place, argument in error_calls() if isinstance(argument, (ast.JoinedStr, ast.BinOp))] == []


def test_message_placeholders_have_no_format():
    for place, argument in error_calls():
        if isinstance(argument, ast.Constant) and "{0,1,3,4}" not in argument.value:
            fields = list(string.Formatter().parse(argument.value))
            assert not any(form or conversion for _, _, form, conversion in fields), place


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.ENOENT, errno.EIO, errno.ENODEV, errno.EBUSY, errno.ECONNREFUSED, errno.ETIMEDOUT]
)
def test_reasons_of_the_system_are_in_the_catalogue(number):
    assert os.strerror(number) in catalogue("de")


@pytest.mark.parametrize("error", [av.EOFError, av.InvalidDataError, av.HTTPNotFoundError, av.HTTPForbiddenError])
def test_reasons_of_ffmpeg_are_in_the_catalogue(error):
    with pytest.raises(error) as raised:
        av.error.err_check(-next(code for code, kind in av.error.classes.items() if kind is error))
    assert raised.value.strerror in catalogue("de")


def test_translate_fills_in_nested_messages():
    message = Message(
        "{store} cannot be used: {reason}.", {"store": Path("a.db"), "reason": Message("Permission denied")}
    )
    assert str(message) == "a.db cannot be used: Permission denied."
    assert translate(message, "en") == str(message)
    assert translate(message, "de") == "a.db ist nicht verwendbar: Zugriff verweigert."
    assert json.loads(json.dumps({"error": message}, default=to_json)) == {
        "error": {
            "id": "{store} cannot be used: {reason}.",
            "values": {"store": "a.db", "reason": {"id": "Permission denied", "values": {}}},
        }
    }


def test_translate_leaves_braces_that_are_no_placeholders():
    text = "Server returned 4XX Client Error, but not one of 40{0,1,3,4}"
    assert translate(Message(text), "en") == text
    assert translate(Message("{path} is odd", {"path": Path("{x}")}), "de") == "{x} is odd"


@pytest.mark.parametrize(
    ("header", "language"),
    [("de-DE,de;q=0.9,en;q=0.8", "de"), ("en-GB,de;q=0.5", "en"), ("fr", "en"), ("de", "de"), ("", "en")],
)
def test_request_language_is_the_first_of_the_header(header, language):
    assert request_language({LANGUAGE_HEADER: header} if header else {}) == language


def test_plain_responses_are_in_the_language_of_the_request():
    scope = {"type": "http", "headers": [(LANGUAGE_HEADER.encode(), b"de")]}
    assert localized(scope, "A file may have at most {size} MB.", size=5) == "Eine Datei darf höchstens 5 MB groß sein."


def test_catalogue_files_lie_where_the_package_looks():
    assert Path(PO).is_file()
    assert catalogue("de")["micro-expression"] == "Mikroexpression"
    assert catalogue("en") == {}
