"""What a configuration file may say: cameras, store and page."""

from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from merau.engine.bundle import resolve
from merau.engine.errors import UserError
from merau.stream.events import Kind, Retention
from merau.stream.faces import FaceSettings
from merau.stream.pipeline import PipelineSettings
from merau.stream.service.alerts.settings import AlertsConfig, ApiConfig
from merau.stream.sources import is_camera, redact
from merau.stream.sources.address import lacks_password, with_password
from merau.stream.ui.config import Login, UiSettings
from merau.stream.ui.event_clip import MAX_ROLL_S, ClipSettings

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Share = Annotated[float, Field(ge=0, le=1)]
Hours = Annotated[float, Field(gt=0, le=1_000_000)]
Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")]
SOURCE_FORMS = "rtsp://USER@HOST/PATH, 0 or /dev/video0, or a video file"
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Section(BaseModel):
    """A part of the file: what it does not know is an error, and it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Period(Section):
    """Hours of some days of the week, by the clock of this machine. A period whose end is not later ends a day later.

    Attributes:
        days: Days on which it begins.
        begin: When it begins; `from` in the file.
        end: When it ends; `to` in the file.
    """

    days: tuple[Day, ...] = Field(default=DAYS, min_length=1, description="days on which it begins")
    begin: time = Field(default=time(0), alias="from", description='when it begins, such as "08:00"')
    end: time = Field(
        default=time(0), alias="to", description="when it ends; a time not later than `from` is of the next day"
    )

    def contains(self, now: datetime) -> bool:
        """Whether it is on at a time by the clock of this machine."""
        at, today = now.time(), DAYS[now.weekday()]
        if self.begin < self.end:
            return today in self.days and self.begin <= at < self.end
        yesterday = DAYS[(now - timedelta(days=1)).weekday()]
        return (today in self.days and at >= self.begin) or (yesterday in self.days and at < self.end)


class RetentionConfig(Section):
    """How long what a camera records is kept.

    Attributes:
        hours: Hours after which events, and sessions after their end, are deleted; None keeps them.
        kinds: Other hours for some kinds of events.
    """

    hours: Hours | None = Field(
        default=None, description="hours after which what was recorded is deleted (default: never)"
    )
    kinds: dict[Kind, Hours] = Field(default={}, description="other hours for events of some kinds")

    @property
    def as_recorded(self) -> Retention:
        """As a session records it."""
        return Retention(self.hours, {str(kind): hours for kind, hours in self.kinds.items()})


class ClipsConfig(Section):
    """What the clip of an event shows beside it.

    Attributes:
        before_s: Seconds before the onset.
        after_s: Seconds after the offset.
    """

    before_s: float = Field(default=0.4, ge=0, le=MAX_ROLL_S, description="seconds before the onset")
    after_s: float = Field(default=0.4, ge=0, le=MAX_ROLL_S, description="seconds after the offset")

    @property
    def settings(self) -> ClipSettings:
        """The same for the encoder of clips."""
        return ClipSettings(self.before_s, self.after_s)


class CameraSettings(Section):
    """What may be said of one camera, or of all in `defaults`.

    Attributes:
        group: Cameras that belong together, such as those of a building.
        transport: Transport of RTSP.
        decode: Where video is decoded.
        detector: Face detector.
        mask: Polygons that are painted black before anything looks at the picture; shares of its width and height.
        schedule: When the camera is analysed; always where it is empty.
        purpose: Purpose of the analysis; giving it states that everyone in view has consented.
        consent: How they consented, for the record.
        retention: How long what is recorded is kept.
        clips: What the clips of its events show.
        bundle: Recognizer bundle; None takes that of `head`, or the default.
        head: Few-shot head.
        device: Where the recognizer runs.
        precision: Precision of the trunk.
        cost: Processors of a node that it takes, with `--ray`.
    """

    group: str = Field(
        default="", max_length=60, description="cameras that belong together, such as those of a building"
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="transport of RTSP")
    decode: Literal["cpu", "cuda"] = Field(default="cpu", description="where video is decoded")
    detector: str = Field(default="short", description="face detector: short, wide, insightface, or yunet:PATH")
    mask: tuple[Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3)], ...] = Field(
        default=(), description="polygons that are painted black: points as shares of width and height"
    )
    schedule: tuple[Period, ...] = Field(default=(), description="when it is analysed (default: always)")
    purpose: Text | None = Field(
        default=None, description="purpose of the analysis; giving it states that everyone in view has consented"
    )
    consent: Text | None = Field(default=None, description="how they consented, for the record")
    retention: RetentionConfig = Field(default=RetentionConfig(), description="how long what is recorded is kept")
    clips: ClipsConfig = Field(default=ClipsConfig(), description="what the clip of an event shows beside it")
    bundle: str | None = Field(
        default=None,
        description="recognizer bundle: default, source, or the path of a folder or zip (default: that of `head`)",
    )
    head: Path | None = Field(default=None, description="few-shot head that `merau adapt` wrote")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where the recognizer runs")
    precision: Literal["int8", "fp32", "fp16", "fp8"] = Field(default="int8", description="precision of the trunk")
    cost: float = Field(default=1.0, gt=0, le=64, description="processors of a node that it takes, with --ray")

    @field_validator("detector")
    @classmethod
    def _detector_is_known(cls, value: str) -> str:
        try:
            FaceSettings(detector=value)
        except UserError as error:
            raise ValueError(str(error)) from error
        return value

    @property
    def recognizer(self) -> dict[str, Any]:
        """What `Recognizer.load` takes."""
        bundle = resolve(self.bundle) if self.bundle else None
        return {"bundle": bundle, "head": self.head, "device": self.device, "precision": self.precision}

    @property
    def pipeline(self) -> PipelineSettings:
        """How a source is analysed."""
        return PipelineSettings(faces=FaceSettings(detector=self.detector), mask=self.mask)

    def is_on(self, now: datetime) -> bool:
        """Whether the schedule has the camera analysed at a time by the clock of this machine."""
        return not self.schedule or any(period.contains(now) for period in self.schedule)


class CameraConfig(CameraSettings):
    """One camera.

    Attributes:
        name: Unique name, which events, page and messages bear.
        source: As for `merau watch`: rtsp://USER@HOST/PATH, a number, /dev/videoN, or a recording.
        password: Of the RTSP address, which then names only the user.
    """

    name: Name = Field(description="unique name, which events, page and messages bear")
    source: str = Field(min_length=1, repr=False, description=SOURCE_FORMS)
    password: SecretStr | None = Field(default=None, description="of the RTSP user: ${NAME} or ${file:PATH}")

    @field_validator("source", mode="before")
    @classmethod
    def _number_is_text(cls, value: Any) -> Any:
        return str(value) if type(value) is int else value  # the first webcam is 0

    @field_validator("source")
    @classmethod
    def _recording_exists(cls, value: str) -> str:
        if not is_camera(value) and not Path(value).is_file():
            raise ValueError(f"'{redact(value)}' is no camera, and there is no such file: give {SOURCE_FORMS}")
        return value

    @model_validator(mode="after")
    def _password_has_a_user(self) -> "CameraConfig":
        if self.password and not lacks_password(self.source):
            raise ValueError("`password` needs a source such as rtsp://USER@HOST/PATH, without a password of its own")
        return self

    @property
    def is_recording(self) -> bool:
        """Whether the source is a file."""
        return not is_camera(self.source)

    @property
    def address(self) -> str:
        """The source with its password. Must not be shown."""
        return with_password(self.source, self.password.get_secret_value()) if self.password else self.source


class LoginConfig(Section):
    """The one user who may log in."""

    user: str = Field(min_length=1, description="name of the user")
    password: SecretStr = Field(min_length=1, description="${NAME} or ${file:PATH}")


class PageConfig(Section):
    """The live page, as the options of `merau ui` describe it."""

    host: str = Field(default="127.0.0.1", description="address to serve on")
    port: int = Field(default=7860, ge=0, le=65535, description="port to serve on; 0 for a free one")
    root_path: str = Field(default="", description="path below which it lies behind a proxy, such as /merau")
    login: LoginConfig | None = Field(
        default=None, description="who may log in; needed unless only this machine is served"
    )
    allowed_hosts: tuple[str, ...] = Field(default=(), description="names under which the page may be opened")
    trusted_proxies: tuple[str, ...] = Field(default=(), description="proxies whose forwarded headers are believed")
    visitors: int = Field(default=2, ge=1, description="visitors' webcams that are analysed at a time")
    recordings: Path | None = Field(default=None, description="folder whose videos are offered for analysis")

    @model_validator(mode="after")
    def _settings_are_valid(self) -> "PageConfig":
        try:
            _ = self.settings
        except UserError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def settings(self) -> UiSettings:
        """How the page is served."""
        login = Login(self.login.user, self.login.password.get_secret_value()) if self.login else None
        return UiSettings(**self.model_dump(exclude={"login"}), login=login, remembers=True)


class ServiceConfig(Section):
    """A configuration file.

    Attributes:
        store: SQLite file; a relative path begins at the folder of the configuration file.
        overload: What is done where the machine cannot carry the cameras.
        store_gb: Largest size of the store; None for any.
        page: The live page; None runs without one.
        defaults: Settings of all cameras that do not say otherwise; `cameras` has them applied.
        cameras: The cameras.
        alerts: Whom to tell of events.
        api: The interface for programs; None serves it at the page only.
    """

    store: Path = Field(default=Path("merau.db"), description="SQLite file that the events are saved to")
    page: PageConfig | None = Field(default=None, description="the live page (default: none)")
    store_gb: float | None = Field(
        default=None,
        gt=0,
        description="largest size of the store: above it the oldest events of cameras go (default: none)",
    )
    overload: Literal["degrade", "refuse"] = Field(
        default="degrade",
        description="with more cameras than the machine carries: analyse fewer frames and say so, or refuse to start",
    )
    defaults: CameraSettings = Field(
        default=CameraSettings(), description="settings of all cameras that do not say otherwise"
    )
    cameras: tuple[CameraConfig, ...] = Field(default=(), description="the cameras")
    alerts: AlertsConfig = Field(default=AlertsConfig(), description="whom to tell of events (default: nobody)")
    api: ApiConfig | None = Field(
        default=None, description="the interface for programs (default: at the page, for whom the page is for)"
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_apply(cls, data: Any) -> Any:
        """Complete the cameras before they are checked: a default that is wrong for one camera is reported there."""
        if isinstance(data, dict) and isinstance(data.get("defaults"), dict) and isinstance(data.get("cameras"), list):
            defaults = data["defaults"]
            complete = [defaults | camera if isinstance(camera, dict) else camera for camera in data["cameras"]]
            return data | {"cameras": complete}
        return data

    @model_validator(mode="after")
    def _names_are_unique(self) -> "ServiceConfig":
        names = [camera.name for camera in self.cameras]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two cameras are called '{doubled[0]}': give each a name of its own")
        return self

    @model_validator(mode="after")
    def _consent_can_be_given(self) -> "ServiceConfig":
        for camera in self.cameras:
            if self.page is None and not (camera.purpose or camera.is_recording):
                raise ValueError(f"'{camera.name}' needs a `purpose`: without `page` nobody can be asked for consent")
        return self

    @model_validator(mode="after")
    def _cameras_are_guarded(self) -> "ServiceConfig":
        if self.page and self.cameras and not self.page.settings.is_trusted:
            raise ValueError("`page` would show the cameras to everyone who knows its address: give it a `login`")
        return self
