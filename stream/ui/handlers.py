"""What all of the page's event handlers share."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from merau.engine.errors import UserError

P = ParamSpec("P")
T = TypeVar("T")


def show_user_errors(handler: Callable[P, T]) -> Callable[P, T]:
    """A UserError becomes the message that the visitor sees."""

    @functools.wraps(handler)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(*args, **kwargs)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return run


def private_endpoint(**also: Any) -> dict[str, Any]:
    """Settings of a listener that only this page may call, and that shows no spinner."""
    return {"api_visibility": "private", "show_progress": "hidden", "queue": True} | also
