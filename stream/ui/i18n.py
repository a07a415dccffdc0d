"""The page's words in English and German: one file for Gradio's controls and for our own scripts."""

import json
from importlib.resources import files
from typing import Any

import gradio as gr

WORDS: dict[str, dict[str, str]] = json.loads(files("stream.ui").joinpath("words.json").read_text(encoding="utf-8"))

translations = gr.I18n(**WORDS)


def t(words: str) -> Any:
    """A label that the browser shows in its language; the English words are the key."""
    assert words in WORDS["en"] and words in WORDS["de"], words
    return translations(words)
