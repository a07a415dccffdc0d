"""The settings of MERAU's three stages, and the YAML files that hold them: one for each setting of the paper."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from merau.engine.errors import UserError
from merau.engine.flow import METHODS
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.evaluate.task import TASKS

CLASSIFIERS = ("linear", "cosine", "prototypes")
OPTIMIZERS = ("adam", "sgd")
ENCODERS = ("ours", "resnet18")
SHIPPED = files("merau.trainers") / "settings"


def check(settings: object, name: str, holds: bool, wanted: str) -> None:
    if not holds:
        raise UserError(f"{type(settings).__name__}.{name} is {getattr(settings, name)!r}: {wanted}.")


def positive(settings: object, *names: str) -> None:
    for name in names:
        check(settings, name, getattr(settings, name) > 0, "choose a number above 0")


@dataclass(frozen=True)
class TcaeSettings:
    """Stage 1. `base` filters in the first layer; the defaults are for minutes on one core."""

    size_px: int = 64
    base: int = 8
    epochs: int = 6
    batch: int = 64
    optimizer: str = "adam"
    rate: float = 1e-3
    momentum: float = 0.9  # of sgd

    def __post_init__(self) -> None:
        check(self, "optimizer", self.optimizer in OPTIMIZERS, f"choose one of {', '.join(OPTIMIZERS)}")
        check(self, "size_px", self.size_px in (32, 64, 128, 256), "choose 32, 64, 128 or 256")
        check(self, "momentum", 0 <= self.momentum < 1, "choose 0 or more, below 1")
        positive(self, "base", "epochs", "batch", "rate")


@dataclass(frozen=True)
class DetectorSettings:
    """Stage 2: P tells `aus` from the encoder's code (eqs. 1-2)."""

    aus: tuple[int, ...] = AUS
    epochs: int = 30
    batch: int = 64
    rate: float = 1.2e-3

    def __post_init__(self) -> None:
        check(self, "aus", bool(self.aus) and set(self.aus) <= set(AUS), f"choose among {', '.join(map(str, AUS))}")
        positive(self, "epochs", "batch", "rate")


@dataclass(frozen=True)
class FusionSettings:
    """Stage 3 (eqs. 3-10), rates as in table 2. With `encoder_rate` 0 the flow branch stays as it is.

    `apex_dropout` is the share of samples shown without their apex picture, `unknown` of those whose size of motion is
    hidden, as in flow sets. Prototypes are trained on `episodes` an epoch of `shots` and `queries` samples a class.
    """

    classifier: str = "linear"
    encoder_rate: float = 1e-5
    projection_rate: float = 1.2e-3
    classifier_rate: float = 1.2e-3
    epochs: int = 20
    batch: int = 32
    au_weight: float = 1.0
    apex_dropout: float = 0.5
    unknown: float = 0.3
    augment: bool = True
    episodes: int = 50
    shots: int = 5
    queries: int = 10

    def __post_init__(self) -> None:
        check(self, "classifier", self.classifier in CLASSIFIERS, f"choose one of {', '.join(CLASSIFIERS)}")
        check(self, "encoder_rate", self.encoder_rate >= 0, "choose 0 or more")
        check(self, "au_weight", self.au_weight >= 0, "choose 0 or more")
        for name in ("apex_dropout", "unknown"):
            check(self, name, 0 <= getattr(self, name) <= 1, "choose a share from 0 to 1")
        positive(self, "projection_rate", "classifier_rate", "epochs", "batch", "episodes", "shots", "queries")


@dataclass(frozen=True)
class Setting:
    """A training of MERAU. Without `tcae` and `detector` it has no Action Unit module (the paper's ablation).

    `encoder` of the flow: our small nets, or the paper's ResNet18, which may begin with ImageNet weights from a local
    file, `encoder_weights`. `task` names the classes (trainers.evaluate.problem), `flow` the method, `kept_back` the
    share of subjects that are not trained on: the probabilities are calibrated on them. `balance`: neighbours of the
    apex as eq. 11 has it.
    """

    tcae: TcaeSettings | None = TcaeSettings()
    detector: DetectorSettings | None = DetectorSettings()
    fusion: FusionSettings = FusionSettings()
    encoder: str = "ours"
    encoder_weights: str | None = None
    task: str = "5-class"
    flow: str = "dis"
    balance: bool = True
    kept_back: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        check(self, "encoder", self.encoder in ENCODERS, f"choose one of {', '.join(ENCODERS)}")
        weights = self.encoder_weights
        check(self, "encoder_weights", not weights or self.encoder == "resnet18", "leave it out, or encoder: resnet18")
        check(self, "encoder_weights", not weights or Path(weights).is_file(), "name a file that is there")
        check(self, "task", self.task in TASKS, f"choose one of {', '.join(TASKS)}")
        check(self, "flow", self.flow in METHODS, f"choose one of {', '.join(METHODS)}")
        check(self, "kept_back", 0 < self.kept_back < 1, "choose a share above 0 and below 1")
        together = (self.tcae is None) == (self.detector is None)
        check(self, "detector", together, "give the stages tcae and detector both, or neither")


def shipped() -> list[str]:
    """The names of the settings that come with the package."""
    return sorted(Path(file.name).stem for file in SHIPPED.iterdir() if file.name.endswith(".yaml"))


def read(name: str) -> Setting:
    """The shipped setting `name`, or that of a file. Raises UserError naming field, value and what is wanted."""
    file = SHIPPED / f"{name}.yaml" if name in shipped() else Path(name)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"There is no setting {name}: choose {', '.join(shipped())} or a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{name} is no YAML: {' '.join(str(error).split())}.") from error
    return build(Setting, values, name)


def build(kind: type, values: Any, where: str) -> Any:
    """The dataclass `kind` of the mapping `values`, nested ones within; what is left out keeps its default."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where} is {values!r}: it must name settings, {', '.join(f.name for f in fields(kind))}.")
    hints = get_type_hints(kind)
    unknown = [str(name) for name in values if name not in hints]
    if unknown:
        raise UserError(f"{where} has no setting {', '.join(unknown)}: its settings are {', '.join(hints)}.")
    return kind(**{name: convert(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def convert(kind: Any, value: Any, where: str) -> Any:
    """`value` as read from YAML, where 1e-5 is text, as the type of its field."""
    options = get_args(kind)
    if type(None) in options:
        return None if value is None else convert(options[0], value, where)
    if isinstance(kind, type) and is_dataclass(kind):
        return build(kind, value, where)
    try:
        if kind == tuple[int, ...]:
            return tuple(int(item) for item in value)
        if kind is bool and not isinstance(value, bool):
            raise ValueError
        if kind is int and (isinstance(value, bool) or int(value) != float(value)):
            raise ValueError
        return kind(value)
    except (TypeError, ValueError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a list of whole numbers")
        raise UserError(f"{where} is {value!r}: write {wanted}.") from None
