"""The log of a command: lines on standard error."""

import logging

from merau.engine.text import plain_lines


def log_plainly() -> None:
    """Write warnings and errors to standard error, as lines that command no terminal."""
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter("merau: %(message)s"))
    logging.basicConfig(handlers=[handler])


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text without control characters."""
        return plain_lines(super().format(record))
