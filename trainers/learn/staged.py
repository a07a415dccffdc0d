"""A recognizer from prepared sets.

MERAU is trained stage by stage, can be resumed, and is exported as a bundle.
"""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from merau.engine import bundle as bundles
from merau.engine.errors import UserError
from merau.trainers.data import flow_set
from merau.trainers.export.bundle import DEFAULT
from merau.trainers.learn.bundle import write_bundle
from merau.trainers.learn.loop import make_accelerator
from merau.trainers.learn.merau import initial_flow_branch, train_merau
from merau.trainers.learn.settings import Setting

RUN = "run.json"  # what a training was started with; it can only be resumed with the same
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class StagedTraining:
    """What to train, on which sets.

    Attributes:
        setting: The settings of the stages.
        data: Indices of labelled flow sets.
        frames: Indices of more flow sets for TCAE, which needs no labels.
        start: Folder of the bundle whose flow branch to start from; None for the setting's default.
    """

    setting: Setting
    data: tuple[Path, ...]
    frames: tuple[Path, ...] = ()
    start: Path | None = None

    def record(self) -> dict[str, Any]:
        """Return settings and hashes that identify this training.

        They are plain JSON.
        """
        sets = {str(index): file_digest(index) for index in (*self.data, *self.frames)}
        document = {"setting": asdict(self.setting), "sets": sets, "from": start_digest(self.setting, self.start)}
        plain: dict[str, Any] = json.loads(json.dumps(document))
        return plain


def train_bundle(training: StagedTraining, folder: Path, *, resume: bool = False) -> None:
    """Train, and write the bundle to `folder`.

    As many processes as a launcher started take part.

    Raises UserError where `folder` holds a training that is not to be resumed, or another one.
    """
    record, setting = training.record(), training.setting
    flow = initial_flow_branch(setting, training.start)
    accelerator = make_accelerator()
    if accelerator.is_main_process:
        check_record(folder, record, resume=resume)
        if record["from"] is None:
            print(
                f"ResNet18 starts from random weights and learns at a rate of {setting.fusion.encoder_rate:g}; the "
                "paper's 1e-05 is for pre-trained ones: name ImageNet weights with encoder_weights, or raise "
                "fusion.encoder_rate.",
                file=sys.stderr,
            )
    accelerator.wait_for_everyone()
    data = flow_set.read(*training.data)
    frames = flow_set.read(*training.frames) if training.frames else None
    trained = train_merau(data, setting, flow, frames=frames, folder=folder / CHECKPOINTS)
    if accelerator.is_main_process:
        name = f"merau-{folder.resolve().name}"
        write_bundle(trained, folder, name=name, flow=setting.flow, trained_on=record)


def check_record(folder: Path, record: dict[str, Any], *, resume: bool) -> None:
    """Write `record` into `folder`, or compare it with the one that is there.

    Raises UserError where there is a training that is not to be resumed, or another one.
    """
    flow_set.make_folder(folder / CHECKPOINTS)
    path = folder / CHECKPOINTS / RUN
    if not path.exists():
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        return
    if not resume:
        raise UserError(f"{folder} already holds a training: continue it with --resume, or choose another folder.")
    before, now = (bundles.flatten(one) for one in (json.loads(path.read_text(encoding="utf-8")), record))
    changes = [
        f"{key} was {before.get(key)} and is {now.get(key)}"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    ]
    if changes:
        raise UserError(f"{folder} holds a different training ({'; '.join(changes)}): choose another folder.")


def start_digest(setting: Setting, start: Path | None) -> str | None:
    """Return the sha256 of what the flow branch starts from.

    That is the bundle `start`, by default the shipped one, or the weights of a ResNet18; None for random weights.
    """
    if start or setting.encoder == "ours":
        return bundles.load(start or DEFAULT).sha256
    return file_digest(Path(setting.encoder_weights)) if setting.encoder_weights else None


def file_digest(path: Path) -> str:
    """Return the sha256 of a file. Raises UserError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
