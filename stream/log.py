"""The log of a command: lines on standard error."""

import logging

from merau.engine.text import plain_lines


def log_plainly() -> None:
    """Write warnings and errors to standard error, as lines that command no terminal."""
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter("merau: %(message)s"))
    logging.basicConfig(handlers=[handler])


def log_with_time(formatter: logging.Formatter | None = None) -> None:
    """Log as a service does: what happens, too, each line with time and level, or as `formatter` writes it."""
    timed = _PlainFormatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter or timed)
    logging.getLogger("merau").setLevel(logging.INFO)


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text without control characters."""
        return plain_lines(super().format(record))
