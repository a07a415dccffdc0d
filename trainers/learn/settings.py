"""Settings of MERAU's three stages, and the YAML files that hold them.

There is one file for each setting of the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from merau.engine.errors import UserError
from merau.engine.flow import METHODS
from merau.engine.validation import check, check_choice, check_range
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.evaluate.task import TASKS

CLASSIFIERS = ("linear", "cosine", "prototypes")
OPTIMIZERS = ("adam", "sgd")
ENCODERS = ("ours", "resnet18")
SHIPPED = files("merau.trainers") / "settings"


@dataclass(frozen=True)
class TcaeSettings:
    """Stage 1, TCAE; the defaults take minutes on one CPU core.

    Attributes:
        size_px: Side of the images.
        base: Filters of the first layer.
        epochs: Passes over the clips.
        batch: Clips in a batch.
        optimizer: adam or sgd.
        rate: Learning rate.
        momentum: Momentum of sgd.
    """

    size_px: int = 64
    base: int = 8
    epochs: int = 6
    batch: int = 64
    optimizer: str = "adam"
    rate: float = 1e-3
    momentum: float = 0.9

    def __post_init__(self) -> None:
        check_choice(self, "optimizer", OPTIMIZERS)
        check_choice(self, "size_px", (32, 64, 128, 256))
        check(self, "momentum", 0 <= self.momentum < 1, "0 or more, below 1")
        check_range(self, "base", "epochs", "batch", "rate", above=0)


@dataclass(frozen=True)
class DetectorSettings:
    """Stage 2: detector P (eqs. 1-2).

    It predicts the Action Units `aus` from the encoder's code.
    """

    aus: tuple[int, ...] = AUS
    epochs: int = 30
    batch: int = 64
    rate: float = 1.2e-3

    def __post_init__(self) -> None:
        check(self, "aus", bool(self.aus) and set(self.aus) <= set(AUS), f"among {', '.join(map(str, AUS))}")
        check_range(self, "epochs", "batch", "rate", above=0)


@dataclass(frozen=True)
class FusionSettings:
    """Stage 3 (eqs. 3-10), with the learning rates of table 2.

    Attributes:
        classifier: linear, cosine or prototypes.
        encoder_rate: Learning rate of the flow encoders; 0 freezes the flow branch.
        projection_rate: Learning rate of the projections.
        classifier_rate: Learning rate of the classifier and of the Action Unit heads.
        epochs: Passes over the samples.
        batch: Samples in a batch.
        au_weight: Weight of the Action Unit loss.
        apex_dropout: Share of samples that are trained on without their apex image.
        unknown: Share of samples whose magnitude of motion is hidden, as in flow sets.
        augment: Whether to mirror, turn, scale and move the samples at random.
        episodes: For prototypes, episodes in an epoch.
        shots: For prototypes, samples of each class that form a prototype.
        queries: For prototypes, samples of each class that are classified.
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
        check_choice(self, "classifier", CLASSIFIERS)
        check_range(self, "encoder_rate", "au_weight", low=0)
        check_range(self, "apex_dropout", "unknown", low=0, high=1)
        names = ("projection_rate", "classifier_rate", "epochs", "batch", "episodes", "shots", "queries")
        check_range(self, *names, above=0)


@dataclass(frozen=True)
class Setting:
    """A training of MERAU.

    Attributes:
        tcae: Stage 1; without it and `detector` there is no Action Unit module (the paper's ablation).
        detector: Stage 2.
        fusion: Stage 3.
        encoder: Flow encoder: ours, the small nets, or resnet18, the paper's.
        encoder_weights: File of ImageNet weights that resnet18 starts from; None for random weights.
        task: Classes, a name in `trainers.evaluate.task`.
        flow: Optical flow method.
        balance: Whether rare classes add neighbours of the apex (eq. 11).
        kept_back: Share of subjects that are held out; the probabilities are calibrated on them.
        seed: Seed of all random draws.
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
        check_choice(self, "encoder", ENCODERS)
        weights = self.encoder_weights
        check(self, "encoder_weights", not weights or self.encoder == "resnet18", "encoder: resnet18, or no weights")
        check(self, "encoder_weights", not weights or Path(weights).is_file(), "a file that exists")
        check_choice(self, "task", TASKS)
        check_choice(self, "flow", METHODS)
        check(self, "kept_back", 0 < self.kept_back < 1, "a share above 0 and below 1")
        both_or_neither = (self.tcae is None) == (self.detector is None)
        check(self, "detector", both_or_neither, "both stages, tcae and detector, or neither")


def shipped() -> list[str]:
    """Return the names of the settings that ship with the package."""
    return sorted(Path(file.name).stem for file in SHIPPED.iterdir() if file.name.endswith(".yaml"))


def read(name: str) -> Setting:
    """Return the shipped setting `name`, or the one in the YAML file `name`.

    Raises UserError that names the field, its value and the valid values.
    """
    file = SHIPPED / f"{name}.yaml" if name in shipped() else Path(name)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"There is no setting {name}: choose one of {', '.join(shipped())}, or a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{name} is not valid YAML: {' '.join(str(error).split())}.") from error
    setting: Setting = build(Setting, values, name)
    return setting


def build(kind: type, values: Any, where: str) -> Any:
    """Return the dataclass `kind` with the fields of `values`, nested ones included.

    Others keep their defaults.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where} is {values!r}: write settings by name, {', '.join(f.name for f in fields(kind))}.")
    hints = get_type_hints(kind)
    unknown = [str(name) for name in values if name not in hints]
    if unknown:
        raise UserError(f"{where} has no setting {', '.join(unknown)}: its settings are {', '.join(hints)}.")
    return kind(**{name: convert(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def convert(kind: Any, value: Any, where: str) -> Any:
    """Convert `value`, as read from YAML, to the type `kind` of its field.

    YAML reads 1e-5 as text.
    """
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
