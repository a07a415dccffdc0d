"""Adds pages to the documentation site that are made of other files: options, cards, changelog.

The option reference is read from the parsers of `merau` and `merau-lab`, so that it cannot differ from `--help`. mkdocs
loads this file as a hook, and mkdocstrings as an extension.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from griffe import Extension, Function, GriffeLoader, Module
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
COPIED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
BUNDLES = ("default", "source")


class StreamFunction(Extension):
    """Documents the function `merau.stream` as `merau.stream_function`: the folder of that name hides it."""

    _found: Function | None = None

    def on_function_instance(self, *, func: Function, **kwargs: Any) -> None:
        """Keep the function until its module is complete."""
        if func.path == "merau.stream":
            self._found = func

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **kwargs: Any) -> None:
        """Add the function to the package under the other name."""
        if pkg.path == "merau" and self._found:
            pkg.set_member("stream_function", self._found)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the pages of docs/."""
    from merau.stream.cli import make_parser as merau
    from merau.trainers.cli import make_parser as merau_lab

    pages = {f"reference/{top.prog}.md": option_reference(top) for top in (merau(), merau_lab())}
    pages |= {page: site_links((ROOT / source).read_text("utf-8")) for source, page in COPIED.items()}
    cards = {name: (ROOT / f"engine/bundles/{name}/CARD.md").read_text("utf-8") for name in BUNDLES}
    pages |= {f"bundles/{name}.md": site_links(card) for name, card in cards.items()}
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def site_links(text: str) -> str:
    """`text` of a file outside docs/, with its links to docs/ and to cards as the site has them."""
    return re.sub(r"\]\(\.\./(\w+)/CARD\.md", r"](\1.md", re.sub(r"\]\(docs/", "](", text))


def option_reference(top: argparse.ArgumentParser) -> str:
    """A page with every command of `top` and a table of its options."""
    lines = [f"# {top.prog}", "", sentence((top.description or "").removeprefix(f"{top.prog}: ")), ""]
    if top.epilog:
        lines += ["```text", top.epilog.strip(), "```", ""]
    for command in commands_of(top):
        lines += [f"## {command.prog}", "", sentence(command.description), "", "```text", usage(command), "```", ""]
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| {spelling(option)} | {cell(meaning(command, option))} |" for option in options_of(command)]
        lines.append("")
    return "\n".join(lines)


def commands_of(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The commands below `top` that have no commands of their own, each once whatever its aliases."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in dict.fromkeys(action.choices.values()):
                below = list(commands_of(command))
                yield from below or [command]


def options_of(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of `command` that its help shows, but for --help itself."""
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    return [a for a in command._actions if not isinstance(a, hidden) and a.help != argparse.SUPPRESS]


def usage(command: argparse.ArgumentParser) -> str:
    """The usage lines of `command`, for a page instead of the builder's terminal."""
    formatter = argparse.HelpFormatter(command.prog, width=88)
    formatter.add_usage(command.usage, command._actions, command._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def spelling(option: argparse.Action) -> str:
    """How an option is written, with its value: `--port PORT`."""
    value = option.metavar or (option.dest.upper() if option.nargs != 0 else "")
    value = " ".join(value) if isinstance(value, tuple) else value
    if option.choices is not None and option.metavar is None:
        value = "{" + ",".join(map(str, option.choices)) + "}"
    if not option.option_strings:
        return f"`{value}`"
    return ", ".join(f"`{name} {value}`" if value else f"`{name}`" for name in option.option_strings)


def meaning(command: argparse.ArgumentParser, option: argparse.Action) -> str:
    """The help text of `option` with its default filled in."""
    formatter = command._get_formatter()
    return formatter._expand_help(option) if option.help else ""


def sentence(text: str | None) -> str:
    """`text` as a sentence: a capital first, a full stop last."""
    text = " ".join((text or "").split())
    return text and text[0].upper() + text[1:].rstrip(".") + "."


def cell(text: str) -> str:
    """`text` inside a Markdown table."""
    return re.sub(r"([|<*_])", r"\\\1", " ".join(text.split()))
