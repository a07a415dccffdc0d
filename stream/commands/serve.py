"""`merau serve`: the cameras of a configuration file, for weeks."""

import argparse
import json
import logging
import queue
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from merau.engine.errors import UserError
from merau.stream.commands import options
from merau.stream.formatting import pluralize
from merau.stream.log import log_with_time
from merau.stream.signals import on_stop_signal

if TYPE_CHECKING:
    from merau.stream.service.config import ServiceConfig
    from merau.stream.service.events import CameraEvent
    from merau.stream.service.fleet import Fleet
    from merau.stream.service.service import Service
    from merau.stream.service.supervisor import Supervisor
    from merau.stream.store import Store
    from merau.stream.ui.gate import Gate
    from merau.stream.ui.workspace import Workspace

LOG = logging.getLogger(__name__)


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "run the cameras of a configuration file as a service, with the live page or without"
    parser = options.add_command(commands, "serve", summary, run)
    parser.add_argument("config", metavar="CONFIG", type=Path, help="configuration file, see `merau config example`")
    parser.add_argument("--log-json", action="store_true", help="write the log as one JSON object a line")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="analyse on the machines of a Ray cluster: HOST:PORT, or auto for the one that runs here (default: none)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; SIGHUP reads the file again."""
    from merau.stream.ray_batch import connected
    from merau.stream.service.json_log import JsonFormatter
    from merau.stream.service.reading import read_config
    from merau.stream.service.service import Service
    from merau.stream.service.telling import open_alerts, serve_api

    config = read_config(arguments.config)
    if arguments.ray and config.page:
        raise UserError("With --ray no page is served: leave `page` out, and look at the store with `merau ui`.")
    log_with_time(JsonFormatter() if arguments.log_json else None)
    # A SimpleQueue may be put into by a signal's handler at any time.
    commands: queue.SimpleQueue[Literal["stop", "reload"]] = queue.SimpleQueue()

    def save(workspace: "Workspace") -> None:
        save_cameras(arguments.config, workspace)
        commands.put("reload")

    def tell(event: "CameraEvent") -> None:
        service.put(event)
        if arguments.json:
            print_event(event)

    signals = on_stop_signal(lambda: commands.put("stop"), lambda: commands.put("reload"))
    with (
        connected(arguments.ray) if arguments.ray else nullcontext() as ray,  # before the signals, which it would take
        signals,
        open_alerts(config.alerts, config.store) as alerts,  # ends last: cameras still report events
        open_supervisor(config, ray, save, tell) as (supervisor, store, gate),
    ):
        service = Service(store, alerts)
        service.cameras, service.threads = supervisor.status, lambda: supervisor.threads
        with closing(service), closing(supervisor):
            service.catch_up({camera.name: camera.group for camera in config.cameras})
            supervisor.start(config)
            with serve_api(service, config.api, gate):
                LOG.info("Serving %s into %s.", pluralize(len(config.cameras), "camera"), config.store)
                while commands.get() == "reload":
                    config = reload(arguments.config, config, supervisor, service)
    if supervisor.failed or service.failed:
        raise UserError("Some of the analysis ended by an internal error: see above. Everything else is safe.")
    return 0


def reload(
    path: Path, config: "ServiceConfig", supervisor: "Supervisor | Fleet", service: "Service"
) -> "ServiceConfig":
    """Read the file again and follow it; with an error in it everything goes on as before."""
    from merau.stream.service.reading import read_config

    try:
        new = read_config(path)
        supervisor.apply(new)
    except UserError as error:
        LOG.error("The configuration stays as it was: %s", error)
        return config
    waiting = [name for name in ("store", "page", "api") if getattr(new, name) != getattr(config, name)]
    if new.alerts != config.alerts and not service.follow(config.alerts, new.alerts):
        waiting.append("alerts")
    later = f" What `{'` and `'.join(waiting)}` says is used after a restart." if waiting else ""
    LOG.info("Read %s again: %s.%s", path, pluralize(len(new.cameras), "camera"), later)
    return new


def save_cameras(path: Path, workspace: "Workspace") -> None:
    """Save the cameras that were added on the page into the file; reading it again starts them anew.

    Raises:
        UserError: There is none, or the file cannot be changed.
    """
    from merau.stream.service.saving import NewCamera, add_cameras

    added = [camera for camera in workspace.cameras.values() if camera.setup is None and camera.address]
    if not added:
        raise UserError("All cameras of this page are in the configuration already.")
    add_cameras(path, [NewCamera(camera.name, camera.address) for camera in added])
    for camera in added:
        workspace.remove_camera(camera.number)


@contextmanager
def open_supervisor(
    config: "ServiceConfig", ray: Any, save: "Callable[[Workspace], None]", tell: "Callable[[CameraEvent], None]"
) -> "Iterator[tuple[Supervisor | Fleet, Store, Gate | None]]":
    """Open what looks after the cameras, here or on a cluster, and the store; at the end close both.

    Args:
        config: What to serve.
        ray: The module, connected to a cluster; None to analyse here.
        save: Saves the cameras that were added on the page.
        tell: Is told each report of an event.

    Raises:
        UserError: The store, the recognizer or the page is not available.
    """
    from merau.stream.service.fleet import Fleet
    from merau.stream.service.supervisor import Supervisor
    from merau.stream.store import Store

    if ray is None:
        with open_workspace(config, lambda: save(workspace)) as (workspace, gate):
            yield Supervisor(workspace, config.defaults, tell), workspace.store, gate
        return
    with Store(config.store) as store:
        store.settle_ages()
        yield Fleet(store, ray, tell), store, None


@contextmanager
def open_workspace(config: "ServiceConfig", save: Callable[[], None]) -> "Iterator[tuple[Workspace, Gate | None]]":
    """Open the store, and serve the page if there is one, with its gate; at the end stop the cameras and close both.

    Args:
        config: What to serve.
        save: Saves the cameras that were added on the page.

    Raises:
        UserError: The store, the recognizer or the page is not available.
    """
    from merau.engine.recognizer import Recognizer
    from merau.stream.ui.workspace import SHARED, Workspace

    def load(bundle: Path | None) -> Recognizer:
        common = config.defaults.recognizer
        return Recognizer.load(**common | ({"bundle": bundle, "head": None} if bundle else {}))

    options.warm_up(load(None))
    if config.page:
        from merau.stream.ui.server import App

        pipeline = config.defaults.pipeline
        app = App([], load, config.page.settings, store=config.store, pipeline=pipeline, save_cameras=save)
        with closing(app):
            LOG.info("The page is served at %s.", app.remote_address or app.address)
            yield app.state.shared, app.gate
        return
    with ThreadPoolExecutor(1, "clips") as clip_encoder:
        workspace = Workspace(SHARED, config.store, load, config.defaults.pipeline, clip_encoder, remembers=True)
        with closing(workspace):
            workspace.store.settle_ages()
            yield workspace, None


def print_event(told: "CameraEvent") -> None:
    """Print a report of an event as one line of JSON."""
    from merau.stream.events import event_fields

    fields = {"camera": told.camera, "group": told.group, "session": told.session, **event_fields(told.event)}
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()
