"""Keeps long-lived threads going when one of their items fails, and says so."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from merau.engine.errors import UserError

LOG = logging.getLogger(__name__)


class InternalError(UserError):
    """An error that nobody expected, as a sentence: a fault of merau, never the user's."""


class Guard:
    """Runs the items of one thread. An error costs its item: it is logged, and the thread goes on.

    Args:
        thread: Name of the thread, for the log.

    Attributes:
        failed: Whether any item met an internal error.
    """

    def __init__(self, thread: str) -> None:
        self._thread = thread
        self.failed = False
        self._last = ""

    @contextmanager
    def item(self) -> Iterator[None]:
        """Guard one item, the body of the `with` statement. An error that repeats is logged once."""
        try:
            yield
        except Exception as error:
            self.failed = self.failed or is_internal(error)
            text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            if text != self._last:
                self._last = text
                LOG.error("%s: %s", self._thread, text)
            LOG.debug("%s", self._thread, exc_info=error)


def is_internal(error: Exception) -> bool:
    """Whether the error is a fault of merau."""
    return isinstance(error, InternalError) or not isinstance(error, UserError)


def internal_error(name: str, error: Exception) -> InternalError:
    """Return the sentence for an error that nobody expected, and log where it happened."""
    LOG.debug("An internal error ended %s.", name, exc_info=error)
    reason = f"{type(error).__name__}: {error}"
    return InternalError("{name}: an internal error ended the analysis ({reason}).", name=name, reason=reason)
