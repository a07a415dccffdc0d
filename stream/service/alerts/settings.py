"""Settings of alarms, as the service's configuration file holds them."""

import re
from datetime import time
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath, SecretStr, model_validator

from merau.stream.events import Kind
from merau.stream.ui.config import LOOPBACK

_QUIET = re.compile(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)")
_LEVEL = r"[A-Za-z0-9_-]+"


def _check_quiet_hours(text: str) -> str:
    parse_quiet_hours(text)
    return text


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("give an address that begins with http:// or https://")
    if parts.username or parts.password:
        raise ValueError("an address may hold no password: the signature tells who sends")
    return url


QuietHours = Annotated[str, AfterValidator(_check_quiet_hours)]
Url = Annotated[str, AfterValidator(_check_url)]


class Settings(BaseModel):
    """A part of the configuration: no unknown fields, and no change once it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Filter(Settings):
    """Which final events become alarms. An empty list leaves out nothing.

    Attributes:
        cameras: Names of cameras.
        groups: Names of groups of cameras.
        kinds: Sorts of movement.
        classes: Classes; an uncertain event has none.
        min_probability: How likely the event's class must be; 0 asks for none.
        quiet_hours: Times of day without alarms, "22:00-06:00", by the clock and time zone of this machine.
        per_minute: At most so many alarms of one camera in 60 s; None for any number.
    """

    cameras: tuple[str, ...] = Field(default=(), description="names of cameras (default: all)")
    groups: tuple[str, ...] = Field(default=(), description="groups of cameras (default: all)")
    kinds: tuple[Kind, ...] = Field(default=("micro",), description="kinds of events; an empty list stands for all")
    classes: tuple[str, ...] = Field(default=(), description="classes (default: all, and uncertain events)")
    min_probability: float = Field(default=0.0, ge=0, le=1, description="how likely the class must be")
    quiet_hours: tuple[QuietHours, ...] = Field(
        default=(), description="times of day without alarms, such as 22:00-06:00"
    )
    per_minute: int | None = Field(
        default=None, ge=1, description="at most so many alarms of one camera in 60 s (default: any number)"
    )


class MqttConfig(Settings):
    """The MQTT broker that is told of alarms and of the state of each camera.

    Attributes:
        host: Name or address of the broker.
        port: Its port; by default 1883, with TLS 8883.
        user: User name, where the broker asks for one.
        password: Its password.
        tls: Whether the connection is encrypted, and the broker's certificate checked.
        ca_file: Certificate of the authority that signed the broker's; None for those of the system.
        client_id: Name of this service at the broker; two services with one name throw each other out.
        topic: First level of all topics.
        discovery: First level of Home Assistant's discovery topics; None publishes nothing for it.
        filter: Which events become alarms.
    """

    host: str = Field(min_length=1, description="name or address of the broker")
    port: int | None = Field(default=None, ge=1, le=65535, description="its port (default: 1883, with TLS 8883)")
    user: str | None = Field(default=None, description="user name at the broker")
    password: SecretStr | None = Field(default=None, description="its password: ${NAME} or ${file:PATH}")
    tls: bool = Field(default=False, description="encrypt the connection and check the broker's certificate")
    ca_file: FilePath | None = Field(
        default=None, description="certificate of the authority behind the broker's (default: those of the system)"
    )
    client_id: str = Field(
        default="merau", pattern=rf"^{_LEVEL}$", description="name at the broker; two services need two"
    )
    topic: str = Field(default="merau", pattern=rf"^{_LEVEL}(/{_LEVEL})*$", description="first level of all topics")
    discovery: str | None = Field(
        default="homeassistant", pattern=rf"^{_LEVEL}$", description="first level of Home Assistant's topics, or null"
    )
    filter: Filter = Field(default=Filter(), description="which events become alarms")

    @property
    def broker_port(self) -> int:
        """The port to connect to."""
        return self.port or (8883 if self.tls else 1883)


class WebhookConfig(Settings):
    """An address that gets a POST for each alarm.

    Attributes:
        name: Unique among the webhooks; the queue knows the receiver by it.
        url: Address, http or https.
        secret: Key of the signature (HMAC with SHA-256) of each request.
        timeout_s: How long one try may take.
        give_up_h: After so many hours an alarm that cannot be delivered is set aside as a dead letter.
        filter: Which events become alarms.
    """

    name: str = Field(pattern=rf"^{_LEVEL}$", description="unique name, which the queue knows it by")
    url: Url = Field(description="address, http or https")
    secret: SecretStr = Field(min_length=16, description="key of the signature: ${NAME} or ${file:PATH}")
    timeout_s: float = Field(default=10.0, gt=0, le=120, description="how long one try may take")
    give_up_h: float = Field(default=24.0, gt=0, description="hours after which an alarm becomes a dead letter")
    filter: Filter = Field(default=Filter(), description="which events become alarms")


class AlertsConfig(Settings):
    """Whom to tell of which events.

    Attributes:
        queue: SQLite file of the alarms that wait; None for one beside the store.
        mqtt: The MQTT broker; None for none.
        webhooks: Addresses that get a POST for each alarm.
    """

    queue: Path | None = Field(default=None, description="SQLite file of alarms (default: beside the store)")
    mqtt: MqttConfig | None = Field(default=None, description="the MQTT broker (default: none)")
    webhooks: tuple[WebhookConfig, ...] = Field(default=(), description="addresses that get a POST for each alarm")

    @model_validator(mode="after")
    def _check_names(self) -> "AlertsConfig":
        names = [webhook.name for webhook in self.webhooks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two webhooks are named {twice[0]!r}: each needs a name of its own")
        return self

    @property
    def is_empty(self) -> bool:
        """Whether nobody is told."""
        return self.mqtt is None and not self.webhooks

    def queue_of(self, store: Path) -> Path:
        """Return the file of the queue, which is beside the store by default: merau-alarms.db beside merau.db."""
        return self.queue or store.with_name(f"{store.stem}-alarms.db")


class ApiConfig(Settings):
    """The programming interface: metrics, health, sessions and events.

    Attributes:
        host: Address to listen on where there is no page; with a page it is served at the page's.
        port: Port to listen on where there is no page; 0 takes a free one.
        token: Programs show it in place of a login ("Authorization: Bearer TOKEN"); None admits programs of this
            machine only.
    """

    host: str = Field(default="127.0.0.1", description="address to listen on where there is no page")
    port: int = Field(default=7861, ge=0, le=65535, description="port to listen on where there is no page")
    token: SecretStr | None = Field(
        default=None, min_length=16, description="what programs show in place of a login: ${NAME} or ${file:PATH}"
    )

    @model_validator(mode="after")
    def _check_token(self) -> "ApiConfig":
        if self.host not in LOOPBACK and self.token is None:
            raise ValueError("other machines may ask only with a `token`: set one, or serve on 127.0.0.1")
        return self


def parse_quiet_hours(text: str) -> tuple[time, time]:
    """Read "22:00-06:00"; the end may be before the start, and 24:00 is midnight.

    Raises:
        ValueError: The text has another form.
    """
    if not (found := _QUIET.fullmatch(text.replace(" ", ""))):
        raise ValueError(f"{text!r} is no time of day: write it as '22:00-06:00'")
    hours_from, minutes_from, hours_to, minutes_to = map(int, found.groups())
    try:
        return time(hours_from % 24, minutes_from), time(hours_to % 24, minutes_to)
    except ValueError:
        raise ValueError(f"{text!r} is no time of day: write it as '22:00-06:00'") from None
