"""Helpers for the page's event handlers."""

import functools
import html
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gradio as gr
from gradio.context import LocalContext

from merau.engine.errors import UserError
from merau.stream.ui.i18n import ENGLISH, request_language, translate

P = ParamSpec("P")
T = TypeVar("T")


def show_user_errors(handler: Callable[P, T]) -> Callable[P, T]:
    """Show a handler's UserErrors to the visitor, in the visitor's language."""

    @functools.wraps(handler)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(*args, **kwargs)
        except UserError as error:
            request = LocalContext.request.get(None)
            language = request_language(request.headers) if request else ENGLISH
            text = html.escape(translate(error.message, language))  # Gradio shows it as HTML
            raise gr.Error(text, print_exception=False) from None

    return run


def private_endpoint(**options: Any) -> dict[str, Any]:
    """Return options of a listener that only this page may call, and that shows no spinner."""
    return {"api_visibility": "private", "show_progress": "hidden", "queue": True} | options
