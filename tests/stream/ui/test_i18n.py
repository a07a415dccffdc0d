"""Whatever the server may say to a page has its German sentence, and every word of the scripts is known."""

import ast
import errno
import os
import re
from collections.abc import Iterator
from importlib.resources import files

import av
import pytest

from merau.stream.ui.i18n import SENTENCES, WORDS

SAYING = {"UserError", "Failure"}  # the calls whose first argument a page may come to show
SAID_BY = {
    "merau.stream.ui": (
        "camera_worker",
        "settings_page",
        "workspace",
        "routes",
        "downloads",
        "live_page",
        "review_page",
        "fallback_webcam",
    ),
    "merau.stream.sources": ("file", "camera", "browser"),
}


def template(node: ast.expr) -> str:
    """A string or f-string with {} for what is filled in; other expressions give nothing."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return (
        re.sub(r"\{\w+\}", "{}", node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    )


def said() -> Iterator[str]:
    for package, modules in SAID_BY.items():
        for module in modules:
            for node in ast.walk(ast.parse(files(package).joinpath(f"{module}.py").read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAYING:
                    yield template(node.args[0])
    quality = ast.parse(files("merau.stream.faces").joinpath("quality.py").read_text(encoding="utf-8"))
    for node in ast.walk(quality):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:  # a margin and what is said below it
            yield template(node.elts[1])


@pytest.mark.parametrize("sentence", sorted({*said()} - {"", "stopped"}))
def test_what_the_server_says_has_its_german_sentence(sentence):
    assert sentence in {re.sub(r"\{\w+\}", "{}", english) for english in SENTENCES}


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.ENOENT, errno.EIO, errno.ENODEV, errno.EBUSY, errno.ECONNREFUSED, errno.ETIMEDOUT]
)
def test_the_reasons_of_the_system_are_german_too(number):
    assert os.strerror(number) in SENTENCES


@pytest.mark.parametrize("error", [av.EOFError, av.InvalidDataError, av.HTTPNotFoundError, av.HTTPForbiddenError])
def test_the_reasons_of_the_decoder_are_german_too(error):
    with pytest.raises(error) as raised:
        av.error.err_check(-next(code for code, kind in av.error.classes.items() if kind is error))
    assert raised.value.strerror in SENTENCES


def test_sentences_keep_what_fills_them_in():
    for english, german in SENTENCES.items():
        assert set(re.findall(r"\{\w+\}", german)) <= set(re.findall(r"\{\w+\}", english)), english


def test_every_word_of_the_scripts_is_known_in_both_languages():
    assert WORDS["en"].keys() == WORDS["de"].keys()
    for script in files("merau.stream.ui").joinpath("static").iterdir():
        if script.name.endswith(".js"):
            for word in re.findall(r'm(?:erau)?\.say\("((?:[^"])+)"', script.read_text(encoding="utf-8")):
                assert word in WORDS["en"], (script.name, word)
