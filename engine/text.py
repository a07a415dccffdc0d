"""Words from outside (names of files, cameras and classes), cleaned of what terminals and formats take for commands."""

import re

MAX_LABEL = 40  # characters
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Line breaks and tabs in a row, of any sort.
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
# Control characters, marks that turn the direction of what follows, halves of a character, and no characters at all.
_COMMANDS = re.compile(
    r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def plain(text: str) -> str:
    """Return the text as one line: a space for line breaks, U+FFFD for each other control character."""
    return _COMMANDS.sub(REPLACEMENT, _BREAKS.sub(" ", text))


def plain_lines(text: str) -> str:
    """Return the text without control characters, but with its lines."""
    return "\n".join(plain(line) for line in text.split("\n"))


def is_label(text: str) -> bool:
    """Tell whether the text can name a class: 1 to 40 characters on one line."""
    return 0 < len(text.strip()) <= MAX_LABEL and plain(text) == text
