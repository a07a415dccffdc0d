"""`merau ui`: the live page."""

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from merau.engine.errors import UserError
from merau.stream.commands import options
from merau.stream.formatting import pluralize


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "serve the live page: watch, review and teach in a browser"
    parser = options.add_command(commands, "ui", summary, run)
    parser.add_argument(
        "sources", metavar="SOURCE", nargs="*", help="cameras and recordings to start with, as for `merau watch`"
    )
    options.add_source_file_option(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve on (default: %(default)s, this machine only)"
    )
    parser.add_argument(
        "--port", type=int, default=7860, metavar="N", help="port to serve on; 0 for a free one (default: 7860)"
    )
    parser.add_argument(
        "--root-path",
        default="",
        metavar="PATH",
        help="path below which the page lies behind a proxy, such as /merau (default: none, the whole name)",
    )
    parser.add_argument("--auth", metavar="USER:FILE", help="require a login; the first line of FILE is the password")
    parser.add_argument(
        "--allowed-host",
        action="append",
        metavar="NAME",
        default=[],
        help="a name under which the page may be opened, besides this machine's; may be repeated",
    )
    parser.add_argument(
        "--trusted-proxy",
        action="append",
        metavar="ADDRESS",
        default=[],
        help="address or network of a reverse proxy whose forwarded headers are believed; may be repeated",
    )
    parser.add_argument("--share", action="store_true", help="make a public link; this machine's cameras need --auth")
    options.add_store_option(parser)
    parser.add_argument(
        "--retention",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="delete what this page records after HOURS (default: 24); other sessions in the store stay",
    )
    options.add_decode_option(parser)
    parser.add_argument(
        "--recordings", type=Path, metavar="FOLDER", help="offer the videos of FOLDER for analysis (default: none)"
    )
    parser.add_argument(
        "--visitors", type=int, default=2, metavar="N", help="analyse up to N visitors' webcams at a time (default: 2)"
    )
    parser.add_argument(
        "--purpose",
        metavar="TEXT",
        help="purpose of the analysis; giving it states that everyone in view has consented (default: ask on the page)",
    )
    options.add_recognizer_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C or SIGTERM."""
    from merau.stream.ui.config import Login, UiSettings

    settings = UiSettings(
        host=arguments.host,
        port=arguments.port,
        root_path=arguments.root_path,
        login=Login.read(arguments.auth) if arguments.auth else None,
        share=arguments.share,
        allowed_hosts=tuple(arguments.allowed_host),
        trusted_proxies=tuple(arguments.trusted_proxy),
        visitors=arguments.visitors,
        retention_h=arguments.retention,
        recordings=arguments.recordings,
        decode=arguments.decode,
        purpose=arguments.purpose,
    )
    print(describe_retention(arguments.store, settings.retention_h), file=sys.stderr, flush=True)
    sources = options.read_sources(arguments, arguments.sources)
    pipeline = options.pipeline_settings(arguments)
    options.warm_up(options.load_recognizer(arguments))
    from merau.stream.ui.server import App, until_stopped

    load = partial(options.load_recognizer, arguments)
    app = App(sources, load, settings, store=arguments.store, pipeline=pipeline)
    with until_stopped(app) as stopped:
        if arguments.json:
            print(json.dumps({"address": app.address, "public": app.public}), flush=True)
        else:
            remote = f", for other machines at {app.remote_address}" if app.remote_address else ""
            public = f" and publicly at {app.public}" if app.public else ""
            print(f"The page is served at {app.address}{remote}{public}. Press Ctrl-C to stop.", flush=True)
        stopped.wait()
    if app.state.failed:
        raise UserError("Some of the analysis ended by an internal error: see above. Everything else is safe.")
    return 0


def describe_retention(store: Path, retention_h: float) -> str:
    """Say what the page will delete by itself, and when."""
    from merau.stream.store import read_sessions

    lines = [
        f"What this page records is deleted {retention_h:g} h later, with its images and clips. Labels stay.",
    ]
    sessions = read_sessions(store) if store.exists() else []
    ends = [(session.retention_h, datetime.fromisoformat(session.ended or _now())) for session in sessions]
    until = [end + timedelta(hours=hours) for hours, end in ends if hours is not None]
    if kept := len(sessions) - len(until):
        lines.append(f"{store} holds {pluralize(kept, 'session')} without a retention: they stay.")
    if until:
        first = min(until)
        when = "now" if first <= datetime.now(UTC) else f"from {first:%Y-%m-%d %H:%M} UTC on"
        recorded = pluralize(len(until), "earlier session")
        lines.append(f"{store} holds {recorded} of this page: deletion begins {when}.")
    return "\n".join(lines)


def _now() -> str:
    return datetime.now(UTC).isoformat()
