"""The page's words in English and German: one file for Gradio's controls and for our own scripts."""

import json
from importlib.resources import files

import gradio as gr

WORDS: dict[str, dict[str, str]] = json.loads(files("stream.ui").joinpath("words.json").read_text(encoding="utf-8"))

translate = gr.I18n(**WORDS)
