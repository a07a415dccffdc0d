"""The page's words in English and German: one file for Gradio's controls and for our own scripts.

Whole sentences come from the rooms below in English, as the command line prints them; core.js finds the German ones, by
their form, in `SENTENCES`.
"""

import json
from importlib.resources import files
from typing import Any

import gradio as gr


def _read(name: str) -> Any:
    return json.loads(files("merau.stream.ui").joinpath(name).read_text(encoding="utf-8"))


WORDS: dict[str, dict[str, str]] = _read("words.json")
SENTENCES: dict[str, str] = _read("sentences.json")

translations = gr.I18n(**WORDS)


def t(words: str) -> Any:
    """A label that the browser shows in its language; the English words are the key."""
    assert words in WORDS["en"] and words in WORDS["de"], words
    return translations(words)
