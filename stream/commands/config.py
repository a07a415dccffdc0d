"""`merau config`: what the configuration file of `merau serve` may say, and whether it does."""

import argparse
import json
from importlib.resources import files
from pathlib import Path

from merau.engine.errors import UserError
from merau.stream.commands import options
from merau.stream.formatting import pluralize


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "check a configuration file of `merau serve`, or print its schema or an example"
    parser = options.add_command(commands, "config", summary, run)
    parser.add_argument(
        "action",
        metavar="ACTION",
        choices=("check", "schema", "example"),
        help="check CONFIG; or print the JSON schema, or an example with all settings",
    )
    parser.add_argument("config", metavar="CONFIG", nargs="?", type=Path, help="configuration file to check")


def run(arguments: argparse.Namespace) -> int:
    """Check the file, or print what it may say."""
    from merau.stream.service.config import ServiceConfig

    if arguments.action == "check":
        return check(arguments.config, as_json=arguments.json)
    if arguments.config:
        raise UserError("`merau config {action}` takes no file.", action=arguments.action)
    if arguments.action == "schema":
        print(json.dumps(ServiceConfig.model_json_schema(), indent=None if arguments.json else 2))
    else:
        text = files("merau.stream.service").joinpath("example.yaml").read_text(encoding="utf-8")
        print(json.dumps(text) if arguments.json else text, end="\n" if arguments.json else "")
    return 0


def check(path: Path | None, *, as_json: bool) -> int:
    """Check a configuration file: 0 where it can be used.

    Raises:
        UserError: The file is missing or cannot be used, unless `as_json`: then its problems are printed.
    """
    from merau.stream.service.reading import ConfigError, read_config

    if path is None:
        raise UserError("Name the configuration file to check: merau config check CONFIG.")
    try:
        config = read_config(path)
    except ConfigError as error:
        if not as_json:
            raise
        problems = [{"line": one.line, "field": one.field, "text": one.text} for one in error.problems]
        print(json.dumps({"usable": False, "problems": problems}))
        return 1
    if as_json:
        print(json.dumps({"usable": True, "problems": []}))
    else:
        page = "with the page" if config.page else "without a page"
        print(f"{path} can be used: {pluralize(len(config.cameras), 'camera')}, {page}, store {config.store}.")
    return 0
