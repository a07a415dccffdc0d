"""Translation of the page with gettext catalogues: a message's id is its English text.

Labels are translated by Gradio in the browser (`t`), messages that a script shows by static/core.js (see message_json),
and errors that Gradio shows on the server (`translate`). `make messages` brings the catalogues up to date.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from babel.messages.pofile import read_po
from starlette.datastructures import Headers
from starlette.types import Scope

from merau.engine.errors import Message

ENGLISH = "en"
LOCALE = files("merau.stream.ui").joinpath("locale")
LANGUAGES = (ENGLISH, *sorted(folder.name for folder in LOCALE.iterdir() if folder.is_dir()))
PLACEHOLDER = re.compile(r"\{(\w+)\}")

# Why a file, a camera or a disk failed, as the operating system and FFmpeg word it. Listed here for extraction.
SYSTEM_REASONS = (
    Message("Permission denied"),
    Message("Operation not permitted"),
    Message("No such file or directory"),
    Message("Is a directory"),
    Message("Not a directory"),
    Message("Input/output error"),
    Message("No such device"),
    Message("No such device or address"),
    Message("Inappropriate ioctl for device"),
    Message("Device or resource busy"),
    Message("Invalid argument"),
    Message("Cannot allocate memory"),
    Message("Too many open files"),
    Message("No space left on device"),
    Message("Read-only file system"),
    Message("Broken pipe"),
    Message("Connection refused"),
    Message("Connection reset by peer"),
    Message("Connection timed out"),
    Message("Network is unreachable"),
    Message("No route to host"),
    Message("Operation timed out"),
    Message("End of file"),
    Message("Invalid data found when processing input"),
    Message("Protocol not found"),
    Message("Decoder not found"),
    Message("Server returned 404 Not Found"),
    Message("Server returned 403 Forbidden (access denied)"),
    Message("Server returned 4XX Client Error, but not one of 40{0,1,3,4}"),
    Message("Server returned 5XX Server Error reply"),
    Message("unknown error"),
)


@cache
def catalogue(language: str) -> dict[str, str]:
    """Return translations by message id; both forms of a plural have an entry. Empty for English."""
    if language == ENGLISH:
        return {}
    with LOCALE.joinpath(language, "LC_MESSAGES", "merau.po").open("rb") as file:
        messages = read_po(file, locale=language)
    found: dict[str, str] = {}
    for message in messages:
        ids, texts = (part if isinstance(part, (list, tuple)) else [part] for part in (message.id, message.string))
        found |= zip(map(str, ids), map(str, texts), strict=True)
    return {text: translation for text, translation in found.items() if text and translation}


@cache
def translations() -> Any:
    """Return the translations for Gradio, which shows the key where it has none; a key is the English text."""
    import gradio as gr  # a service without a page does not load it

    return gr.I18n(**{language: catalogue(language) for language in LANGUAGES})


def t(text: str) -> Any:
    """Make a label that Gradio shows in the browser's language."""
    return translations()(text)


def request_language(headers: Mapping[str, str]) -> str:
    """Return the language that a browser asks for first if there is a catalogue for it, else English."""
    wanted, *_ = re.split("[-,;]", headers.get("accept-language", "").strip().lower())
    return wanted if wanted in LANGUAGES else ENGLISH


def translate(message: Message | str, language: str) -> str:
    """Fill a message's values into its template, both in `language`."""
    if isinstance(message, str):
        return catalogue(language).get(message, message)
    template = catalogue(language).get(message.template, message.template)
    values = message.plain_values() | {
        name: translate(value, language) for name, value in message.values.items() if isinstance(value, Message)
    }
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def localized(scope: Scope, template: str, **values: object) -> str:
    """Return the text of a plain response in the language that the request asks for."""
    return translate(Message(template, values), request_language(Headers(scope=scope)))
