"""`merau-lab train --setting`: MERAU stage by stage, from prepared sets to a bundle."""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merau.engine import bundle as bundles
from merau.engine.errors import UserError

if TYPE_CHECKING:
    from merau.trainers.learn.settings import Setting

RUN = "run.json"  # what a training was started with: it goes on with nothing else
CHECKPOINTS = "checkpoints"


def add_options(train: argparse.ArgumentParser) -> None:
    """What `train` takes for it."""
    staged = train.add_argument_group("MERAU stage by stage, on prepared sets")
    staged.add_argument("--setting", help="merau, merau-cd, ... (a wrong name lists them all), or a YAML file")
    staged.add_argument("--data", type=Path, nargs="+", metavar="INDEX.csv", help="what `prepare` wrote, labelled")
    staged.add_argument("--frames", type=Path, nargs="+", metavar="INDEX.csv", help="more sets, for TCAE: no labels")
    staged.add_argument("--resume", action="store_true", help="go on with the training in --out")


def run_staged(options: argparse.Namespace) -> None:
    from merau.trainers.data import flow_set
    from merau.trainers.learn import settings
    from merau.trainers.learn.bundle import write_bundle
    from merau.trainers.learn.loop import make_accelerator
    from merau.trainers.learn.merau import initial_flow_branch, train_merau

    if not options.data:
        raise UserError("--setting trains on prepared sets: name them with --data.")
    setting = replace(settings.read(options.setting), seed=options.seed)
    sets = {str(index): digest(index) for index in (*options.data, *(options.frames or ()))}
    run = json.loads(json.dumps({"setting": asdict(setting), "sets": sets, "from": origin(setting, options.start)}))
    flow = initial_flow_branch(setting, options.start)
    together = make_accelerator()
    if together.is_main_process:
        begin(options.out, run, resume=options.resume)
        if run["from"] is None:
            print(
                f"ResNet18 begins from random values and learns at a rate of {setting.fusion.encoder_rate:g}; the "
                "paper's 1e-05 is for trained ones: name ImageNet weights with encoder_weights, or raise "
                "fusion.encoder_rate.",
                file=sys.stderr,
            )
    together.wait_for_everyone()
    data = flow_set.read(*options.data)
    trained = train_merau(
        data,
        setting,
        flow,
        frames=flow_set.read(*options.frames) if options.frames else None,
        folder=options.out / CHECKPOINTS,
    )
    if together.is_main_process:
        name = f"merau-{options.out.resolve().name}"
        write_bundle(trained, options.out, name=name, flow=setting.flow, trained_on=run)


def begin(folder: Path, run: dict[str, Any], *, resume: bool) -> None:
    """Note in `folder` what is trained, or compare it with what was noted when the training was started.

    Raises UserError where there is a training that is not to be resumed, or another one.
    """
    from merau.trainers.data.flow_set import make_folder

    make_folder(folder / CHECKPOINTS)
    note = folder / CHECKPOINTS / RUN
    if not note.exists():
        note.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        return
    if not resume:
        raise UserError(f"{folder} holds a training already: --resume goes on with it; or choose another folder.")
    was, now = (bundles.flatten(one) for one in (json.loads(note.read_text(encoding="utf-8")), run))
    differing = [
        f"{key} was {was.get(key)} and is {now.get(key)}" for key in {**was, **now} if was.get(key) != now.get(key)
    ]
    if differing:
        raise UserError(f"The training in {folder} was another one ({'; '.join(differing)}): choose another folder.")


def origin(setting: "Setting", start: Path | None) -> str | None:
    """sha256 of what the flow branch begins as: the bundle `start`, by default the shipped one, or the weights of a
    ResNet18; None for random values.
    """
    from merau.trainers.export.bundle import DEFAULT

    if start or setting.encoder == "ours":
        return bundles.load(start or DEFAULT).sha256
    return digest(Path(setting.encoder_weights)) if setting.encoder_weights else None


def digest(path: Path) -> str:
    """sha256 of a file, such as a set's index. Raises UserError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
