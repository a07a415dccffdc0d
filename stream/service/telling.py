"""Opens what a service tells others by: its alarms, and its programming interface."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from merau.engine.errors import UserError
from merau.stream.service.alerts.alarms import Alerts
from merau.stream.service.alerts.settings import AlertsConfig, ApiConfig
from merau.stream.service.service import Service
from merau.stream.ui.gate import Gate


@contextmanager
def open_alerts(config: AlertsConfig, store: Path) -> Iterator[Alerts | None]:
    """Deliver alarms until the end of a `with` block; None where nobody is told.

    Raises:
        UserError: The queue or a receiver's settings cannot be used, or a package is missing.
    """
    if config.is_empty:
        yield None
        return
    with _named_package(), closing(Alerts(config, config.queue_of(store))) as alerts:
        yield alerts


@contextmanager
def serve_api(service: Service, config: ApiConfig | None, gate: Gate | None) -> Iterator[None]:
    """Serve the interface until the end of a `with` block: at the page, or alone where the configuration says so.

    Args:
        service: What it tells of.
        config: Where it is served and who may ask; None serves it at a page only, for whom the page is for.
        gate: The page's gate; None where there is no page.

    Raises:
        UserError: The address cannot be served, or a package is missing.
    """
    if gate is None and config is None:
        yield
        return
    with _named_package():
        from merau.stream.service.api import build_api

        api = build_api(service)
    token = config.token.get_secret_value() if config and config.token else None
    if gate:
        gate.open(api, token)
        yield
        return
    assert config is not None
    from merau.stream.ui.config import UiSettings
    from merau.stream.ui.guard import known_hosts
    from merau.stream.ui.login import Logins
    from merau.stream.ui.page_server import PageServer, check_host

    settings = UiSettings(host=config.host, port=config.port)
    check_host(config.host)
    with closing(PageServer(settings)) as server:
        alone = Gate(None, settings, Logins(None), known_hosts(settings))
        alone.open(api, token)
        server.start(alone)
        yield


@contextmanager
def _named_package() -> Iterator[None]:
    """Say how to get a package that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            "The package {name} is missing: install merau-live with its extra, pip install 'merau-live[service]'.",
            name=error.name,
        ) from error
